"""The whole pipeline by DVC on a small sample, in a copy of the repository: what a user types."""

import json
import re

import pandas as pd
import pytest

from tests.doubles.clone import Clone, copy_of_run, stages_run

pytestmark = pytest.mark.slow

FOLDER = ["-S", "scrape.source=folder", "-S", "scrape.folder.path=../photos"]


NEIGHBOURS = ("knn_image", "knn_caption", "knn_both", "knn_tuned", "knn_copy")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return copy_of_run(tmp_path_factory, "pipeline")


def test_repro_makes_everything_and_a_second_one_runs_nothing(clone: Clone) -> None:
    evaluated = clone.json("metrics/evaluate.json")
    for split in ("val", "test"):
        assert {"both", "no_image", "no_caption", "ceiling", "paper_protocol"} <= evaluated[split].keys()
        assert 0 <= evaluated[split]["both"]["bleu4"] <= 1
    assert evaluated["audit"]["dirty_kept"] == evaluated["audit"]["clean_lost"] == 0
    assert evaluated["audit"]["dirty"] > 0
    baselines = clone.json("metrics/baselines.json")
    assert {*NEIGHBOURS, "popularity", "seeds"} == baselines["test"].keys()
    page = (clone.root / "reports/report.html").read_text()
    assert "<svg" in page and "data:image/jpeg;base64," in page and "<script" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    predictions = pd.read_parquet(clone.root / "data/predictions.parquet")
    tests = pd.read_parquet(clone.root / "data/manifest/test.parquet")
    assert set(predictions[predictions["split"] == "test"]["id"]) == set(tests["id"])
    assert "up to date" in clone.run("dvc", "repro")


def test_no_hashtag_stands_in_the_captions_that_go_in(clone: Clone) -> None:
    posts = pd.read_parquet(clone.root / "data/posts.parquet")
    assert not posts["caption"].str.contains("#").any()
    assert (posts["hashtags"].str.len() > 0).all()


def test_an_experiment_on_training_runs_training_and_what_follows(clone: Clone) -> None:
    output = clone.run("dvc", "exp", "run", "-S", "train.lstm.hidden=24")
    assert stages_run(output) == ["train", "evaluate", "report"]
    diff = clone.run("dvc", "metrics", "diff")
    assert "lstm.val.f1_at_5" in diff and len(diff.splitlines()) <= 20
    assert "train.lstm.hidden" in clone.run("dvc", "params", "diff")
    assert "hidden" in clone.run("dvc", "exp", "show", "--csv", "--no-pager")
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout", "-q")


def test_an_experiment_in_another_folder_finds_relative_paths_and_the_memo(clone: Clone) -> None:
    folder = clone.root.parent / "photos"
    folder.mkdir()
    posts = pd.read_parquet(clone.root / "data/raw/posts-00000.parquet")
    posts = posts[posts["caption"].notna() & posts["image"].map(lambda image: bool(image and image["bytes"]))]
    with (folder / "metadata.jsonl").open("w") as stream:
        for number, (_, row) in enumerate(posts.iterrows()):
            (folder / f"{number}.jpg").write_bytes(row["image"]["bytes"])
            stream.write(json.dumps({"file_name": f"{number}.jpg", "text": row["caption"]}) + "\n")
    output = clone.run(
        "dvc", "exp", "run", "--temp", "-n", "photos", *FOLDER, "-S", "featurize.allow_random=true",
    )  # fmt: skip
    assert "scrape" in stages_run(output) and "report" in stages_run(output)
    # The same pictures under the same weights: only those that the sample's filter dropped are new.
    found = re.search(r"([\d,]+) pictures, ([\d,]+) encoded", output)
    assert found and int(found[2]) < int(found[1]) / 10
    assert "photos" in clone.run("dvc", "exp", "show", "--csv", "--no-pager")
    assert clone.run("git", "status", "--porcelain") == ""


def test_plots_show_and_diff(clone: Clone) -> None:
    assert "index.html" in clone.run("dvc", "plots", "show")
    assert "index.html" in clone.run("dvc", "plots", "diff", "HEAD")


def test_random_weights_are_refused_on_real_posts(clone: Clone) -> None:
    output = clone.run("dvc", "exp", "run", "--temp", *FOLDER, check=False)
    assert "featurize.allow_random" in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("train.epochs=0", "train.epochs"),
        ("split.shares=[1,2]", "split.shares"),
        ("train.batchsize=3", "train.batchsize"),
        ("scrape.source=nowhere", "scrape"),
        ("train.model=nothing", "train"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_lost(clone: Clone, change: str, named: str) -> None:
    output = clone.run("dvc", "exp", "run", "--temp", "-S", change, check=False)
    assert named in output and "Traceback" not in output
    assert clone.run("git", "status", "--porcelain") == ""
