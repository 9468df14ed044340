"""Two or more runs side by side: their scores with intervals, and the parameters in which they differ."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.report.figures import curves_of_runs, score_figure
from hashgen.report.layout import render
from hashgen.report.score_tables import COLUMNS, Score, read_figure

SPLITS = {"val": "validation", "test": "test"}
_DRAWN = ("f1", "bleu4")
_CURVES = {"val_f1": "F1, validation", "val_loss": "Loss, validation, nats per token"}
_WRITTEN = {None: "null", True: "true", False: "false"}
# Sections that decide which posts are scored.
_POSTS = ("scrape.", "filter.", "split.")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: name, metrics of the stage evaluate, parameters by section or dotted name, losses and scores per epoch.

    posts: a hash of the manifests; runs with the same hash are scored on the same posts.
    """

    name: str
    evaluate: Mapping[str, Any]
    params: Mapping[str, Any]
    posts: str
    history: pd.DataFrame


def render_comparison(runs: Sequence[Run]) -> str:
    """The page as HTML, in the style of the report. Raises HashgenError when a run's metrics lack a score."""
    rows = {split: [_row(run, split) for run in runs] for split in SPLITS}
    differing = differing_params(runs)
    learnt = {run.name: run.history for run in runs if not run.history.empty}
    return render(
        "comparison.html",
        runs=runs,
        splits=SPLITS,
        columns=COLUMNS,
        rows=rows,
        figures={split: [score_figure(rows[split], key, split) for key in _DRAWN] for split in SPLITS},
        curves=[curves_of_runs(learnt, column, title) for column, title in _CURVES.items()] if learnt else [],
        params=differing,
        other_posts=len({run.posts for run in runs}) > 1,
        deciding=[name for name in differing if name.startswith(_POSTS)],
        posts={split: [run.evaluate[split]["both"]["posts"] for run in runs] for split in SPLITS},
    )


def _row(run: Run, split: str) -> Score:
    try:
        scores = run.evaluate[split]["both"]
        figures = {key: read_figure(scores, key) for key in COLUMNS}
        if any(figures[key] is None for key in _DRAWN) or "posts" not in scores:
            raise KeyError("both")
    except (KeyError, TypeError, AttributeError) as error:
        raise HashgenError(
            f"{run.name}: its scores are from another version of hashgen; run it again, or leave it out"
        ) from error
    return Score(run.name, "model", figures)


def differing_params(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The parameters that differ between runs, by dotted name, in order: one value per run, as written in YAML.

    A parameter that a run does not have is `–`. Those of the report are left out: they change no score.
    """
    flat = [_flatten(run.params) for run in runs]
    names = dict.fromkeys(name for params in flat for name in params if not name.startswith("report."))
    values = {name: [params.get(name, "–") for params in flat] for name in names}
    return {name: found for name, found in values.items() if len(set(found)) > 1}


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = (
                _WRITTEN.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
            )
    return flat
