"""Runs side by side: scores, parameters that differ, and runs found in git."""

import dataclasses
import hashlib
import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.report.comparison import compare, comparison_lines, render_comparison
from hashgen.report.runs import write_comparison
from hashgen.report.settings import Run, differing_params, settings_of, telling_params
from tests.doubles.findings import block, metrics
from tests.report.test_report import Outline, text_of


def scored(f1: float) -> dict[str, Any]:
    known = metrics()["evaluate"]
    for split in ("val", "test"):
        known[split]["both"]["f1"] = f1
    return known


def history(last: float = 0.5) -> pd.DataFrame:
    columns = (
        "train_loss",
        "val_loss",
        "train_bleu4",
        "val_bleu4",
        "train_bleu1",
        "val_bleu1",
        "val_f1",
        "learning_rate",
    )
    return pd.DataFrame({"epoch": [1, 2], **{name: [0.25, last] for name in columns}})


def a_run(name: str, evaluate: dict[str, Any], params: dict[str, Any], last: float = 0.5) -> Run:
    return Run(name, evaluate, params, str(params.get("split")), history(last))


def page_of(runs: list[Run]) -> str:
    return render_comparison(compare(runs))


def test_f1_at_5_by_epoch_is_drawn_where_all_runs_have_it() -> None:
    def run(name: str, **columns: float) -> Run:
        one = a_run(name, scored(0.4), {})
        return dataclasses.replace(one, history=one.history.assign(**columns))

    both = page_of([run("one", val_f1_at_5=0.7), run("two", val_f1_at_5=0.6)])
    earlier = page_of([run("one", val_f1_at_5=0.7), run("two")])
    assert "F1@5, validation, by epoch; last values: one 0.700; two 0.600." in both
    assert "F1@5, validation, by epoch" not in earlier
    assert "Without F1@5, which these runs of an earlier version do not have: two." in earlier
    assert "earlier version" not in both
    assert all("F1, validation, by epoch" in page for page in (both, earlier))


def test_scores_and_differing_parameters_stand_in_the_page() -> None:
    runs = [
        a_run("one", scored(0.431), {"train": {"lstm": {"hidden": 300}, "patience": None}, "split": {"seed": 1}}),
        a_run(
            "<two> $x$", scored(0.287), {"train": {"lstm": {"hidden": 256}, "patience": 3}, "split": {"seed": 1}}, 0.6
        ),
    ]
    page = page_of(runs)
    assert page_of(runs) == page and "<two>" not in page and "<script" not in page
    text = text_of(page)
    assert "0.431" in text and "0.287" in text and "train.lstm.hidden 300 256" in text and "patience null 3" in text
    assert "split.seed" not in text and "Not the same posts" not in text
    outline = Outline(page)
    labels = [svg["aria-label"] or "" for svg in outline.all("svg")]
    assert len(labels) == 6 and all("one 0." in label for label in labels)
    assert "F1, validation, by epoch; last values: one 0.500; <two> $x$ 0.600." in labels


def test_runs_on_other_posts_are_warned_of() -> None:
    page = page_of([a_run("a", scored(0.1), {"split": {"seed": 1}}), a_run("b", scored(0.1), {"split": {"seed": 2}})])
    assert "Not the same posts" in page and "(<code>split.seed</code>)" in page
    other = dataclasses.replace(a_run("c", scored(0.1), {}), posts="x")
    page = page_of([a_run("a", scored(0.1), {}), other])
    assert "the splits of these runs differ, so" in page


def test_parameters_that_a_run_lacks_and_those_of_the_report() -> None:
    runs = [
        a_run("a", {}, {"x": {"y": True}, "report": {"cards": 1}}),
        a_run("b", {}, {"x": {}, "report": {"cards": 2}}),
    ]
    assert differing_params(runs) == {"x.y": ["true", "–"]}


def test_parameters_of_a_model_that_a_run_does_not_have() -> None:
    lstm = {"train": {"model": "lstm", "lstm": {"hidden": 300, "layers": 1}}}
    wide = {"train": {"model": "lstm", "lstm": {"hidden": 512, "layers": 1}}}
    ranker = {"train": {"model": "ranker", "ranker": {"trees": 80, "classifier": {"epochs": 24}}}}
    runs = [a_run(name, {}, params) for name, params in (("a", lstm), ("b", wide), ("c", ranker))]
    expected = {"train.model": ["lstm", "lstm", "ranker"], "train.lstm.hidden": ["300", "512", "–"]}
    assert telling_params(runs) == expected
    assert "train.ranker.trees" in differing_params(runs)
    # A block that is no model's may be left out of params.yaml, and then its absence says something.
    asked = a_run("d", {}, {"baselines": {"seed": 2, "vlm": {"model": "x"}}})
    found = telling_params([a_run("c", {}, {"baselines": {"seed": 1}}), asked])
    assert found == {"baselines.seed": ["1", "2"], "baselines.vlm.model": ["–", "x"]}
    assert len(settings_of([a_run("c", {}, {"baselines": {"seed": 1}}), asked])) == 2


def test_models_that_make_no_suggestions_have_rows_of_their_own() -> None:
    def run(name: str, others: dict[str, float]) -> Run:
        scores = {
            other: {"model": other, **{split: {"both": block(value)} for split in ("val", "test")}}
            for other, value in others.items()
        }
        return a_run(name, scored(0.4) | {"model": "ranker", "others": scores}, {"size": name})

    runs = [run("one", {"lstm": 0.3}), run("two", {"lstm": 0.3, "transformer": 0.2}), run("three", {"lstm": 0.1})]
    compared = compare(runs)
    text = html.unescape(text_of(render_comparison(compared)))
    for split in ("Validation", "Test"):
        table = text[text.index(f"Scores on the {split.lower()} posts") :]
        assert "one ranker 0.500" in table and "one the paper's LSTM, makes no suggestions 0.300" in table
        assert "two ranker 0.500" in table and "two transformer, makes no suggestions 0.200" in table
        assert "three the paper's LSTM, makes no suggestions 0.100" in table
        assert "two the paper's LSTM" not in table  # it is the first run's
    assert [line.split() for line in comparison_lines(compared)[4:-1]] == [
        ["the", "paper's", "LSTM,", "which", "makes", "no", "suggestions:"],
        ["one", "0.300", "0.300"],
        ["two", "0.300", "0.300"],
        ["three", "0.100", "0.100"],
        ["transformer,", "which", "makes", "no", "suggestions:"],
        ["two", "0.200", "0.200"],
    ]


def test_models_that_make_no_suggestions_are_held_against_those_of_the_first_run() -> None:
    def said(first: str) -> pd.DataFrame:
        posts = [(str(n), split, ["a"], [tag], [tag, "x"]) for split in ("val", "test") for n, tag in enumerate(first)]
        frame = pd.DataFrame(posts, columns=["id", "split", "hashtags", "both", "ranked"])
        return frame.assign(group=frame["id"])

    def run(name: str, suggests: str, beside: str, beside_said: pd.DataFrame) -> Run:
        others = {beside: {"model": beside, **{split: {"both": block(0.3)} for split in ("val", "test")}}}
        one = a_run(name, scored(0.4) | {"model": suggests, "others": others}, {"size": name})
        return dataclasses.replace(one, predictions=said("axxx"), others={beside: beside_said})

    better, same = said("aaax"), said("axxx")
    runs = [
        run("one", "ranker", "lstm", same),
        run("two", "ranker", "lstm", better),
        run("three", "ranker", "lstm", same),
        run("four", "lstm", "ranker", better),  # which suggests by the LSTM: as the first's
    ]
    compared = compare(runs)
    assert list(compared.beside["test"]) == [("two", "lstm"), ("three", "lstm"), ("four", "lstm")]
    assert compared.beside["test"]["two", "lstm"].paired["p_at_1"].difference == 0.5
    page = html.unescape(text_of(render_comparison(compared)))
    assert "two, the paper's LSTM 4 posts in 4 groups" in page and "which makes no suggestions" not in page
    assert "three, the paper's LSTM" not in page  # it predicts the same
    page = html.unescape(text_of(page_of(runs[:3])))
    assert "two, the paper's LSTM, which makes no suggestions 4 posts in 4 groups" in page
    lines = comparison_lines(compared)
    below = lines[lines.index("the paper's LSTM:") + 1 :]
    assert [line.split()[:2] for line in below[:4]] == [
        ["one", "0.300"],
        ["two", "0.300"],
        ["three", "0.300"],
        ["four", "0.500"],
    ]
    assert re.fullmatch(r"two +0\.300  \+0\.167 \[.*\] +0\.300  \+0\.167 \[.*\]", below[1])
    assert "+0.000" in below[2] and "not in DVC's cache" not in lines[-1]
    lost = comparison_lines(compare([dataclasses.replace(runs[0], others={}), runs[1]]))
    assert lost[-1].endswith("not in DVC's cache: one")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"val": {}},
        {"val": {"both": {"f1": 0.5}}},
        {"val": {"both": 3}},
        metrics()["evaluate"] | {"others": None},
        metrics()["evaluate"] | {"others": []},
        metrics()["evaluate"] | {"others": {"lstm": {"model": "lstm", "val": {}}}},
    ],
)
def test_scores_of_another_version_name_the_run(broken: dict[str, Any]) -> None:
    with pytest.raises(HashgenError, match="old: its scores are from another version"):
        page_of([a_run("new", scored(0.1), {}), a_run("old", broken, {})])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with an empty first commit, a run tagged `base`, and an experiment `wide` beside it."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "empty")
    git("tag", "empty")
    write_run(tmp_path, 0.431, 300)
    commit_all("base")
    git("tag", "base")
    write_run(tmp_path, 0.287, 512)
    commit_all("wide")
    git("update-ref", "refs/exps/ab/cdef/wide", "HEAD")
    git("reset", "-q", "--hard", "base")
    write_run(tmp_path, 0.159, 77)
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def commit_all(message: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", message)


def write_run(root: Path, f1: float, hidden: int) -> None:
    (root / "metrics").mkdir(exist_ok=True)
    (root / "plots").mkdir(exist_ok=True)
    (root / "metrics/evaluate.json").write_text(json.dumps(scored(f1)))
    history(f1).to_csv(root / "plots/history.csv", index=False)
    stages = {
        "split": {"outs": [{"path": "data/manifest", "md5": "ab"}], "params": {"params.yaml": {"split": {"seed": 1}}}},
        "train": {
            "outs": [{"path": "model", "md5": f"{hidden:x}"}],
            "params": {"params.yaml": {"train.epochs": 3, "train.lstm": {"hidden": hidden}}},
        },
        "evaluate": {"deps": [{"path": "model", "md5": f"{hidden:x}"}, {"path": "code.py", "md5": "c"}]},
    }
    with (root / "dvc.lock").open("w") as stream:
        YAML().dump({"schema": "2.0", "stages": stages}, stream)


def run_compare(*runs: str) -> str:
    out = Path("comparison.html")
    write_comparison(runs, Path("metrics/evaluate.json"), Path("plots/history.csv"), Path("dvc.lock"), out)
    return out.read_text()


def test_commits_experiments_and_the_present_are_found(repository: Path) -> None:
    text = text_of(run_compare("base", "wide", "."))
    base, wide = (
        subprocess.run(["git", "rev-parse", name], capture_output=True, text=True).stdout[:7]
        for name in ("base", "refs/exps/ab/cdef/wide")
    )
    assert "train.lstm.hidden 300 512 77" in text and f"base ({base}) · wide ({wide}) · here" in text
    assert "Not the same posts" not in text and f" {base} · here" in text_of(run_compare(base[:5], "."))
    assert "0.431" in text and "0.287" in text and "0.159" in text


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (["."], "only one run"),
        (["base", "base"], "the same run twice"),
        ([".", "workspace"], "the same run twice"),
        ([".", "nowhere"], "nowhere: no such commit"),
        ([".", "--all"], "--all: no such commit"),
        ([".", "empty"], "empty: has no metrics/evaluate.json"),
        (["base", "two"], "two: 2 experiments have this name"),
    ],
)
def test_runs_that_are_not_there(repository: Path, runs: list[str], message: str) -> None:
    git("update-ref", "refs/exps/ab/cdef/two", "base")
    git("update-ref", "refs/exps/12/3456/two", "empty")
    with pytest.raises(HashgenError, match=message) as caught:
        run_compare(*runs)
    assert "\n" not in str(caught.value) and not Path("comparison.html").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics/evaluate.json", "{", "cannot be read"),
        ("metrics/evaluate.json", "[1]", "not a mapping"),
        ("dvc.lock", "a: [", "cannot be read"),
        ("dvc.lock", "stages: {split: {outs: []}}", "does not record a complete run"),
        ("plots/history.csv", "epoch,val_f1\n1,2\n", "cannot be read"),
    ],
)
def test_broken_files_of_a_run(repository: Path, name: str, text: str, message: str) -> None:
    (repository / name).write_text(text)
    with pytest.raises(HashgenError, match=rf"{Path(name).name}.*{message}|{message}"):
        run_compare("base", ".")


def test_a_run_that_did_not_end(repository: Path) -> None:
    lock = (repository / "dvc.lock").read_text()
    (repository / "dvc.lock").write_text(lock.replace("md5: 4d", "md5: ff", 1))
    with pytest.raises(HashgenError, match=r"\.: its dvc\.lock records a run that did not finish"):
        run_compare("base", ".")


def test_a_place_without_a_run(repository: Path) -> None:
    (repository / "dvc.lock").unlink()
    with pytest.raises(HashgenError, match=r"dvc\.lock: cannot be read"):
        run_compare("base", "workspace")


def predicted(name: str, f1: float, tables: dict[str, list[str]], **params: Any) -> Run:
    """A run with two posts in each split: `tables` has the ranking of each, of one hashtag a letter."""
    rows = [
        {"id": f"{split}{number}", "split": split, "hashtags": ["a", "b"], "both": list(ranked), "ranked": list(ranked)}
        for split in ("val", "test")
        for number, ranked in enumerate(tables[split])
    ]
    frame = pd.DataFrame(rows)
    run = a_run(name, scored(f1), params)
    return dataclasses.replace(run, predictions=frame.assign(group=frame["id"]), trained_on=len(name), seconds=f1)


def test_paired_differences_hashtags_and_costs_stand_in_the_page() -> None:
    first = predicted("first", 0.4, {"val": ["ax", "xy"], "test": ["ax", "ab"]}, size=1)
    second = predicted("second", 0.5, {"val": ["ab", "ab"], "test": ["ax", "ab"]}, size=2)
    found = compare([first, second])
    page = render_comparison(found)
    text = text_of(page)
    # P@1 of the validation posts: 1 and 0 before, 1 and 1 now. P@5 is a fifth of the hits.
    assert "second 2 posts in 2 groups" in text and "P@1 1.000 0.500 +0.500 +0.000 to +1.000 2.00" in text
    assert "P@5 0.400 0.100 +0.300 +0.200 to +0.400 4.00" in text
    assert "More often right hashtag posts right wrong #b 2 0 → 2 0 → 0 #a 2 1 → 2 0 → 0" in text
    assert "no longer in DVC's cache" not in text
    labels = [svg["aria-label"] or "" for svg in Outline(page).all("svg")]
    # The score is that of the metrics, which are 0.5 for both runs here.
    assert (
        "F1@5 by training posts: first, 5: validation 0.500, test 0.500; second, 6: validation 0.500, test 0.500."
        in labels
    )
    assert any(label.startswith("F1@5 by seconds of training: first, 0.4:") for label in labels)
    head, one, two = comparison_lines(found)
    assert head.split() == [
        *("validation", "F1@5,", "against", "the", "first"),
        *("test", "F1@5,", "against", "the", "first"),
    ]
    assert one.split() == ["first", "0.500", "0.500"]
    assert two.startswith("second  0.500  +0.429 [+0.286, +0.571] ") and two.endswith("0.500  +0.000 [+0.000, +0.000]")


def test_runs_without_a_post_in_common_are_named() -> None:
    one = predicted("one", 0.4, {"val": ["ax"], "test": ["ax"]}, size=1)
    other = predicted("other", 0.5, {"val": ["ax"], "test": ["ax"]}, size=2)
    assert other.predictions is not None
    other = dataclasses.replace(other, predictions=other.predictions.assign(id=["y0", "y1"]), posts="y")
    found = compare([one, other])
    assert comparison_lines(found)[-1] == "no differences, as no post is scored by both: other"
    assert "No post is scored by both, so there are no paired differences." in text_of(render_comparison(found))
    assert "scored by both" not in " ".join(comparison_lines(compare([one, dataclasses.replace(one, name="same")])))


def test_runs_without_predictions_are_named() -> None:
    first = predicted("first", 0.4, {"val": ["ax"], "test": ["ax"]}, size=1)
    text = text_of(page_of([first, a_run("old", scored(0.4), {"size": 2})]))
    assert "no longer in DVC's cache: old." in text and "Against first" not in text


def test_the_best_baseline_has_a_row() -> None:
    run = dataclasses.replace(a_run("one", scored(0.4), {"size": 1}), baselines=metrics()["baselines"])
    text = text_of(page_of([run, a_run("two", scored(0.4), {"size": 2})]))
    assert "nearest posts (picture and caption) (best baseline) 0.300 0.150–0.300" in text
    assert "oracle" not in text


def test_seeds_alone_are_one_setting_with_a_spread_and_are_held_against_each_other() -> None:
    tables = {"val": ["ax", "xy"], "test": ["ax", "ab"]}
    runs = [predicted(name, f1, tables, seed={"seed": f1}) for name, f1 in (("one", 0.4), ("two", 0.6))]
    runs = [dataclasses.replace(run, params={"train.seed": number}) for number, run in enumerate(runs)]
    text = text_of(page_of(runs))
    assert "train.seed 0, 1" in text and "0.500 ± 0.141" in text and "two 2 posts in 2 groups" in text
    beside = [
        dataclasses.replace(run, evaluate={**run.evaluate, "others": {"lstm": scored(f1)}})
        for run, f1 in zip(runs, (0.1, 0.2), strict=True)
    ]
    text = text_of(page_of(beside))
    assert "0.500 ± 0.141" in text and "0.150 ± 0.071" in text and "one, the paper's LSTM" in html.unescape(text)
    wide = predicted("wide", 0.5, tables, **{"train.seed": 0, "size": 3})
    text = text_of(page_of([*runs, wide]))
    assert "one, two wide" in text and "Against one and 1 more" in text and "wide 2 posts in 2 groups" in text


def cached(root: Path, frame: pd.DataFrame | str, suffix: str = "") -> str:
    """Put a table or a text into DVC's cache; its hash."""
    made = root / "made"
    if isinstance(frame, str):
        made.write_text(frame)
    else:
        frame.to_parquet(made)
    md5 = hashlib.md5(made.read_bytes()).hexdigest() + suffix
    place = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    made.replace(place)
    return md5


def test_predictions_groups_baselines_and_times_of_a_run_are_found(repository: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    run = predicted("x", 0.4, {"val": ["ax", "ab"], "test": ["xy", "ab"]})
    assert run.predictions is not None
    groups = {split: pd.DataFrame({"id": [f"{split}0", f"{split}1"], "group": ["g", "g"]}) for split in ("val", "test")}
    files = [{"md5": cached(repository, posts), "relpath": f"{split}.parquet"} for split, posts in groups.items()]
    lock = YAML(typ="safe").load((repository / "dvc.lock").read_text())
    lock["stages"]["split"]["outs"][0]["md5"] = cached(repository, json.dumps(files), ".dir")
    predictions = cached(repository, run.predictions.drop(columns="group"))
    lock["stages"]["evaluate"]["outs"] = [{"path": "data/predictions.parquet", "md5": predictions}]
    with (repository / "dvc.lock").open("w") as stream:
        YAML().dump(lock, stream)
    (repository / "metrics/baselines.json").write_text(json.dumps(metrics()["baselines"]))
    (repository / "metrics/split.json").write_text(json.dumps({"sizes": {"train": 70}}))
    commit_all("with predictions")
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/timed", "HEAD")
    lock["stages"]["train"]["params"]["params.yaml"]["train.epochs"] = 4
    with (repository / "dvc.lock").open("w") as stream:
        YAML().dump(lock, stream)
    (repository / "metrics/split.json").write_text(json.dumps({"sizes": {"train": 7}}))
    times = repository / ".dvc/tmp/experiment-seconds" / head / "timed.json"
    times.parent.mkdir(parents=True)
    times.write_text('{"train": 30.5}')
    (repository / ".dvc/tmp/stage-seconds.json").write_text('{"train": 20}')
    page = run_compare("timed", ".")
    text = text_of(page)
    assert "here 2 posts in 1 group " in text and "nearest posts (picture and caption) (best baseline)" in text
    labels = [svg["aria-label"] or "" for svg in Outline(page).all("svg")]
    assert any(re.match(r"F1@5 by training posts: timed \(.{7}\), 70: .*; here, 7: ", label) for label in labels)
    assert any(
        re.match(r"F1@5 by seconds of training: timed \(.{7}\), 30.5: .*; here, 20: ", label) for label in labels
    )
    place = repository / ".dvc/cache/files/md5" / predictions[:2] / predictions[2:]
    place.write_text("no table")
    assert "no longer in DVC's cache: timed" in text_of(run_compare("timed", "."))
    place.unlink()
    assert "no longer in DVC's cache: timed" in text_of(run_compare("timed", "."))


def test_the_seconds_are_those_of_the_stage_that_trained_the_model_that_is_shown(repository: Path) -> None:
    evaluate = json.loads((repository / "metrics/evaluate.json").read_text())
    lock = YAML(typ="safe").load((repository / "dvc.lock").read_text())
    lock["stages"]["suggester"] = {"params": {"params.yaml": {"suggester.model": "ranker"}}}
    lock["stages"]["train"]["params"]["params.yaml"]["train.model"] = "lstm"
    with (repository / "dvc.lock").open("w") as stream:
        YAML().dump(lock, stream)
    for name in ("lstm", "ranker"):
        (repository / "metrics/evaluate.json").write_text(json.dumps(evaluate | {"model": name}))
        commit_all(name)
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/of-{name}", "HEAD")
        times = repository / ".dvc/tmp/experiment-seconds" / head / f"of-{name}.json"
        times.parent.mkdir(parents=True)
        times.write_text('{"train": 30.5, "suggester": 3.5}')
    page = run_compare("of-lstm", "of-ranker")
    assert re.search(r"of-ranker \(.{7}\) ranker 0\.", text_of(page))
    labels = [svg["aria-label"] or "" for svg in Outline(page).all("svg")]
    shown = r"F1@5 by seconds of training: of-lstm \(.{7}\), 30.5: .*; of-ranker \(.{7}\), 3.5: "
    assert any(re.match(shown, label) for label in labels)
