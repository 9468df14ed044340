import dataclasses
import io
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashgen import Suggester
from hashgen.base.errors import HashgenError
from hashgen.features.backbone import load_encoder
from hashgen.features.captions import load_caption_encoder
from hashgen.features.posts import Blind, Labelled, Posts
from hashgen.metrics.calibration import Calibration
from hashgen.models import Model, Place, Ranking, model_class
from hashgen.models.folder import Standing, Trained, seal
from hashgen.suggesting.index import Index, _calibrate
from hashgen.suggesting.options import Mix
from hashgen.suggesting.platforms import PLATFORMS
from hashgen.training.about import About
from hashgen.training.similarity import take
from tests.doubles.model_folder import write_model_folder
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.doubles.static_model import write_static_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose pictures resnet18 encodes and whose captions a tiny model of model2vec does."""
    return write_model_folder(tmp_path_factory.mktemp("suggester"), captions=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without an encoder of captions."""
    return write_model_folder(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def suggester(plain: Path) -> Suggester:
    return Suggester.load(plain, device="cpu")


def words(answer: object) -> list[str]:
    return [one.removeprefix("#") for one in str(answer).split()]


class Watching:
    """A model that keeps the posts it is handed."""

    views = None

    def __init__(self, model: Model) -> None:
        self.model = model
        self.seen: list[tuple[Posts, Blind | None]] = []

    def rank(self, posts: Posts, depth: int, blind: Blind | None = None) -> list[Ranking]:
        self.seen.append((posts, blind))
        return self.model.rank(posts, depth, blind)


def test_inputs_reach_the_model_as_in_training(folder: Path) -> None:
    suggester = Suggester.load(folder, device="cpu")
    watching = Watching(suggester.trained.model)
    trained = dataclasses.replace(suggester.trained, model=watching)  # type: ignore[arg-type]
    watched = dataclasses.replace(suggester, trained=trained)
    picture = folder.parent / "picture.png"
    assert watched.suggest(picture, "Sea wood #sea") == suggester.suggest(picture, "Sea wood", tags=["sea"])
    assert watched.suggest(picture) and watched.suggest(caption="sea")
    (full, seeing), (empty, without_caption), (unseen, without_picture) = watching.seen
    assert full.captions == ["Sea wood"] and seeing is None
    assert full.sentences is not None and full.sentences.dtype == np.float32
    assert full.sentences.tolist() == [[1.5, 2, 0]]
    assert empty.sentences is not None and empty.sentences.tolist() == [[0, 0, 0]] and without_caption == "caption"
    assert not unseen.features.plain.any() and without_picture == "image"


def test_an_encoder_that_moved_is_named_or_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, captions=True)
    static, moved = folder.parent / "static", folder.parent / "moved"
    static.rename(moved)
    with pytest.raises(HashgenError, match=r"featurize\.caption_weights"):
        Suggester.load(folder, device="cpu")
    assert Suggester.load(folder, device="cpu", caption_weights=moved).captions is not None
    write_static_model(static, normalise=True)
    with pytest.raises(
        HashgenError, match=r"trained with other weights than .*static has now; restore them.*needed: \w"
    ):
        Suggester.load(folder, device="cpu")


def test_a_picture_is_a_path_bytes_an_image_or_encoded(plain: Path, suggester: Suggester) -> None:
    path = plain.parent / "picture.png"
    image = Image.open(path)
    image.load()
    encoded = suggester.encode(path)
    assert encoded.plain.shape == (suggester.trained.about.recipe.dim,) and encoded.plain.dtype == np.float16
    answers = [suggester.suggest(one, "morning run") for one in (str(path), path, path.read_bytes(), image, encoded)]
    assert all(answer == answers[0] for answer in answers) and answers[0]


def test_an_image_is_turned_upright_as_its_file_is(suggester: Suggester, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    opened = Image.open(tmp_path / "turned.png")
    assert np.array_equal(suggester.encode(opened).plain, suggester.encode(tmp_path / "turned.png").plain)
    assert not np.array_equal(suggester.encode(image).plain, suggester.encode(opened).plain)


def test_several_pictures_at_once_are_each_as_alone(plain: Path, suggester: Suggester) -> None:
    good, bad = plain.parent / "picture.png", b"<html>"
    one, error, other = suggester.encode_all([good, bad, good.read_bytes()])
    assert isinstance(error, HashgenError) and "the picture: not a readable picture" in str(error)
    assert not isinstance(one, HashgenError) and not isinstance(other, HashgenError)
    alone = suggester.encode(good).plain.astype(np.float32)
    assert np.allclose(one.plain, alone, atol=1e-2) and np.array_equal(one.plain, other.plain)
    with pytest.raises(HashgenError, match="the picture: not a readable picture"):
        suggester.suggest(bad, "x")


def test_either_input_is_enough_and_the_answer_says_what_was_missing(plain: Path, suggester: Suggester) -> None:
    picture = plain.parent / "picture.png"
    assert "without a caption: these hashtags rest on the picture alone" in suggester.suggest(picture).warnings
    only = suggester.suggest(caption="morning run done")
    assert "without a picture: these hashtags rest on the caption alone" in only.warnings and "run" in words(only)
    assert not [one for one in suggester.suggest(picture, "slow day").warnings if one.startswith("without")]
    for caption in (None, "", "  "):
        with pytest.raises(HashgenError, match="neither a picture nor a caption: give one of them, or both"):
            suggester.suggest(caption=caption)
    for caption in ("#run #sea", "@anna", "🌊", "2016 !"):
        with pytest.raises(HashgenError, match=r"nor a caption of words: .*; write some words, or give a picture"):
            suggester.suggest(caption=caption)
    assert suggester.suggest(picture, None) == suggester.suggest(picture)


def test_confidence_is_a_probability_that_falls_and_posts_are_counted(suggester: Suggester) -> None:
    answer = suggester.suggest(caption="morning run done", max=20)
    chances = [one.confidence for one in answer]
    assert all(0 <= chance <= 1 for chance in chances) and chances == sorted(chances, reverse=True)
    counts = {one.hashtag: one.posts for one in answer}
    assert counts["love"] == 41 and counts["run"] == 21
    assert answer[0].why is None and "why" not in answer.to_json()["hashtags"][0]
    assert set(answer.to_json()["hashtags"][0]) == {"hashtag", "confidence", "posts"}


def test_what_is_hidden_from_the_model_has_a_calibration_of_its_own(suggester: Suggester, plain: Path) -> None:
    index, picture = suggester.index, suggester.encode(plain.parent / "picture.png")
    assert index is not None
    assert index.calibrations[None] != index.calibrations["image"] != index.calibrations["caption"]
    (ranking,) = suggester.trained.model.rank(suggester.posts(None, ["morning run done"]), 9, "image")
    expected = dict(zip(index.hashtags, index.scores(ranking, "image"), strict=True))
    for one in suggester.suggest(caption="morning run done"):
        assert one.confidence == pytest.approx(expected[one.hashtag])
    (ranking,) = suggester.trained.model.rank(suggester.posts(picture, [""]), 9, "caption")
    expected = dict(zip(index.hashtags, index.scores(ranking, "caption"), strict=True))
    for one in suggester.suggest(picture):
        assert one.confidence == pytest.approx(expected[one.hashtag])


def test_typed_hashtags_have_calibrations_of_their_own_that_keep_the_order(suggester: Suggester) -> None:
    index = suggester.index
    assert index is not None
    (ranking,) = suggester.trained.model.rank(suggester.posts(None, ["morning run done"]), 9, "image")
    chances = index.scores(ranking, "image")
    for given in (["wood"], ["wood", "sea", "love", "run"]):
        lift = np.sum([index.lift(hashtag) for hashtag in given], axis=0)
        # As unlikely as in a large vocabulary, and as likely as beside hashtags that always stand together.
        for scale, more in ((1, 0), (1e-3, 0), (1, 9)):
            odds = index._steered(chances * scale, lift + 2 * more)
            steered = index.given["image"][len(given) - 1].apply_to_odds(odds)
            assert ((steered > 0) & (steered < 1)).all() and len(np.unique(steered)) == len(np.unique(odds)) > 3
            assert (np.argsort(-steered, kind="stable") == np.argsort(-odds, kind="stable")).all()
            if not more:
                assert (index.steer(chances * scale, given, "image") == steered).all()
    assert index.steer(chances, ["unheardof"], "image") is chances


def test_too_few_posts_with_so_many_hashtags_take_the_calibration_of_fewer(
    suggester: Suggester, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, model = suggester.index, suggester.trained.model
    assert index is not None
    posts = suggester.posts(None, ["morning run done"] * 60)
    val = Labelled(posts, [["run", "wood", "sea"]] * 59 + [["run", "wood", "sea", "love", "woodrun", "searun"]])
    given = index._calibrate_given(model, val)
    for found in given.values():
        assert len(found) == 5 and found[0] != found[1] == found[2] == found[3] == found[4]
    monkeypatch.setattr(index, "given", given)
    chances = index.prior
    for tags, calibration in ((["run"], given[None][0]), (["run", "unheardof", "wood"], given[None][1])):
        odds = index._steered(chances, np.sum([index.lift(tag) for tag in tags], axis=0))
        assert (index.steer(chances, tags, None) == calibration.apply_to_odds(odds)).all()
    few = Labelled(posts.pair([0], [0]), val.hashtags[-1:])
    assert all(one == Calibration() for found in index._calibrate_given(model, few).values() for one in found)


def test_given_hashtags_are_not_calibrated_where_there_are_few_others(
    suggester: Suggester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[float] = []
    monkeypatch.setattr("hashgen.suggesting.index._LEAST_PAIRS", 1)

    def fit(scores: list[float], right: list[bool]) -> Calibration:
        fitted.extend(scores)
        return Calibration()

    monkeypatch.setattr(Calibration, "fit", fit)
    posts = suggester.posts(None, ["morning run done"] * 4)
    known = Labelled(posts, [["run", "wood", "sea"]] * 4)
    index = Index.of(suggester.trained.model, ["1", "2", "3", "4"], known, known, "x")
    assert len(index.hashtags) == 3 and fitted
    # Of four posts and three ways to see them: with one of three hashtags given two are left, with two one.
    assert len(fitted) >= 4 * 3 * 3 and min(fitted) > 0


def test_of_very_many_validation_posts_some_calibrate(suggester: Suggester, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[tuple[float, bool]]] = []

    def fit(scores: list[float], right: list[bool]) -> Calibration:
        fitted.append(list(zip(scores, right, strict=True)))
        return Calibration()

    monkeypatch.setattr(Calibration, "fit", fit)
    captions, hashtags = ["morning run done", "wood", "sea", "slow sunday"], [["run"], ["wood"], ["sea"], ["wood"]]
    model, posts = suggester.trained.model, suggester.posts(None, captions)
    _calibrate(model, Labelled(take(posts, np.array([0, 3])), [hashtags[0], hashtags[3]]), None)
    monkeypatch.setattr("hashgen.suggesting.index.MOST_CALIBRATED", 2)
    _calibrate(model, Labelled(posts, hashtags), None)
    assert fitted[0] == fitted[1] and {right for _, right in fitted[0]} == {True, False}


def test_typed_hashtags_are_not_repeated_and_steer(suggester: Suggester) -> None:
    free = suggester.suggest(caption="morning run done", max=10)
    given = suggester.suggest(caption="morning run done", max=10, tags=["#Wood"])
    assert "wood" in words(free) and "wood" not in words(given)
    order = words(given)
    # Of two hashtags that the caption alone cannot tell apart, the typed one decides.
    assert order.index("woodrun") < order.index("searun")
    chances = {one.hashtag: one.confidence for one in free}
    steered = {one.hashtag: one.confidence for one in given}
    assert steered["woodrun"] > chances["woodrun"] and steered["searun"] < chances["searun"]
    assert suggester.suggest(caption="morning run done", max=10, tags=["unheardof"]).hashtags == free.hashtags
    # Those in the caption are typed too.
    assert suggester.suggest(caption="morning run done #Wood", max=10) == given
    assert len(suggester.suggest(caption="morning run done #wood #love", platform="instagram")) == 3


def test_a_platform_limits_what_is_added_to_typed_hashtags(suggester: Suggester) -> None:
    def number(**options: object) -> int:
        return len(suggester.suggest(caption="morning run done", **options))  # type: ignore[arg-type]

    assert PLATFORMS["instagram"].limit == 5 and PLATFORMS["threads"].limit == 1
    assert number() == 5 and number(platform="threads") == 1 and number(tags=["love", "run"]) == 3
    assert number(max=6) == 6 and number(k=2) == 2 and number(max=7, platform="Instagram") == 5
    full = suggester.suggest(caption="morning run done", tags=["love"], platform="threads")
    assert not full and "Threads takes no more hashtags: its limit is 1, and the post has 1" in full.warnings[-1]


def test_a_prefix_filters_and_reaches_unlikely_hashtags(suggester: Suggester) -> None:
    assert words(suggester.suggest(caption="morning run done", prefix="#SEA", max=9)) == ["sea", "searun", "searest"]
    assert words(suggester.suggest(caption="morning run done", prefix="q", max=9)) == []


def test_ban_allow_and_the_list_of_hidden_hashtags(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden.txt").write_text("# a comment\n\n#Love\nrun\n")
    suggester = Suggester.load(plain, device="cpu", hidden=tmp_path / "hidden.txt")
    found = words(suggester.suggest(caption="morning run done", max=20))
    assert not {"love", "run"} & set(found) and "sea" in found
    found = words(suggester.suggest(caption="morning run done", max=20, allow=["run"], ban=["sea"]))
    assert "run" in found and not {"love", "sea"} & set(found)
    # What a user bans stays banned, even if it is allowed.
    assert "run" not in words(suggester.suggest(caption="morning run done", max=20, allow=["run"], ban=["run"]))


def test_hashtags_to_add_come_first_and_count(suggester: Suggester) -> None:
    answer = suggester.suggest(caption="morning run done", add=["#MyBrand", "sea"], max=3)
    assert words(answer)[:2] == ["mybrand", "sea"] and len(answer) == 3
    assert answer[0].confidence == 0 and answer[0].posts == 0 and answer[1].posts == 21
    assert words(suggester.suggest(caption="morning run", add=["sea"], tags=["sea"], max=20)).count("sea") == 0


def test_least_confidence_and_mix(suggester: Suggester) -> None:
    every = suggester.suggest(caption="morning run done", max=20)
    middle = every[2].confidence
    sure = suggester.suggest(caption="morning run done", max=20, min_confidence=middle)
    assert sure.hashtags == tuple(one for one in every if one.confidence >= middle)

    def counts(mix: Mix) -> float:
        return float(np.mean([one.posts for one in suggester.suggest(caption="morning run done", max=3, mix=mix)]))

    assert counts("broad") >= counts("balanced") >= counts("niche") and counts("broad") > counts("niche")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max": 0}, r"max: 0 is not a number of hashtags; give 1 to 100"),
        ({"k": 5, "max": 5}, r"k: is the same as max"),
        ({"platform": "myspace"}, r"platform: no 'myspace'; use one of instagram, threads"),
        ({"min_confidence": 1.5}, r"min_confidence: 1\.5 is no probability"),
        ({"mix": "odd"}, r"mix: no 'odd'; use one of balanced, broad, niche"),
        ({"tags": ["two words"]}, r"tags: 'two words' is no hashtag"),
        ({"ban": "love"}, r"ban: give a list of hashtags, not one text"),
        ({"allow": ["!"]}, r"allow: '!' is no hashtag"),
        ({"tags": None}, r"tags: None is no list; give a list of hashtags"),
        ({"tags": {"sea": 1}}, r"tags: \{'sea': 1\} is no list"),
        ({"tags": [1]}, r"tags: 1 is no hashtag"),
        ({"add": ["x" * 300 + "!"]}, r"add: 'x{59} is no hashtag"),
        ({"max": "5"}, r"max: '5' is not a number of hashtags; give 1 to 100"),
        ({"max": 2.5}, r"max: 2\.5 is not a number of hashtags"),
        ({"max": True}, r"max: True is not a number of hashtags"),
        ({"min_confidence": "0.5"}, r"min_confidence: '0\.5' is no probability; give 0 to 1"),
        ({"min_confidence": float("nan")}, r"min_confidence: nan is no probability"),
        ({"platform": 5}, r"platform: no 5; use one of instagram"),
        ({"mix": {}}, r"mix: no \{\}; use one of"),
        ({"prefix": None}, r"prefix: None is no text; give how the hashtags begin"),
        ({"explain": "false"}, r"explain: 'false' is neither true nor false"),
        ({"caption": 5}, r"caption: 5 is no text; give a text, or none"),
    ],
)
def test_an_option_out_of_range_is_refused(suggester: Suggester, options: dict[str, object], message: str) -> None:
    with pytest.raises(HashgenError, match=message):
        suggester.suggest(**{"caption": "morning run", **options})  # type: ignore[arg-type]


def test_a_model_that_loses_to_a_baseline_says_so_in_every_answer(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    Standing("neighbours", 0.2, "popularity", 0.3).write(folder)
    seal(folder)
    suggester = Suggester.load(folder, device="cpu")
    warning = "this model (neighbours) is not better than a simple baseline (popularity) on its own validation posts"
    assert any(one.startswith(warning) for one in suggester.suggest(caption="run").warnings)
    assert suggester.about["warnings"] == suggester.warnings
    assert any(
        one.startswith("this model knows only the drawn scenes of the built-in sample") for one in suggester.warnings
    )


def test_a_folder_straight_from_training_ranks_but_says_what_it_lacks(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    for name in ("index.json", "index.safetensors"):
        (folder / name).unlink()
    seal(folder)
    suggester = Suggester.load(folder, device="cpu")
    answer = suggester.suggest(caption="morning run done", tags=["wood"], explain=True, mix="niche")
    assert "run" in words(answer) and any("straight from training" in one for one in answer.warnings)
    assert all(one.posts == 0 for one in answer) and suggester.about["posts"] is None
    assert answer[0].why is not None and answer[0].why.posts == ()


def test_what_the_model_learnt_from_is_told(suggester: Suggester) -> None:
    about = suggester.about
    assert (about["model"], about["posts"], about["hashtags"], about["source"]) == ("neighbours", 41, 9, "tiny world")


def test_threads_get_the_answers_of_one(plain: Path, suggester: Suggester) -> None:
    picture = suggester.encode(plain.parent / "picture.png")
    captions = ["morning run done", "slow day at home", "sea", "wood"] * 5
    expected = [suggester.suggest(picture, caption) for caption in captions]
    found: dict[int, object] = {}

    def ask(place: int) -> None:
        found[place] = suggester.suggest(picture, captions[place])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(captions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(len(captions))] == expected


def test_explanations_name_words_picture_tags_and_posts(plain: Path, suggester: Suggester) -> None:
    picture = plain.parent / "picture.png"
    answer = suggester.suggest(picture, "morning run done", explain=True, max=9, tags=["sea"])
    why = {one.hashtag: one.why for one in answer}
    run, love = why["run"], why["love"]
    assert run is not None and love is not None
    assert run.copied and not love.copied
    assert run.caption is not None and run.caption > 0.1 and abs(love.caption or 0) < 0.1
    assert run.posts and all(post.startswith("t") for post in run.posts) and len(run.posts) <= 3
    searun = why["searun"]
    assert searun is not None and searun.tags == ("sea",) and run.tags == () and not run.mine
    torn = {one.hashtag: one.why for one in suggester.suggest(picture, "run done slow", explain=True, max=9)}
    assert torn["run"] is not None and torn["run"].words == ("run", "done")
    assert torn["searun"] is not None and torn["searun"].words == ("run", "done")
    alone = suggester.suggest(caption="morning run done", explain=True)[0].why
    assert alone is not None and alone.picture is None
    entry = answer.to_json()["hashtags"][0]["why"]
    assert set(entry) == {"words", "picture", "caption", "copied", "tags", "posts", "mine"}


def test_words_that_a_prefix_or_ban_hides_are_not_explained(suggester: Suggester) -> None:
    assert suggester.suggest(caption="morning run done", prefix="qq", explain=True).hashtags == ()


def test_pictures_of_other_modes_are_read(suggester: Suggester) -> None:
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        assert suggester.encode(Image.new(mode, (30, 40))).plain.shape
    buffer = io.BytesIO()
    Image.new("RGB", (30, 40), "red").save(buffer, "JPEG")
    assert suggester.encode(memoryview(buffer.getvalue())).plain.shape  # type: ignore[arg-type]


@pytest.mark.parametrize("what", [5, None, np.zeros((9, 9, 3), np.uint8), io.BytesIO(b"x")])
def test_what_is_no_picture_is_named(suggester: Suggester, what: object) -> None:
    with pytest.raises(HashgenError, match=rf"picture: cannot be of the type {type(what).__name__}; give a path"):
        suggester.encode(what)  # type: ignore[arg-type]


def test_an_image_that_cannot_be_used_is_an_error(suggester: Suggester, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 90, 3), np.uint8))
    noise.save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-900])
    closed = Image.open(tmp_path / "a.jpg")
    closed.load()
    closed.close()
    with Image.open(tmp_path / "cut.jpg") as cut:
        for image in (closed, cut, Image.new("RGB", (0, 0))):
            with pytest.raises(HashgenError, match=r"the picture: cannot be read \(.+\); give one that can be shown"):
                suggester.encode(image)
    for path, problem in (("a\0b", "no path"), (str(tmp_path), "not a file"), ("x" * 300, "cannot be read")):
        with pytest.raises(HashgenError, match=f"{problem}.*; give the path of a picture"):
            suggester.encode(path)


def test_an_image_is_seen_as_its_file_is(suggester: Suggester, tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 65535, (40, 40), np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    colours = Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    colours.save(tmp_path / "clear.png", transparency=colours.getpixel((0, 0)))
    colours.convert("P").save(tmp_path / "clear.gif", transparency=0)
    for name in ("deep.png", "clear.png", "clear.gif"):
        path = tmp_path / name
        with Image.open(path) as image:
            assert np.array_equal(suggester.encode(image).plain, suggester.encode(path).plain), name


def test_the_index_is_refused_when_it_is_damaged(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    (folder / "index.json").write_text('{"ids": []}')
    with pytest.raises(HashgenError, match=r"index\.json: has changed since the model was saved"):
        Suggester.load(folder, device="cpu")
    seal(folder)
    with pytest.raises(HashgenError, match="made by another version of hashgen, or damaged"):
        Suggester.load(folder, device="cpu")


def test_an_index_of_a_model_without_vectors_brings_its_own(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, model="lstm")
    suggester = Suggester.load(folder, device="cpu")
    assert suggester.trained.model.views is None and isinstance(suggester.index, Index)
    assert suggester.index.views.names == ["picture", "words"]
    answer = suggester.suggest(caption="morning run done", explain=True)
    assert words(answer) and answer[0].why is not None and answer[0].why.posts


def test_a_backbone_with_other_weights_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    trained = Trained.load(folder, CPU)
    recipe = dataclasses.replace(trained.about.recipe, seed=trained.about.recipe.seed + 1)
    Trained(trained.model, dataclasses.replace(trained.about, recipe=recipe)).save(folder)
    with pytest.raises(HashgenError, match="trained with other weights than random has now"):
        Suggester.load(folder, device="cpu")


def test_the_doubles_fit(tmp_path: Path) -> None:
    """The encoder of the tiny model folder is the one that its recipe names."""
    folder = write_model_folder(tmp_path, captions=True)
    recipe = Trained.load(folder, CPU).about.recipe
    assert load_encoder(recipe, "random", CPU).digest == recipe.weights_sha256
    static = load_caption_encoder("model2vec", folder.parent / "static", CPU)
    assert static.digest == recipe.caption_sha256


def test_places_and_sentiment_reach_a_model_that_learnt_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashgen.text.sentiment._analyse", lambda: lambda caption: (len(caption) / 100, 0.5))
    recipe = small_recipe(backbone="resnet18", image_size=64, grid=True)
    encoder = load_encoder(recipe, "random", CPU)
    recipe = dataclasses.replace(recipe, dim=encoder.dim, weights_sha256=encoder.digest)
    section = train_section(model="attention", sentiment=True)
    data = small_data(tmp_path / "data", dim=encoder.dim, grid=True, sentiment=True)
    model = model_class("attention").fit(data, section, Place(CPU, tmp_path / "checkpoint.pt"))
    (tmp_path / "model").mkdir()
    Trained(model, About(section, recipe, 1, 0.5)).save(tmp_path / "model")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "picture.png")
    suggester = Suggester.load(tmp_path / "model", device="cpu")
    watching = Watching(suggester.trained.model)
    trained = dataclasses.replace(suggester.trained, model=watching)  # type: ignore[arg-type]
    watched = dataclasses.replace(suggester, trained=trained)
    assert watched.suggest(tmp_path / "picture.png", "sea run #sea") and watched.suggest(caption="sea")
    (posts, _), (unseen, _) = watching.seen
    assert posts.sentiment is not None and posts.sentiment.tolist() == [[pytest.approx(0.07), 0.5]]
    assert posts.features.grid is not None and posts.features.grid.shape == (1, 49, 512)
    np.testing.assert_allclose(posts.features.grid.astype(float).mean(1), posts.features.plain, rtol=0.01, atol=0.01)
    assert unseen.features.grid is not None and not unseen.features.grid.any()
