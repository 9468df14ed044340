"""Wrong parameters: each names its key, all at once; and what YAML can do to a number."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.params import SECTIONS, read_params
from tests import ROOT


def change(params: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for part in parents:
        params = params[part]
    params[last] = value


def remove(params: dict[str, Any], key: str) -> None:
    *parents, last = key.split(".")
    for part in parents:
        params = params[part]
    del params[last]


def written(folder: Path, changes: dict[str, Any], removed: tuple[str, ...] = ()) -> Path:
    params = YAML().load((ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        change(params, key, value)
    for key in removed:
        remove(params, key)
    path = folder / "params.yaml"
    YAML().dump(params, path)
    return path


BAD = [
    ("scrape.source", "instagram.com"),
    ("scrape.source", None),
    ("scrape.sample.posts", 9),
    ("scrape.sample.posts", 1800.5),
    ("scrape.sample.posts", "many"),
    ("scrape.sample.seed", -1),
    ("scrape.sample.image_size", 8),
    ("scrape.sample.dirt", 0.9),
    ("scrape.sample.dirt", float("nan")),
    ("scrape.folder.path", ""),
    ("scrape.folder.path", 7),
    ("scrape.sample", [1, 2]),
    ("filter.languages", []),
    ("filter.languages", "en"),
    ("filter.languages", ["english"]),
    ("filter.emoji", True),
    ("filter.max_non_latin", 1.5),
    ("filter.language_thresholds.longer", float("inf")),
    ("filter.language_thresholds.up_to_2", "low"),
    ("filter.min_side", 0),
    ("filter.max_pixels", -5),
    ("filter.duplicates", "drop"),
    ("split.shares", [90, 5]),
    ("split.shares", [90, 5, 0]),
    ("split.shares", [90, 5, 5, 5]),
    ("split.shares", 90),
    ("split.limit", 2),
    ("split.limit", "all"),
    ("split.seed", 1.5),
    ("split.by", "hashtag"),
    ("split.near_duplicate_bits", 65),
    ("split.near_duplicate_bits", -1),
    ("split.same_caption_words", 0),
    ("vocab.min_word_count", 0),
    ("vocab.dimension", 0),
    ("vocab.glove", ""),
    ("featurize.backbone", ["resnet50"]),
    ("featurize.allow_random", "yes"),
    ("featurize.allow_random", 1),
    ("featurize.views", -1),
    ("featurize.precision", "float8"),
    ("featurize.image_size", 31),
    ("featurize.captions", None),
    ("featurize.caption_weights", ""),
    ("baselines.neighbours", 0),
    ("train.model", "rnn"),
    ("train.inputs", "video"),
    ("train.epochs", 0),
    ("train.epochs", True),
    ("train.batch_size", 1),
    ("train.learning_rate", 0),
    ("train.learning_rate", float("inf")),
    ("train.teacher_forcing", 1.01),
    ("train.clip_norm", 0),
    ("train.lstm.hidden", None),
    ("train.lstm.dropout", 1.0),
    ("train.lstm.batch_norm_momentum", 0),
    ("evaluate.decoding", "sample"),
    ("evaluate.beam", 0),
    ("report.cards", 0),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_names_its_key(tmp_path: Path, key: str, value: object) -> None:
    path = written(tmp_path, {key: value})
    with pytest.raises(HashgenError) as caught:
        read_params(path)
    lines = str(caught.value).splitlines()
    # A list's item is named by its place: filter.languages.0.
    assert lines and all(line.startswith((f"{path}: {key}:", f"{path}: {key}.")) for line in lines)


def test_a_list_that_is_too_short_says_which_value_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match=r": split\.shares: value 3 of the list is missing$"):
        read_params(written(tmp_path, {"split.shares": [70, 10]}))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    last = dict(BAD)
    del last["scrape.sample"]
    path = written(tmp_path, last | {"train.batchsize": 3, "model": {}}, ("split.seed", "report"))
    with pytest.raises(HashgenError) as caught:
        read_params(path)
    message = str(caught.value)
    gone = {"split.seed", "report.cards"}
    for key in last.keys() - gone:
        assert f": {key}" in message
    assert "split.seed: missing" in message and "report: missing" in message
    assert (
        "train.batchsize: unknown parameter; did you mean batch_size?" in message
        and "model: unknown parameter" in message
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused_in_every_section(tmp_path: Path, section: str) -> None:
    with pytest.raises(HashgenError, match=rf"{section}\.nonsense: unknown parameter"):
        read_params(written(tmp_path, {f"{section}.nonsense": 1}))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    with pytest.raises(HashgenError, match=rf": {section}: missing"):
        read_params(written(tmp_path, {}, (section,)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("split.shares", [0.9, 0.05, 0.05]),
        ("split.limit", 700),
        ("vocab.glove", "../glove.txt"),
        ("train.patience", 3),
        ("train.clip_norm", None),
        ("train.weight_decay", 0),
        ("filter.languages", ["en", "de"]),
        ("filter.max_non_latin", 1),
    ],
)
def test_good_values_pass(tmp_path: Path, key: str, value: object) -> None:
    params: Any = read_params(written(tmp_path, {key: value}))
    for part in key.split("."):
        params = getattr(params, part)
    assert params == (tuple(value) if isinstance(value, list) else value)


def with_line(folder: Path, old: str, new: str) -> Path:
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", ".001", "1E-3"])
def test_numbers_are_numbers_as_dvc_reads_them(tmp_path: Path, number: str) -> None:
    path = with_line(tmp_path, "learning_rate: 2.0e-3", f"learning_rate: {number}")
    assert read_params(path).train.learning_rate == 0.001


@pytest.mark.parametrize("word", ["no", "yes", "on", "off"])
def test_words_are_words(tmp_path: Path, word: str) -> None:
    path = with_line(tmp_path, "languages: [en]", f"languages: [{word}]")
    if len(word) == 2:
        assert read_params(path).filter.languages == (word,)
    else:
        with pytest.raises(HashgenError, match=f"filter.languages.0: .*'{word}'"):
            read_params(path)
    with pytest.raises(HashgenError, match=f"featurize.allow_random: .*'{word}'"):
        read_params(with_line(tmp_path, "allow_random: false", f"allow_random: {word}"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  emoji: drop", "\temoji: drop", r"line \d+: not valid YAML"),
        ("  emoji: drop", "  emoji: drop\n  emoji: keep", r"line \d+: not valid YAML \(.*duplicate key"),
        ("languages: [en]", "languages: [en", "not valid YAML"),
        ("emoji: drop", "emoji: !drop it", "not valid YAML"),
        ("emoji: drop", "emoji: *drop", "not valid YAML"),
        ("split:\n", "---\nsplit:\n", "not valid YAML"),
        ("emoji: drop", "emoji: \x07", "not valid YAML"),
        ("emoji: drop", "emoji: &a [*a]", "use plain keys and values"),
        ("emoji: drop", "[a, b]: drop", "use plain keys and values"),
        ("dirt: 0.15", "dirt: .nan", "scrape.sample.dirt"),
        ("dirt: 0.15", "dirt: .inf", "scrape.sample.dirt"),
        ("dirt: 0.15", "dirt: 2019-04-30", "scrape.sample.dirt"),
        ("posts: 3000", "posts: 0o17z", "scrape.sample.posts"),
    ],
)
def test_what_yaml_can_do_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = with_line(tmp_path, old, new)
    with pytest.raises(HashgenError, match=message) as caught:
        read_params(path)
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be a mapping of sections"),
        (b"- scrape\n- filter\n", "must be a mapping of sections.*found list"),
        (b"hello", "must be a mapping of sections.*found str"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"caf\xe9: 1\n", "not valid YAML"),
        (b"a: \0", "not valid YAML"),
    ],
)
def test_files_that_are_no_parameters(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(data)
    with pytest.raises(HashgenError, match=message) as caught:
        read_params(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match="no such file; run in the root of the repository"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(HashgenError, match="cannot be read"):
        read_params(tmp_path)


def test_params_cannot_be_changed_once_read() -> None:
    params = read_params(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.train.epochs = 1
