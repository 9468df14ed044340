"""Runs of the pipeline, as git and DVC keep them: metrics, losses and parameters of a commit or an experiment."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file
from hashgen.corpus.tables import MANIFEST_SCHEMA, PREDICTIONS_SCHEMA, read_frame
from hashgen.report.comparison import SPLITS, compare, comparison_lines, render_comparison
from hashgen.report.findings import parse_history
from hashgen.report.score_tables import learnt_by_epochs
from hashgen.report.settings import Run

HERE = (".", "workspace")
# What else a run may have. A run without it is shown without what would come of it.
_BASELINES, _SPLIT = Path("metrics/baselines.json"), Path("metrics/split.json")
_MANIFEST, _PREDICTIONS, _OTHERS = "data/manifest", "data/predictions.parquet", "data/others.parquet"
_NEEDED = ("id", "split", "hashtags", "both", "ranked")
_CODE = ("hashgen/", "stages/")
# How long stages took: when they last ran in this folder, and in each experiment, by its first commit and its name.
_SECONDS, _SECONDS_OF_EXPERIMENTS = Path(".dvc/tmp/stage-seconds.json"), Path(".dvc/tmp/experiment-seconds")


def write_comparison(runs: Sequence[str], evaluate: Path, history: Path, lock: Path, out: Path) -> list[str]:
    """Write the page that shows two or more runs side by side; return the scores in short as lines of text.

    runs: git revisions or names of experiments, `.` for what is in the current folder. evaluate, history, lock: where
    each run has its metrics, its losses and DVC's record. Raises HashgenError for what cannot be compared.
    """
    if len(runs) < 2:
        raise HashgenError(f"{' '.join(runs)}: only one run; give two or more, for example: . HEAD")
    cache = _cache()
    found = [_read(name, evaluate, history, lock, cache) for name in runs]
    if len({one.name for one in found}) < len(found):
        raise HashgenError(f"{' '.join(runs)}: the same run twice; give each run once")
    compared = compare(found)
    page = render_comparison(compared)
    with atomic_file(out) as partial:
        partial.write_text(page, encoding="utf-8")
    return comparison_lines(compared)


def _read(name: str, evaluate: Path, history: Path, lock: Path, cache: Path | None) -> Run:
    commit = None if name in HERE else _resolve(name)
    scores = _parse(name, evaluate, _text(name, commit, evaluate))
    learnt = parse_history(_text(name, commit, history), f"{name}: its {history}", _epoch(scores))
    ran = _parse(name, lock, _text(name, commit, lock))
    record = _record(f"{name}: its {lock}", ran)
    others = None if cache is None else _predictions(cache, record.made, _OTHERS, [*_NEEDED, "model"])
    return Run(
        _label(name, commit),
        scores,
        record.params,
        record.made[_MANIFEST],
        learnt,
        record.code,
        _optional(commit, _BASELINES),
        _optional(commit, _SPLIT).get("sizes", {}).get("train"),
        _training_seconds(commit, _stage(scores, record.params), ran, lock),
        None if cache is None else _predictions(cache, record.made, _PREDICTIONS),
        {} if others is None else {str(model): part for model, part in others.groupby("model")},
    )


def _epoch(scores: Mapping[str, Any]) -> int | None:
    """The epoch that was kept of the model that was trained in epochs; None without one."""
    found = learnt_by_epochs(scores)
    return None if found is None else found[1]


def _label(name: str, commit: str | None) -> str:
    if commit is None:
        return "here"
    return commit[:7] if commit.startswith(name) else f"{name} ({commit[:7]})"


@dataclasses.dataclass(frozen=True)
class _Record:
    """What made the scores: parameters by section or dotted name, hashes of outputs by path, and one of the code."""

    params: dict[str, Any]
    made: dict[str, str]
    code: str


def _record(where: str, ran: dict[str, Any]) -> _Record:
    """The run as DVC noted it, since params.yaml may have been edited later.

    where: names the note in errors. Raises HashgenError for a run that was broken off: DVC notes each stage as it
    ends, so that its parameters would be newer than its scores.
    """
    try:
        stages = ran["stages"]
        params = [values for stage in stages.values() for values in stage.get("params", {}).values()]
        made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
        read = {dep["path"]: dep["md5"] for dep in stages["evaluate"]["deps"]}
        is_whole = all(read[path] == made[path] for path in read.keys() & made.keys())
        scoring = [stage for name, stage in stages.items() if name != "report"]
        deps = {f"{dep['path']} {dep['md5']}" for stage in scoring for dep in stage.get("deps", [])}
        code = "\n".join(sorted(dep for dep in deps if dep.startswith(_CODE)))
        found = _Record({key: value for values in params for key, value in values.items()}, made, code)
        if _MANIFEST not in made:
            raise KeyError(_MANIFEST)
    except (KeyError, TypeError, AttributeError) as error:
        raise HashgenError(f"{where} does not record a complete run; run it again, or leave it out") from error
    if not is_whole:
        raise HashgenError(f"{where} records a run that did not finish; run it again: dvc repro")
    return found


def _cache() -> Path | None:
    """The folder in which DVC keeps outputs; None outside of its repositories."""
    found = _output(sys.executable, "-m", "dvc", "cache", "dir") if Path(".dvc").is_dir() else None
    return None if found is None else Path(found.strip(), "files", "md5")


def _predictions(cache: Path, made: dict[str, str], path: str, columns: Sequence[str] = _NEEDED) -> pd.DataFrame | None:
    """What models of the run wrote for each post, and the post's group; None where the cache no longer has it.

    path: which output of the run.
    """
    try:
        groups: dict[str, str] = {}
        for file in json.loads(_cached(cache, made[_MANIFEST]).read_text(encoding="utf-8")):
            if file["relpath"] in [f"{split}.parquet" for split in SPLITS]:
                posts = read_frame(_cached(cache, file["md5"]), "split", MANIFEST_SCHEMA, ["id", "group"])
                groups |= dict(zip(posts["id"], posts["group"], strict=True))
        found = read_frame(_cached(cache, made[path]), "evaluate", PREDICTIONS_SCHEMA, columns)
    except (HashgenError, OSError, ValueError, KeyError, TypeError):
        return None
    return found.assign(group=[groups.get(post, post) for post in found["id"]])


def _cached(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _optional(commit: str | None, path: Path) -> dict[str, Any]:
    """A JSON file of the run; empty where it has none that can be read."""
    try:
        found = json.loads(_text("", commit, path))
    except (HashgenError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stage(scores: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """The stage that trained the model whose scores are shown."""
    return "train" if scores.get("model", "") in ("", params.get("train.model")) else "suggester"


def _training_seconds(commit: str | None, stage: str, ran: dict[str, Any], lock: Path) -> float | None:
    """How long a stage that trains took in the run, as far as it was timed here.

    An experiment that did not have to train has the model, and the time, of the run in this folder.
    """
    places = [_SECONDS_OF_EXPERIMENTS / f"{name}.json" for name in _experiments_at(commit)]
    try:
        here = _parse(".", lock, _text(".", None, lock))
    except HashgenError:
        here = {}
    if ran["stages"].get(stage) == here.get("stages", {}).get(stage):
        places.append(_SECONDS)
    for place in places:
        seconds = _optional(None, place).get(stage)
        if isinstance(seconds, int | float) and seconds > 0:
            return seconds
    return None


def _experiments_at(commit: str | None) -> list[str]:
    """The experiments that are this commit, as `<their first commit>/<name>`."""
    if commit is None:
        return []
    refs = _git("for-each-ref", f"--points-at={commit}", "--format=%(refname)", "refs/exps") or ""
    parts = [ref.split("/", 4) for ref in refs.split()]  # refs, exps, two letters, the rest of the commit, name
    return [f"{part[2]}{part[3]}/{part[4]}" for part in parts if len(part) == 5]


def _resolve(name: str) -> str:
    """The commit of a git revision, or of an experiment by its name."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found is not None:
        return found.strip()
    # `dvc exp` keeps each experiment under refs/exps/<two letters>/<the rest of its base commit>/<name>.
    refs = (_git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").splitlines()
    commits = {line.split()[0] for line in refs if line.endswith(f"/{name}")}
    if len(commits) > 1:
        raise HashgenError(f"{name}: {len(commits)} experiments have this name; use its commit (dvc exp show --sha)")
    if not commits:
        raise HashgenError(f"{name}: no such commit, branch, tag or experiment; see: dvc exp list --all-commits")
    return commits.pop()


def _text(name: str, commit: str | None, path: Path) -> str:
    if commit is None:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HashgenError(
                f"{path}: cannot be read; run in the root of the clone, or run the pipeline first: dvc repro"
            ) from error
    text = _git("show", f"{commit}:./{path.as_posix()}")
    if text is None:
        raise HashgenError(f"{name}: has no {path}; use a commit that contains a run")
    return text


def _parse(name: str, path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if path.suffix == ".json" else YAML(typ="safe", pure=True).load(text)
    except (ValueError, YAMLError) as error:
        raise HashgenError(f"{name}: its {path} cannot be read; run it again, or leave it out") from error
    if not isinstance(found, dict):
        raise HashgenError(f"{name}: its {path} is not a mapping; run it again, or leave it out")
    return found


def _git(*arguments: str) -> str | None:
    """What git prints; None if it fails."""
    try:
        return _output("git", *arguments)
    except FileNotFoundError as error:
        raise HashgenError("git: not found; install it to compare commits") from error


def _output(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else None
