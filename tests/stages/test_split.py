"""The stage split: manifests and metrics, warnings, leaks that stop it, and what an error leaves behind."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.corpus.manifest import SPLITS, read_manifest
from stages.split import main
from tests import ROOT
from tests.splitting.test_groups import Row, lone_posts, posts_table, section


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["split"] = section().model_dump() | {"shares": [70, 15, 15]}
    YAML().dump(params, tmp_path / "params.yaml")
    names = {"posts": "posts.parquet", "out": "manifest", "metrics": "split.json", "params": "params.yaml"}
    return {option: tmp_path / name for option, name in names.items()}


def test_the_stage_writes_manifests_and_metrics(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(lone_posts(600), paths["posts"])
    main(**paths)
    assert sorted(path.name for path in paths["out"].iterdir()) == ["test.parquet", "train.parquet", "val.parquet"]
    summary = json.loads(paths["metrics"].read_text())
    assert summary["sizes"] == {name: len(read_manifest(paths["out"], name)) for name in SPLITS}
    assert not any(summary["leaks"].values()) and summary["limit"] is None and summary["left_out"] == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("split: train ") and captured.err == ""
    first = {path.name: path.read_bytes() for path in paths["out"].iterdir()}
    main(**paths)
    assert {path.name: path.read_bytes() for path in paths["out"].iterdir()} == first


def test_few_posts_to_score_by_are_warned_of(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(lone_posts(60), paths["posts"])
    main(**paths)
    sizes = json.loads(paths["metrics"].read_text())["sizes"]
    few = f"val {sizes['val']}, test {sizes['test']}"
    assert f"warning: few posts to score on ({few}): scores" in capsys.readouterr().err


def test_a_group_that_rules_the_split_is_warned_of(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row(f"p{n}", f"s{n}", "ann" if n < 20 else None) for n in range(60)]
    pq.write_table(posts_table(rows), paths["posts"])
    main(**paths)
    assert "warning: one group has 20 of 60 posts" in capsys.readouterr().err


def with_params(paths: dict[str, Path], **changes: Any) -> None:
    params = YAML().load(paths["params"].read_text())
    params["split"] |= changes
    YAML().dump(params, paths["params"])


def test_posts_in_no_split_are_told(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(posts_table([Row(f"p{n}", f"s{n}", day=n if n < 57 else None) for n in range(60)]), paths["posts"])
    with_params(paths, by="time")
    main(**paths)
    summary = json.loads(paths["metrics"].read_text())
    assert (summary["by"], summary["left_out"], summary["straddling"]) == ("time", 3, 0)
    assert "warning: 3 posts without date are left out of all splits" in capsys.readouterr().err


def test_what_is_turned_off_is_counted_and_no_error(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(
        posts_table([Row(f"p{n}", f"s{n}", look=n // 20, caption="a b c") for n in range(60)]), paths["posts"]
    )
    with_params(paths, near_duplicate_bits=None, same_caption_words=None)
    main(**paths)
    leaks = json.loads(paths["metrics"].read_text())["leaks"]
    assert {name: count for name, count in leaks.items() if count} == {"near_duplicate_images": 3, "captions": 1}
    assert "shared between splits: near duplicate images 3, captions 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        ({"sha": "same"}, "images"),
        ({"author": "ann"}, "authors"),
        ({"look": 5}, "near_duplicate_images"),
        ({"caption": "one two three"}, "captions"),
    ],
)
def test_a_leak_writes_nothing(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], broken: str
) -> None:
    pq.write_table(posts_table([Row(**({"id": f"p{n}", "sha": f"s{n}"} | row)) for n in range(60)]), paths["posts"])
    monkeypatch.setattr("hashgen.splitting.groups.group_posts", lambda posts, *_: posts.column("id").to_pylist())
    with pytest.raises(RuntimeError, match=f"leak across splits: .*'{broken}'"):
        main(**paths)
    assert not paths["out"].exists() and not paths["metrics"].exists()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_at_any_write_leaves_the_old_manifests(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    pq.write_table(lone_posts(60), paths["posts"])
    main(**paths)
    before = {path.name: path.read_bytes() for path in paths["out"].iterdir()}
    pq.write_table(lone_posts(90), paths["posts"])
    write, calls = pq.write_table, []

    def fail(*args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) > failing:
            raise OSError("disk full")
        write(*args, **options)

    monkeypatch.setattr("hashgen.corpus.tables.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        main(**paths)
    assert {path.name: path.read_bytes() for path in paths["out"].iterdir()} == before
    assert sorted(path.name for path in paths["out"].parent.iterdir()) == [
        "manifest",
        "params.yaml",
        "posts.parquet",
        "split.json",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "the stage filter creates it"),
        (lambda path: path.write_bytes(b"no parquet"), "run the stage filter again"),
        (
            lambda path: pq.write_table(pa.table({"id": ["1"], "post": ["1"]}), path),
            "no column image_sha256, author, image_phash",
        ),
    ],
)
def test_a_bad_input_names_itself(paths: dict[str, Path], make: Any, message: str) -> None:
    make(paths["posts"])
    with pytest.raises(HashgenError, match=message) as caught:
        main(**paths)
    assert str(paths["posts"]) in str(caught.value)
