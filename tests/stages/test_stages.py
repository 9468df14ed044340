"""The stages called one after the other on a small sample, as plain functions: what they write and what they refuse."""

import dataclasses
import errno
import importlib
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from hashgen import Suggester, cli
from hashgen.base.errors import HashgenError
from hashgen.models.folder import Trained
from hashgen.params import watching
from hashgen.scoring.costs import parameters
from hashgen.text.sentiment import _analyse
from stages import baselines, evaluate, featurize, filter, report, scrape, split, suggester, train, vocab
from stages.command import _command
from tests import ROOT
from tests.doubles.clone import SMALL, merge


class Project:
    """A folder with params.yaml and the outputs of the stages run so far."""

    def __init__(self, root: Path, changes: dict[str, Any]) -> None:
        self.root = root
        self.data = root / "data"
        self.metrics = root / "metrics"
        self.params = root / "params.yaml"
        self.home = root / "home"
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        merge(params, SMALL)
        merge(params, changes)
        root.mkdir(parents=True, exist_ok=True)
        yaml.dump(params, self.params)

    def copy(self, root: Path, changes: dict[str, Any]) -> "Project":
        shutil.copytree(self.root, root)
        return Project(root, changes)

    def scrape(self) -> None:
        truth, metrics = self.data / "truth.parquet", self.metrics / "scrape.json"
        scrape.main(out=self.data / "raw", truth=truth, metrics=metrics, home=self.home, params=self.params)

    def filter(self) -> None:
        posts, rejects = self.data / "posts.parquet", self.data / "rejects.parquet"
        filter.main(
            raw=self.data / "raw", posts=posts, rejects=rejects, metrics=self.metrics / "filter.json",
            workers=1, params=self.params,
        )  # fmt: skip

    def split(self) -> None:
        split.main(
            posts=self.data / "posts.parquet", out=self.data / "manifest", metrics=self.metrics / "split.json",
            params=self.params,
        )  # fmt: skip

    def vocab(self) -> None:
        vocab.main(self.data / "manifest", self.data / "vocab", self.metrics / "vocab.json", self.params)

    def featurize(self) -> None:
        posts, raw, out = self.data / "posts.parquet", self.data / "raw", self.data / "features"
        featurize.main(posts=posts, raw=raw, out=out, home=self.home, device="cpu", workers=0, params=self.params)

    def baselines(self) -> None:
        baselines.main(
            manifest=self.data / "manifest", features=self.data / "features",
            metrics=self.metrics / "baselines.json", predictions=self.data / "baselines.parquet", params=self.params,
        )  # fmt: skip

    def train(self) -> None:
        train.main(
            self.data / "manifest", self.data / "vocab", self.data / "features", self.root / "trained",
            self.root / "history.csv", self.home, "cpu", self.params,
        )  # fmt: skip

    def suggester(self) -> None:
        suggester.main(
            self.data / "manifest", self.data / "vocab", self.data / "features", self.root / "suggester",
            self.home, "cpu", self.params,
        )  # fmt: skip

    def evaluate(self) -> None:
        evaluate.main(
            self.data / "posts.parquet", self.data / "rejects.parquet", self.data / "truth.parquet",
            self.data / "manifest", self.data / "features", self.root / "trained", self.root / "suggester",
            self.root / "model", self.data / "baselines.parquet", self.metrics / "evaluate.json",
            self.metrics / "scores.json", self.data / "predictions.parquet", self.data / "others.parquet",
            self.data / "grid.parquet", "cpu", self.params,
        )  # fmt: skip

    def report(self) -> None:
        names = ("scrape", "filter", "split", "vocab", "baselines", "evaluate")
        metrics = {name: self.metrics / f"{name}.json" for name in names}
        report.main(
            **metrics, history=self.root / "history.csv", model=self.root / "model", trained=self.root / "trained",
            predictions=self.data / "predictions.parquet", grid=self.data / "grid.parquet",
            manifest=self.data / "manifest", rejects=self.data / "rejects.parquet", raw=self.data / "raw",
            times=self.root / "seconds.json", out=self.root / "report.html",
            model_card=self.root / "MODEL_CARD.md", dataset_card=self.root / "DATASET_CARD.md",
            filter_plot=self.root / "plots/filter.csv", hashtags_plot=self.root / "plots/hashtags.csv",
            cards=self.root / "plots/cards", params=self.params,
        )  # fmt: skip

    def read(self, name: str) -> Any:
        return json.loads((self.metrics / f"{name}.json").read_text())


REPORTS = ("report.html", "MODEL_CARD.md", "DATASET_CARD.md")
STAGES = ("scrape", "filter", "split", "vocab", "featurize", "baselines", "train", "suggester", "evaluate", "report")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("stages") / "project", {})
    for stage in STAGES:
        getattr(project, stage)()
    return project


Copy = Callable[..., Project]


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Copy:
    return lambda changes=None: project.copy(tmp_path / "copy", changes or {})


def of_model(scores: Any, name: str) -> Any:
    """What evaluate says of a model, whichever of the two it chose."""
    return scores if scores["model"] == name else scores["others"][name]


def test_evaluation_is_laid_out_as_documented(project: Project) -> None:
    scores = project.read("evaluate")
    assert {scores["model"], *scores["others"]} == {"lstm", "ranker"}
    for name in ("lstm", "ranker"):
        found = of_model(scores, name)
        for which in ("val", "test"):
            check_layout(found[which], len(pd.read_parquet(project.data / "manifest" / f"{which}.parquet")), name)
    assert of_model(scores, "lstm")["best_epoch"] and of_model(scores, "ranker")["best_epoch"] is None
    for name, folder in (("lstm", "trained"), ("ranker", "suggester")):
        assert of_model(scores, name)["parameters"] == parameters(project.root / folder) > 1000
    assert scores["bleu_signature"].count("tok:none") == 1
    assert scores["audit"]["dirty_kept"] == scores["audit"]["clean_lost"] == scores["audit"]["wrong_reason"] == 0
    assert scores["audit"]["dirty"] == sum(scores["audit"]["by_reason"].values()) > 0


def check_layout(scores: Any, posts: int, model: str) -> None:
    for name in ("both", "no_image", "no_caption"):
        block = scores[name]
        assert block["posts"] == posts
        for key in ("bleu4", "bleu1", "p_at_1", "r_at_5", "f1_at_5", "f1", "hit_at_5", "map_at_10"):
            low, high = block[f"{key}_ci95"]
            assert 0 <= low <= high <= 1 and 0 <= block[key] <= 1
    assert set(scores["ceiling"]) == {"both", "image", "caption", "neither"}
    assert scores["both"]["facets"].keys() == {"not_seed", "not_in_caption", "rare"}
    if model == "lstm":
        assert set(scores["paper_protocol"]) == {"model", "constant", "nothing"}
        assert scores["greedy"]["bleu4"] == scores["both"]["bleu4"] and "calibration" not in scores["both"]
    else:
        assert set(scores["paper_protocol"]) == {"constant", "nothing"}
        assert sum(one["count"] for one in scores["both"]["calibration"]["bins"]) == 5 * posts


def test_the_suggester_suggests_unless_the_other_is_clearly_better_on_validation(project: Project, copy: Copy) -> None:
    again = copy({"suggester": {"model": "classifier"}, "train": {"classifier": {"epochs": 1}}})
    again.suggester()
    again.evaluate()
    for run in (project, again):
        scores = run.read("evaluate")
        other = next(iter(scores["others"].values()))
        if scores["model"] == "lstm":
            assert scores["val"]["both"]["f1_at_5"] > other["val"]["both"]["f1_at_5"]
    scores = project.read("evaluate")
    card = (project.root / "MODEL_CARD.md").read_text()
    assert "the hashtags and the words, or pieces of words, of the captions of its training posts" in card
    chosen = {"lstm": "trained", "ranker": "suggester"}[scores["model"]]
    for file in (project.root / chosen).glob("*"):
        if file.name == "sha256.json":
            continue  # of more files: how the model stands, and its index
        assert (project.root / "model" / file.name).read_bytes() == file.read_bytes()
    standing = json.loads((project.root / "model/standing.json").read_text())
    baselines = project.read("baselines")["val"]
    assert standing["f1_at_5"] == pytest.approx(scores["val"]["both"]["f1_at_5"], abs=1e-4)
    assert standing["baseline_f1_at_5"] == pytest.approx(
        max(one["f1_at_5"] for name, one in baselines.items() if name != "seeds"), abs=1e-4
    )


def test_an_ensemble_that_sees_places_and_sentiment_goes_all_the_way(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"model": "ensemble", "sentiment": True, "ensemble": {"members": ["attention", "neighbours"]}}
    again = copy({"featurize": {"grid": True}, "train": train, "suggester": {"model": "attention"}})
    monkeypatch.setattr("hashgen.text.sentiment._analyse", lambda: lambda caption: (len(caption) / 1000, 0.5))
    for stage in ("featurize", "baselines", "train", "suggester", "evaluate", "report"):
        getattr(again, stage)()
    assert not list((again.home / "checkpoints").glob("*.pt"))
    scores = again.read("evaluate")
    assert {scores["model"], *scores["others"]} == {"ensemble", "attention"}
    ensemble = of_model(scores, "ensemble")["test"]
    assert ensemble["both"]["f1_at_5"] != ensemble["no_image"]["f1_at_5"]
    for name in ("trained", "suggester"):
        found = Suggester.load(again.root / name, device="cpu")
        assert found.trained.about.section.sentiment and found.trained.about.recipe.grid
        Image.new("RGB", (80, 60), "teal").save(again.root / "picture.png")
        assert found.suggest(again.root / "picture.png", "A walk by the sea")
    monkeypatch.undo()
    _analyse.cache_clear()
    monkeypatch.setitem(sys.modules, "textblob.sentiments", None)
    with pytest.raises(HashgenError, match=r'^train\.sentiment: .*pip install "textblob>=0\.19"$'):
        again.train()


def test_the_chosen_model_is_held_against_every_other(project: Project) -> None:
    scores, baselines = project.read("evaluate"), project.read("baselines")["test"]
    against = scores["test"]["against"]
    assert set(against) == {*baselines, *scores["others"]}
    for name, block in baselines.items():
        difference = scores["test"]["both"]["f1_at_5"] - block["f1_at_5"]
        assert against[name]["f1_at_5"]["difference"] == pytest.approx(difference, abs=2e-4)


def test_the_few_figures_that_dvc_compares_are_those_of_all_metrics(project: Project) -> None:
    few, scores = project.read("scores"), project.read("evaluate")
    test = scores["test"]
    flat = {key: value for key, value in few.items() if not isinstance(value, dict)}
    assert [few["f1_at_5_low"], few["f1_at_5_high"]] == test["both"]["f1_at_5_ci95"]
    assert flat.keys() == {"f1_at_5", "p_at_1", "p_at_5", "f1", "bleu4", "f1_at_5_low", "f1_at_5_high"}
    assert few["ceiling"]["f1_at_5"] == test["ceiling"]["both"]["f1_at_5"]
    assert few["no_image"]["f1_at_5"] == test["no_image"]["f1_at_5"]
    assert few["val"]["f1_at_5"] == scores["val"]["both"]["f1_at_5"] != few["f1_at_5"]
    assert few.keys() - flat.keys() == {"val", "no_image", "no_caption", "ceiling", *scores["others"]}


def test_predictions_agree_with_the_scores(project: Project) -> None:
    written = pd.read_parquet(project.data / "predictions.parquet")
    test = written[written["split"] == "test"]
    hits = [post["ranked"][0] in post["hashtags"] for _, post in test.iterrows()]
    assert sum(hits) / len(hits) == pytest.approx(project.read("evaluate")["test"]["both"]["p_at_1"], abs=1e-4)
    others = pd.read_parquet(project.data / "others.parquet")
    assert list(others["id"]) == list(written["id"]) and set(others["model"]).isdisjoint(written["model"])
    for rows in (written, others):
        searched = ("greedy", "beam") if rows["model"].iloc[0] == "lstm" else ()
        for column in ("both", "no_image", "no_caption", "ranked", *searched):
            assert all(len(set(tags)) == len(tags) >= 1 for tags in rows[column])


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(project: Project, copy: Copy) -> None:
    again = copy()
    for stage in STAGES:
        getattr(again, stage)()
    for name in ("data", "metrics", "model", "trained", "suggester", "history.csv", "plots", *REPORTS):
        path = project.root / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.*")):
            other = again.root / file.relative_to(project.root)
            if file.is_file():
                assert file.read_bytes() == other.read_bytes(), file
    assert not list((again.home / "checkpoints").glob("*.pt"))


def test_the_reports_are_the_same_twice(project: Project, copy: Copy) -> None:
    again = copy()
    again.report()
    for name in (*REPORTS, "plots/cards/grid.png", "plots/hashtags.csv"):
        assert (again.root / name).read_bytes() == (project.root / name).read_bytes(), name


def test_the_report_shows_times_and_can_leave_pictures_out(copy: Copy) -> None:
    again = copy({"report": {"pictures": False}})
    assert "data:image/jpeg" in (again.root / "report.html").read_text()
    (again.root / "seconds.json").write_text('{"train": 51.2, "report": 9876543}')
    (again.root / "ablations.html").write_text("")
    again.report()
    page = (again.root / "report.html").read_text()
    assert '<a href="ablations.html">' in page and "make seeds" in page
    assert "<td>51.2</td>" in page and "9876543" not in page and "not recorded" in page
    assert "data:image/jpeg" not in page and "picture left out" in page
    assert {path.name for path in (again.root / "plots/cards").iterdir()} >= {"grid.png", "best.png"}


def test_a_report_that_fails_leaves_the_old_files(copy: Copy) -> None:
    again = copy()
    files = [again.root / name for name in (*REPORTS, "plots/filter.csv")]
    for file in files:
        file.write_text("old")
    scores = again.read("evaluate")
    del scores["test"]["paper_protocol"]
    (again.metrics / "evaluate.json").write_text(json.dumps(scores))
    with pytest.raises(HashgenError, match="lack a value"):
        again.report()
    assert all(file.read_text() == "old" for file in files)


def test_the_grid_crosses_pictures_and_captions(project: Project) -> None:
    grid = pd.read_parquet(project.data / "grid.parquet")
    written = pd.read_parquet(project.data / "predictions.parquet").set_index("id")
    posts = list(dict.fromkeys(grid["picture"]))
    assert len(posts) == 3 and len(grid) == 9
    assert list(zip(grid["picture"], grid["caption_of"], strict=True)) == [(p, c) for p in posts for c in posts]
    assert all(written.loc[post, "split"] == "test" for post in posts)
    assert all(row["caption"] == written.loc[row["caption_of"], "caption"] for _, row in grid.iterrows())


@pytest.mark.slow
def test_training_goes_on_from_a_kept_epoch(
    project: Project, copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = copy()
    shutil.rmtree(again.root / "trained")

    def killed(epoch: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stages.train._print_epoch", killed)
        again.train()
    assert not (again.root / "trained").exists()
    capsys.readouterr()
    again.train()
    said = capsys.readouterr()
    assert "train: epoch 1:" not in said.out and "train: resumes after epoch 1 " in said.err
    assert (again.root / "trained/model.safetensors").read_bytes() == (
        project.root / "trained/model.safetensors"
    ).read_bytes()


def test_a_model_without_epochs_goes_all_the_way(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    again = copy({"train": {"model": "neighbours"}, "suggester": {"model": "neighbours"}})
    for stage in ("train", "suggester", "evaluate", "report"):
        getattr(again, stage)()
    assert "train: neighbours from " in capsys.readouterr().out
    model = again.read("evaluate")["test"]["both"]
    assert model["f1_at_5"] > again.read("baselines")["test"]["popularity"]["f1_at_5"]
    assert again.read("evaluate")["others"] == {}  # the same model twice is one
    assert (
        again.read("evaluate")["best_epoch"] is None and "model" not in again.read("evaluate")["test"]["paper_protocol"]
    )
    assert len((again.root / "history.csv").read_text().splitlines()) == 1
    assert "no curves" in (again.root / "report.html").read_text()
    picture = again.root / "picture.png"
    Image.new("RGB", (64, 64), "navy").save(picture)
    cli.suggest([str(picture), "a walk by the sea"], model=again.root / "model", device="cpu")
    assert capsys.readouterr().out.startswith("#")
    with pytest.raises(HashgenError, match="the caption is given by --caption already"):
        cli.suggest([str(picture), "a walk"], "a walk", model=again.root / "model", device="cpu")


def test_suggest_ranks_as_evaluate_did(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    written = pd.read_parquet(project.data / "predictions.parquet")
    posts = pd.read_parquet(project.data / "manifest/test.parquet").set_index("id")
    post = written[written["split"] == "test"].iloc[0]
    place = posts.loc[post["id"]]
    raw = pd.read_parquet(project.data / "raw" / place["shard"])
    picture = project.root / "picture.jpg"
    picture.write_bytes(raw.iloc[place["row"]]["image"]["bytes"])
    cli.suggest([str(picture), post["caption"]], model=project.root / "model", device="cpu")
    # One picture is encoded alone, in a batch of many by the stage: the last bits may differ, the first hashtag not.
    assert capsys.readouterr().out.split()[0] == f"#{post['ranked'][0]}"
    cli.suggest([str(picture)], model=project.root / "model", device="cpu")
    assert capsys.readouterr().out.startswith("#")
    with pytest.raises(HashgenError, match=r"none\.jpg: no such file"):
        cli.suggest([str(project.root / "none.jpg")], model=project.root / "model", device="cpu")
    picture.write_text("<html>")
    with pytest.raises(HashgenError, match=r"picture\.jpg: not a readable picture"):
        cli.suggest([str(picture)], model=project.root / "model", device="cpu")


def test_suggest_refuses_another_backbone_than_the_model_learnt_with(project: Project, copy: Copy) -> None:
    again = copy()
    trained = Trained.load(again.root / "model", torch.device("cpu"))
    recipe = dataclasses.replace(trained.about.recipe, seed=trained.about.recipe.seed + 1)
    Trained(trained.model, dataclasses.replace(trained.about, recipe=recipe)).save(again.root / "model")
    with pytest.raises(HashgenError, match="trained with other weights"):
        Suggester.load(again.root / "model", device="cpu")


def test_evaluate_refuses_features_of_another_recipe(copy: Copy) -> None:
    again = copy()
    path = again.data / "features/features.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(HashgenError, match="run the stage train again"):
        again.evaluate()


@pytest.mark.parametrize(
    ("stage", "missing", "made_by"),
    [
        ("filter", "data/raw", "scrape"),
        ("split", "data/posts.parquet", "filter"),
        ("vocab", "data/manifest", "split"),
        ("featurize", "data/posts.parquet", "filter"),
        ("featurize", "data/raw", "scrape"),
        ("baselines", "data/features", "featurize"),
        ("train", "data/vocab", "vocab"),
        ("train", "data/features", "featurize"),
        ("train", "data/manifest", "split"),
        ("evaluate", "trained", "train"),
        ("evaluate", "suggester", "suggester"),
        ("evaluate", "data/truth.parquet", "scrape"),
        ("evaluate", "data/rejects.parquet", "filter"),
        ("report", "metrics/evaluate.json", "evaluate"),
        ("report", "history.csv", "train"),
        ("report", "data/predictions.parquet", "evaluate"),
        ("report", "data/grid.parquet", "evaluate"),
        ("report", "model/model.json", "train"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_missing_and_broken_inputs_name_themselves_and_their_stage(
    copy: Copy, stage: str, missing: str, made_by: str, damage: str
) -> None:
    again = copy({"featurize": {"seed": 2}} if missing == "data/raw" else None)
    path = again.root / missing
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        file.unlink() if damage == "missing" else file.write_bytes(b"\x00 not this")
    with pytest.raises(HashgenError) as caught:
        getattr(again, stage)()
    message = str(caught.value)
    assert Path(missing).name in message and made_by in message and "\n" not in message


@pytest.mark.parametrize(
    ("changes", "stage", "key"),
    [
        ({"vocab": {"min_hashtag_count": 10_000}}, "vocab", "vocab.min_hashtag_count"),
        ({"vocab": {"min_word_count": 10_000}}, "vocab", "vocab.min_word_count"),
        ({"vocab": {"glove": "none.txt"}}, "vocab", "vocab.glove"),
        ({"featurize": {"backbone": "resnet49"}}, "featurize", "featurize.backbone"),
        ({"featurize": {"weights": "none.pth"}}, "featurize", "featurize.weights"),
        ({"featurize": {"precision": "float16"}}, "featurize", "featurize.precision"),
    ],
)
def test_parameters_that_leave_nothing_name_their_key(
    copy: Copy, changes: dict[str, Any], stage: str, key: str
) -> None:
    with pytest.raises(HashgenError, match=key.replace(".", r"\.")):
        getattr(copy(changes), stage)()


def test_vectors_from_glove(copy: Copy) -> None:
    again = copy({"vocab": {"dimension": 2}})
    vectors = again.root / "glove.txt"
    vectors.write_text("love 1 2\nbeach 3 4\nlife 5 6\nthe 7 8\n")
    again = Project(again.root, {"vocab": {"dimension": 2, "glove": str(vectors)}})
    again.vocab()
    metrics = again.read("vocab")
    assert metrics["glove"]["file"] == "glove.txt" and len(metrics["glove"]["sha256"]) == 64
    assert 0 < metrics["hashtags"]["glove_own"] < metrics["hashtags"]["glove_with_split"] < 1


def test_inputs_can_be_switched_off(copy: Copy) -> None:
    again = copy({"train": {"inputs": "caption", "epochs": 1}})
    again.train()
    again.evaluate()
    scores = of_model(again.read("evaluate"), "lstm")["test"]
    assert scores["both"]["bleu1"] == scores["no_image"]["bleu1"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_at_the_end_of_a_stage(copy: Copy, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    again = copy()

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self), None, str(target))

    with monkeypatch.context() as patch, pytest.raises(HashgenError, match=r": the disk is full; free some ") as raised:
        patch.setattr(Path, "replace", full)
        getattr(again, stage)()
    assert raised.value.exit_code == 8 and str(again.root) in str(raised.value)
    assert not [path for path in again.root.rglob("*") if "partial" in path.name]
    assert "partial" not in str(raised.value)
    getattr(again, stage)()


# For each stage a parameter that it uses, and one that decides nothing there.
EDITS = [
    ("scrape", "scrape.sample.dirt", 0.3, "scrape.folder.path"),
    ("filter", "filter.min_side", 40, "split.seed"),
    ("split", "split.seed", 9, "train.seed"),
    ("vocab", "vocab.glove", "glove.txt", "filter.min_side"),
    ("featurize", "featurize.views", 2, "scrape.sample.seed"),
    ("baselines", "baselines.bootstrap", 30, "evaluate.bootstrap"),
    ("train", "train.lstm.dropout", 0.25, "train.neighbours.posts"),
    ("evaluate", "evaluate.beam", 3, "train.epochs"),
    ("report", "split.seed", 9, "split.shares"),
]


def edit(params: Path, key: str, value: object) -> Any:
    """Set one value of a parameter file; returns the one before."""
    yaml = YAML()
    document = place = yaml.load(params)
    *parents, last = key.split(".")
    for parent in parents:
        place = place[parent]
    before, place[last] = place[last], value
    yaml.dump(document, params)
    return before


def test_a_training_whose_parameters_are_edited_is_kept(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = copy()
    told: list[float] = []

    def epoch_told(_: Any) -> None:
        told.append(edit(again.params, "train.weight_decay", 0.5 if not told else 0.25))

    with monkeypatch.context() as patch, pytest.raises(HashgenError, match=r"train\.weight_decay changed from 0\.0001"):
        patch.setattr("stages.train._print_epoch", epoch_told)
        with watching():
            again.train()
    edit(again.params, "train.weight_decay", told[0])
    capsys.readouterr()
    with watching():
        again.train()
    said = capsys.readouterr()
    assert "resumes after epoch 2" in said.err and "train: epoch" not in said.out
    assert not list((again.home / "checkpoints").glob("*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "used", "value", "unused"), EDITS, ids=[edit[0] for edit in EDITS])
def test_parameters_that_are_edited_while_a_stage_runs(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    stage: str, used: str, value: object, unused: str,
) -> None:  # fmt: skip
    """What is recorded at the end of a stage are the values of then, not those that it used."""
    again = copy()
    module = importlib.import_module(f"stages.{stage}")
    command = _command(module.main)
    names = list(inspect.signature(module.main).parameters)
    monkeypatch.setattr(module, "main", lambda *given, **named: command(
        quiet=False, **dict(zip(names, given, strict=False)), **named))  # fmt: skip
    before: list[Any] = []
    monkeypatch.setattr(module, "done", lambda *_: before.append(edit(again.params, used, value)))
    with pytest.raises(HashgenError, match=r"while the stage ran; run it again$") as raised:
        getattr(again, stage)()
    assert (raised.value.exit_code, raised.value.stage) == (1, stage)
    old, new = json.dumps(before[0]), json.dumps(value)
    assert f"{again.params}: {used} changed from {old} to {new} while" in str(raised.value)
    edit(again.params, used, before[0])
    monkeypatch.setattr(module, "done", lambda *_: edit(again.params, unused, 1))
    capsys.readouterr()
    getattr(again, stage)()
