"""The ensemble: weights, what is mixed, and what a folder of folders holds."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.base.files import sha256_of_file, write_json
from hashgen.features.posts import Features, Posts
from hashgen.metrics.calibration import Calibration
from hashgen.models import Place, model_class
from hashgen.models.ensemble import EnsembleModel, Member, _best_weights, simplex
from hashgen.models.folder import Trained
from hashgen.models.habits import Habits
from hashgen.models.popularity import Popularity
from hashgen.params import read_section
from hashgen.params.train import Ensemble, Train
from hashgen.training.about import About
from stages.train import _key
from tests import ROOT
from tests.doubles.settings import small_recipe, train_section
from tests.doubles.small_world import small_data
from tests.properties import examples

CPU = torch.device("cpu")


@examples(50)
@given(st.integers(1, 4), st.integers(1, 6))
def test_weights_are_all_that_make_one_the_most_even_first(members: int, parts: int) -> None:
    found = list(simplex(members, parts))
    whole = [one for one in itertools.product(range(parts + 1), repeat=members) if sum(one) == parts]
    assert sorted(found) == sorted(tuple(weight / parts for weight in one) for one in whole)
    squares = [sum(weight**2 for weight in weights) for weights in found]
    assert squares == pytest.approx(sorted(squares))


def test_weights_are_those_with_the_best_five_of_equals_the_most_even() -> None:
    good = [("a", 0.5), ("b", 0.4), ("c", 0.3), ("d", 0.2), ("e", 0.1)]
    bad = [(hashtag.upper(), score) for hashtag, score in good]
    true = [["a", "b", "c", "d", "e"]]
    assert _best_weights([[good], [good]], true) in ((0.4, 0.6), (0.6, 0.4))
    # Any mixture lets wrong ones among the five.
    assert _best_weights([[good], [bad]], true) == (1.0, 0.0)
    assert _best_weights([[bad], [good]], true) == (0.0, 1.0)
    # The first knows one half, the second the other: both are needed.
    halves = [[("a", 0.5), ("b", 0.5), ("x", 0.1), ("y", 0.1)]], [[("c", 0.5), ("d", 0.5), ("z", 0.1)]]
    assert 0 < _best_weights(halves, [["a", "b", "c", "d"]])[0] < 1


def test_the_mean_of_calibrated_scores_is_ranked() -> None:
    sea, wood = Popularity([["sea", "love"], ["sea"]]), Popularity([["wood", "love"], ["wood"]])
    members = [Member("one", sea, 0.75, None), Member("two", wood, 0.25, None)]
    habits = Habits([["sea", "love"], ["sea"], ["wood"], ["rare"]])
    features = Features(np.ones((1, 2), np.float16), np.empty((1, 0, 2), np.float16))
    posts = Posts(features, np.array([0]), ["caption"])
    assert EnsembleModel(members, habits, 1.25).rank(posts, 9) == [
        [("sea", 0.75), ("love", 0.5), ("wood", 0.25), ("rare", 0.0)]
    ]
    # .75 / (1 + .25) is more than 1.25 / (2 + .25); of one expected, 1.25 / (2 + 1) is more than .75 / (1 + 1).
    assert EnsembleModel(members, habits, 0.25).write(posts) == [["sea"]]
    assert EnsembleModel(members, habits, 1.0).write(posts) == [["sea", "love"]]
    # A third of the odds: of love, that the second member gives 1 to 1, 1 to 3 is left.
    lower = Calibration(1.0, 1.0, -np.log(3))
    calibrated = EnsembleModel([members[0], Member("two", wood, 0.25, lower)], habits, 1.0).rank(posts, 4)
    assert [hashtag for hashtag, _ in calibrated[0][:2]] == ["sea", "love"]
    assert calibrated[0][1][1] == pytest.approx(0.75 * 0.5 + 0.25 * 0.25)
    whole = EnsembleModel(members, habits, 1.0, lower).rank(posts, 4)[0]
    assert whole[0][1] == pytest.approx(0.5) and whole[3] == ("rare", 0.0)


def test_a_member_without_weight_is_not_asked() -> None:
    class Never(Popularity):
        def rank(self, *arguments: object) -> list[list[tuple[str, float]]]:
            raise AssertionError("asked")

    sea = Popularity([["sea"]])
    ensemble = EnsembleModel([Member("one", sea, 1.0, None), Member("two", Never([["x"]]), 0.0, None)], sea.habits, 1.0)
    features = Features(np.ones((1, 2), np.float16), np.empty((1, 0, 2), np.float16))
    assert ensemble.rank(Posts(features, np.array([0]), [""]), 2) == [[("sea", 1.0)]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of neighbours and classifier."""
    path = tmp_path_factory.mktemp("ensemble")
    section = train_section(model="ensemble", ensemble=Ensemble(members=("neighbours", "classifier")))
    model = model_class("ensemble").fit(small_data(path / "data"), section, Place(CPU, path / "checkpoint.pt"))
    (path / "model").mkdir()
    Trained(model, About(section, small_recipe())).save(path / "model")
    return path / "model"


def test_each_member_has_a_folder_and_every_file_its_hash(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "model.json",
        "sha256.json",
        "ensemble.json",
        "neighbours/neighbours.json",
        "neighbours/neighbours.safetensors",
        "classifier/classifier.json",
        "classifier/classifier.safetensors",
        "classifier/habits.json",
    }
    assert set(json.loads((folder / "sha256.json").read_text())) == files - {"sha256.json"}
    saved = json.loads((folder / "model.json").read_text())["train"]
    assert {"ensemble", "neighbours", "classifier"} < set(saved) and "lstm" not in saved
    known = json.loads((folder / "ensemble.json").read_text())
    assert sum(member["weight"] for member in known["members"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight", -1.0), ("weight", float("nan")), ("weight", "x"), ("weight", None), ("calibration", {"rise": 1})],
)
def test_a_member_that_cannot_be_is_refused(folder: Path, key: str, value: object) -> None:
    path, hashes = folder / "ensemble.json", folder / "sha256.json"
    before = path.read_text(), hashes.read_text()
    known = json.loads(before[0])
    for member in known["members"].values():
        member[key] = value
    path.write_text(json.dumps(known))
    write_json(hashes, json.loads(before[1]) | {"ensemble.json": sha256_of_file(path)})
    with pytest.raises(HashgenError, match="run the stage train again"):
        Trained.load(folder, CPU)
    path.write_text(before[0])
    hashes.write_text(before[1])
    Trained.load(folder, CPU)


def test_a_checkpoint_goes_by_the_members_settings_and_by_no_others(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("manifest", "vocab", "features")]
    for path in folders:
        path.mkdir()
    for split in ("train", "val"):
        (folders[0] / f"{split}.parquet").write_bytes(b"")
    section = train_section(model="ensemble")

    def key(**changes: object) -> str:
        return _key(train_section(model="ensemble", **changes), "cpu", *folders)

    assert section.lstm is not None and section.attention is not None
    other = {name: getattr(section, name).model_copy(update={"hidden": 17}) for name in ("lstm", "attention")}
    assert key(attention=other["attention"]) == key()
    assert key(lstm=other["lstm"]) != key()
    assert key(ensemble=Ensemble(members=("lstm", "ranker"))) != key()


@pytest.mark.parametrize("members", [[], ["lstm"], ["lstm", "lstm"], ["lstm", "ensemble"], ["lstm", "gpt"], "lstm"])
def test_members_that_make_no_ensemble_are_named(members: object, tmp_path: Path) -> None:
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["train"]["ensemble"]["members"] = members
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)
    with pytest.raises(HashgenError, match=r"params\.yaml: train\.ensemble"):
        read_section(tmp_path / "params.yaml", Train)
