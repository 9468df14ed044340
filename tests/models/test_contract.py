"""What every model can do, whatever its kind: each test runs over all of them."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from hashgen.base.errors import HashgenError
from hashgen.features.posts import Blind, Features, Labelled, Posts
from hashgen.features.recipe import Recipe
from hashgen.models import Data, Decoding, Model, Place, model_class
from hashgen.models.folder import Trained
from hashgen.models.habits import Habits
from hashgen.params.train import Train
from hashgen.scoring.evaluation import Scored, predict
from hashgen.training.about import About
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data

CPU = torch.device("cpu")
# All that params may choose, and baselines.
MODELS = (*get_args(Train.model_fields["model"].annotation), "plain_neighbours", "popularity")
SIGHTED = get_args(Train.model_fields["model"].annotation)
NETWORKS = ("lstm", "attention", "transformer", "classifier", "ranker")
# Those that read how a caption feels. Two numbers make no posts alike, so that neighbours do not.
FEELING = tuple(name for name in SIGHTED if name != "neighbours")
# Those that read sentence vectors.
READING = ("classifier", "neighbours", "ranker")


def section_for(name: str, data: Data, **changes: object) -> Train:
    """Settings of a small training that reads what the posts have."""
    return train_section(model=name, sentiment=data.train.posts.sentiment is not None, **changes)


def recipe_of(data: Data) -> Recipe:
    return small_recipe(grid=data.train.posts.features.grid is not None)


def learn(name: str, data: Data, folder: Path, **changes: object) -> Model:
    section = section_for(name if name in SIGHTED else "lstm", data, **({"epochs": 12} | changes))
    return model_class(name).fit(data, section, Place(CPU, folder / f"{name}.pt"))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "grid and sentiment"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    return small_data(folder, train=64, val=16, grid=request.param, sentiment=request.param)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return learn(request.param, data, tmp_path_factory.mktemp("model"))


def other_pictures(posts: Posts) -> Posts:
    """The same captions with the pictures of other posts."""
    return posts.pair([(place + 1) % len(posts) for place in range(len(posts))], range(len(posts)))


def other_captions(posts: Posts) -> Posts:
    """The same pictures with the captions of other posts."""
    return posts.pair(range(len(posts)), [(place + 2) % len(posts) for place in range(len(posts))])


@pytest.mark.parametrize("depth", [1, 4, 100])
def test_rankings_are_distinct_known_and_best_first(model: Model, data: Data, depth: int) -> None:
    known = {hashtag for hashtags in data.train.hashtags for hashtag in hashtags}
    rankings = model.rank(data.val.posts, depth)
    assert len(rankings) == len(data.val)
    for ranking in rankings:
        hashtags, scores = [hashtag for hashtag, _ in ranking], [score for _, score in ranking]
        assert len(hashtags) == len(set(hashtags)) == min(depth, len(known)) and set(hashtags) <= known
        assert scores == sorted(scores, reverse=True)


def test_a_shorter_ranking_is_the_head_of_a_longer_one(model: Model, data: Data) -> None:
    short, long = ([[h for h, _ in one] for one in model.rank(data.val.posts, depth)] for depth in (2, 5))
    assert short == [ranking[:2] for ranking in long]


def test_what_is_written_is_distinct_and_known(model: Model, data: Data) -> None:
    known = {hashtag for hashtags in data.train.hashtags for hashtag in hashtags}
    written = model.write(data.val.posts)
    assert len(written) == len(data.val)
    assert all(hashtags and len(set(hashtags)) == len(hashtags) and set(hashtags) <= known for hashtags in written)


@pytest.mark.parametrize(("blind", "change"), [("image", other_pictures), ("caption", other_captions)])
def test_a_blind_model_does_not_see_that_input(model: Model, data: Data, blind: Blind, change: object) -> None:
    changed = change(data.val.posts)  # type: ignore[operator]
    assert model.write(changed, blind) == model.write(data.val.posts, blind)
    for one, other in zip(model.rank(changed, 5, blind), model.rank(data.val.posts, 5, blind), strict=True):
        assert [hashtag for hashtag, _ in one] == [hashtag for hashtag, _ in other]
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-6)


@pytest.mark.parametrize("name", SIGHTED)
@pytest.mark.parametrize("change", [other_pictures, other_captions])
def test_a_sighted_model_sees_both(name: str, data: Data, tmp_path: Path, change: object) -> None:
    model = learn(name, data, tmp_path)
    assert model.rank(change(data.val.posts), 5) != model.rank(data.val.posts, 5)  # type: ignore[operator]


@pytest.mark.parametrize("name", FEELING)
def test_it_learns_what_only_the_sentiment_says_unless_blind_to_captions(name: str, tmp_path: Path) -> None:
    found = small_data(tmp_path, train=64, val=16, sentiment=True)
    train, val = (dataclasses.replace(part, posts=same_captions(part.posts)) for part in (found.train, found.val))
    data = Data(train, val, found.vocabularies)
    model, posts = learn(name, data, tmp_path, epochs=20), val.posts

    def hits(posts: Posts) -> int:
        rankings = model.rank(posts, 4)
        return sum(hashtag in true for one, true in zip(rankings, val.hashtags, strict=True) for hashtag, _ in one)

    assert hits(posts) > hits(other_captions(posts)) + len(val) / 2
    assert model.rank(other_captions(posts), 4, "caption") == model.rank(posts, 4, "caption")


@pytest.mark.parametrize("name", READING)
def test_it_learns_what_only_sentence_vectors_say_and_keeps_it(name: str, tmp_path: Path) -> None:
    found = small_data(tmp_path, train=64, val=16)
    train, val = (dataclasses.replace(part, posts=with_sentences(part.posts)) for part in (found.train, found.val))
    model, posts = learn(name, Data(train, val, found.vocabularies), tmp_path), val.posts
    for ranking, hashtags in zip(model.rank(posts, 4), val.hashtags, strict=True):
        assert {hashtag for hashtag, _ in ranking} == set(hashtags)
    assert model.rank(other_captions(posts), 4, "caption") == model.rank(posts, 4, "caption")
    recipe = small_recipe(captions="model2vec", caption_weights="x", caption_sha256="0" * 64, caption_dim=3)
    (tmp_path / "model").mkdir()
    Trained(model, About(train_section(model=name), recipe)).save(tmp_path / "model")
    assert Trained.load(tmp_path / "model", CPU).model.rank(posts, 4) == model.rank(posts, 4)


def with_sentences(posts: Posts) -> Posts:
    """Posts whose captions differ in their sentence vectors (n, 3) alone."""
    rows = [[1.0, 0.0, 0.5] if "run" in caption else [0.0, 1.0, 0.5] for caption in posts.captions]
    noise = np.random.default_rng(1).normal(0, 0.02, (len(rows), 3))
    return dataclasses.replace(same_captions(posts), sentences=(np.array(rows) + noise).astype(np.float32))


def same_captions(posts: Posts) -> Posts:
    return dataclasses.replace(posts, captions=["slow run"] * len(posts))


@pytest.mark.parametrize("name", SIGHTED)
@pytest.mark.parametrize(("inputs", "change"), [("image", other_captions), ("caption", other_pictures)])
def test_an_input_that_is_not_learnt_changes_nothing(
    name: str, inputs: str, change: object, data: Data, tmp_path: Path
) -> None:
    model = learn(name, data, tmp_path, inputs=inputs, epochs=2)
    assert model.write(change(data.val.posts)) == model.write(data.val.posts)  # type: ignore[operator]


@pytest.mark.parametrize("name", SIGHTED)
def test_it_learns_what_picture_and_caption_say(name: str, data: Data, tmp_path: Path) -> None:
    model = learn(name, data, tmp_path)
    for ranking, hashtags in zip(model.rank(data.val.posts, 4), data.val.hashtags, strict=True):
        assert {hashtag for hashtag, _ in ranking} == set(hashtags)


def test_one_post_alone_gets_what_it_gets_among_others(model: Model, data: Data) -> None:
    alone = data.val.posts.pair([3], [3])
    assert model.write(alone)[0] == model.write(data.val.posts)[3]
    one, other = model.rank(alone, 5)[0], model.rank(data.val.posts, 5)[3]
    assert [hashtag for hashtag, _ in one] == [hashtag for hashtag, _ in other]


def test_a_picture_of_no_store_and_an_empty_caption_are_no_trouble(model: Model, data: Data) -> None:
    known = data.train.posts
    grid = None if known.features.grid is None else np.ones((1, 49, 8), np.float16)
    features = Features(np.ones((1, 8), np.float16), np.empty((1, 0, 8), np.float16), grid=grid)
    sentiment = None if known.sentiment is None else np.zeros((1, 2), np.float32)
    posts = Posts(features, np.array([0]), [""], sentiment=sentiment)
    assert model.write(posts)[0] and model.write(posts, "caption")[0] and len(model.rank(posts, 3)[0]) == 3


@pytest.mark.parametrize("name", SIGHTED)
def test_saved_and_loaded_it_says_the_same(name: str, data: Data, tmp_path: Path) -> None:
    section = section_for(name, data, epochs=2, weight_decay=3e-5)
    model = model_class(name).fit(data, section, Place(CPU, tmp_path / "checkpoint.pt"))
    about = About(section, recipe_of(data), model.epoch, 0.25 if model.epoch else None)
    (tmp_path / "model").mkdir()
    Trained(model, about).save(tmp_path / "model")
    loaded = Trained.load(tmp_path / "model", CPU)
    assert (loaded.about.recipe, loaded.about.epoch) == (about.recipe, about.epoch)
    assert loaded.about.section.chosen() == section.chosen()
    assert loaded.model.write(data.val.posts) == model.write(data.val.posts)
    assert loaded.model.rank(data.val.posts, 5) == model.rank(data.val.posts, 5)
    kinds = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors"}


@pytest.mark.parametrize("name", SIGHTED)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_folder_is_named(name: str, damage: str, data: Data, tmp_path: Path) -> None:
    section = section_for(name, data, epochs=1)
    model = model_class(name).fit(data, section, Place(CPU, tmp_path / "checkpoint.pt"))
    (tmp_path / "model").mkdir()
    Trained(model, About(section, recipe_of(data))).save(tmp_path / "model")
    for path in sorted((tmp_path / "model").rglob("*")):
        if path.is_dir() or path.name == "tokenizer.json":
            continue  # for other programs: nothing here reads it
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(HashgenError, match=r"again|creates it"):
            Trained.load(tmp_path / "model", CPU)
        path.write_bytes(whole)
    Trained.load(tmp_path / "model", CPU)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGHTED)
def test_two_runs_write_the_same_bytes(name: str, tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from hashgen.models import Place, model_class; from hashgen.models.folder import About, Trained\n"
        "from tests.doubles.settings import small_recipe, train_section\n"
        "from tests.doubles.small_world import small_data\n"
        "folder, name = Path(sys.argv[1]), sys.argv[2]; section = train_section(model=name, epochs=1)\n"
        "place = Place(torch.device('cpu'), folder / 'c.pt'); data = small_data(folder); (folder / 'm').mkdir()\n"
        "model = model_class(name).fit(data, section, place)\n"
        "Trained(model, About(section, small_recipe(), model.epoch)).save(folder / 'm')\n"
    )
    for run in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / run), name], check=True)
    files = [file for file in (tmp_path / "one" / "m").rglob("*") if file.is_file()]
    assert len(files) > 2
    for file in files:
        other = tmp_path / "two" / file.relative_to(tmp_path / "one")
        assert file.read_bytes() == other.read_bytes(), file.name


def test_another_way_to_search_is_another_model_of_the_same_weights(model: Model, data: Data) -> None:
    beam = Decoding("beam", 3, 1.0)
    other = model.with_decoding(beam)
    if model.decoding is None:
        assert other is model
    else:
        assert other.decoding == beam and model.decoding == Decoding()
        assert other.rank(data.val.posts, 4) == model.rank(data.val.posts, 4)


@pytest.mark.parametrize("name", SIGHTED)
def test_the_blocks_of_other_models_are_not_saved(name: str, tmp_path: Path) -> None:
    """A parameter of a model that is not chosen changes neither its folder nor its checkpoint's key."""
    needed = {name, *train_section(model=name).members()}
    others = dict.fromkeys(block for block in SIGHTED if block not in needed)
    one, other = train_section(model=name), train_section(model=name, **others)
    assert one != other and one.chosen() == other.chosen()
    About(other, small_recipe()).write(tmp_path)
    read = About.read(tmp_path).section
    assert read.chosen() == one.chosen() and all(getattr(read, block) is None for block in others)


def test_only_the_chosen_models_file_is_imported() -> None:
    for name in MODELS:
        code = (
            f"import sys; from hashgen.models import model_class; model_class({name!r})\n"
            "print(*sorted(m for m in sys.modules if m.startswith('hashgen.models.')), 'torch' in sys.modules)"
        )
        told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        needed = {name, "classifier"} if name == "ranker" else {name}
        others = {f"hashgen.models.{other}" for other in MODELS if other not in needed}
        assert f"hashgen.models.{name}" in told and not others & set(told)
        assert (told[-1] == "True") == (name in NETWORKS)


def test_no_hashtag_of_the_scored_posts_reaches_a_prediction(model: Model, data: Data) -> None:
    assert set(Posts.__dataclass_fields__) == {"features", "rows", "captions", "sentences", "sentiment"}
    habits = Habits(data.train.hashtags)
    planted = Labelled(data.val.posts, [["planted", *reversed(hashtags)] for hashtags in data.val.hashtags])
    found = [predict(model, Scored(labelled, [], habits)) for labelled in (data.val, planted)]
    assert found[0] == found[1]
    assert not any("planted" in hashtags for hashtags in (*found[1].written, *found[1].ranked))
