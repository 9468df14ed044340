"""Runs of the pipeline, as git and DVC keep them: metrics, losses and parameters of a commit or an experiment."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file
from hashgen.report.comparison import Run, render_comparison
from hashgen.report.findings import parse_history

HERE = (".", "workspace")


def write_comparison(runs: Sequence[str], evaluate: Path, history: Path, lock: Path, out: Path) -> None:
    """Write the page that shows two or more runs side by side.

    runs: git revisions or names of experiments, `.` for what is in the current folder. evaluate, history, lock: where
    each run has its metrics, its losses and DVC's record. Raises HashgenError for what cannot be compared.
    """
    if len(runs) < 2:
        raise HashgenError(f"{' '.join(runs)}: only one run; give two or more, for example: . HEAD")
    found = [_read(name, evaluate, history, lock) for name in runs]
    if len({one.name for one in found}) < len(found):
        raise HashgenError(f"{' '.join(runs)}: the same run twice; give each run once")
    page = render_comparison(found)
    with atomic_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


def _read(name: str, evaluate: Path, history: Path, lock: Path) -> Run:
    commit = None if name in HERE else _resolve(name)
    scores = _parse(name, evaluate, _text(name, commit, evaluate))
    learnt = parse_history(_text(name, commit, history), f"{name}: its {history}", scores.get("best_epoch"))
    ran = _parse(name, lock, _text(name, commit, lock))
    return Run(_label(name, commit), scores, *_settings(f"{name}: its {lock}", ran), learnt)


def _label(name: str, commit: str | None) -> str:
    if commit is None:
        return "here"
    return commit[:7] if commit.startswith(name) else f"{name} ({commit[:7]})"


def _settings(where: str, ran: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What made the scores, as DVC noted it: parameters by section or dotted name, and a hash of the split's posts.

    params.yaml may have been edited since. where: names the note in errors. Raises HashgenError for a run that was
    broken off: DVC notes each stage as it ends, so that its parameters would be newer than its scores.
    """
    try:
        stages = ran["stages"]
        params = [values for stage in stages.values() for values in stage.get("params", {}).values()]
        made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
        read = {dep["path"]: dep["md5"] for dep in stages["evaluate"]["deps"]}
        is_whole = all(read[path] == made[path] for path in read.keys() & made.keys())
        found = {key: value for values in params for key, value in values.items()}, made["data/manifest"]
    except (KeyError, TypeError, AttributeError) as error:
        raise HashgenError(f"{where} does not record a complete run; run it again, or leave it out") from error
    if not is_whole:
        raise HashgenError(f"{where} records a run that did not finish; run it again: dvc repro")
    return found


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
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise HashgenError("git: not found; install it to compare commits") from error
    return done.stdout if done.returncode == 0 else None
