"""Two or more runs side by side: scores, paired differences, the spread over seeds, and the parameters that differ."""

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.report.contrasts import FIGURES, RESAMPLES, Contrast, contrast
from hashgen.report.figures import Point, curves_of_runs, points_figure, score_figure
from hashgen.report.layout import render
from hashgen.report.score_tables import COLUMNS, MODELS, Score, best_baseline, read_figure
from hashgen.report.settings import Run, Setting, settings_of, spreads, telling_params

SPLITS = {"val": "validation", "test": "test"}
_CURVES = {
    "val_f1_at_5": "F1@5, validation",
    "val_f1": "F1, validation",
    "val_loss": "Loss, validation, nats per token",
}
# Sections that decide which posts are scored.
_POSTS = ("scrape.", "filter.", "split.")
# The score that stands for a run where there is room for one.
_MAIN = "f1_at_5"
_DRAWN = (_MAIN, "bleu4")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side, worked out: the settings in order, and by split each one against the first.

    contrasts: of the models that make the suggestions, one a setting (None: the first itself, or where no post can be
    compared). beside: by setting and model, of those that make none in the first.
    """

    runs: Sequence[Run]
    settings: Sequence[Setting]
    contrasts: Mapping[str, Sequence[Contrast | None]]
    beside: Mapping[str, Mapping[tuple[str, str], Contrast]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table of scores: a model of a run, with the number of posts scored.

    suggests: whether the run suggests with it; else it was trained and scored beside.
    """

    score: Score
    model: str
    posts: int
    suggests: bool


def compare(runs: Sequence[Run]) -> Comparison:
    """Group runs that only seeds set apart, and hold every setting against the first.

    Runs that are all of one setting are held against each other, one by one: how far mere seeds lie apart. Raises
    HashgenError when a run's metrics lack a score.
    """
    for run in runs:
        _check(run)
    settings = settings_of(runs)
    if len(settings) == 1:
        settings = [Setting((run,)) for run in runs]
    first, *others = settings
    contrasts = {split: [None, *(contrast(other, first, split) for other in others)] for split in SPLITS}
    models = dict.fromkeys(model for run in first.runs for model in run.evaluate.get("others", {}))
    beside = {
        split: {
            (other.name, model): found
            for other in others
            for model in models
            if (found := contrast(_only(other, model), _only(first, model), split)) is not None
        }
        for split in SPLITS
    }
    return Comparison(runs, settings, contrasts, beside)


def _only(setting: Setting, model: str) -> Setting:
    """The setting with the predictions of one model."""
    return Setting(tuple(dataclasses.replace(run, predictions=run.by(model)) for run in setting.runs))


def _check(run: Run) -> None:
    try:
        for scored in (run.evaluate, *run.evaluate.get("others", {}).values()):
            for split in SPLITS:
                scores = scored[split]["both"]
                if any(scores[key] is None for key in (*_DRAWN, *COLUMNS)) or "posts" not in scores:
                    raise KeyError("both")
    except (KeyError, TypeError, AttributeError) as error:
        raise HashgenError(
            f"{run.name}: its scores are from another version of hashgen; run it again, or leave it out"
        ) from error


def render_comparison(found: Comparison) -> str:
    """The page as HTML, in the style of the report."""
    runs = found.runs
    rows = {split: _rows(runs, split) for split in SPLITS}
    suggesting = {split: [row.score for row in rows[split] if row.suggests] for split in SPLITS}
    baselines = {split: best_baseline(runs[0].baselines.get(split, {}), _MAIN) for split in SPLITS}
    differing = telling_params(runs)
    return render(
        "comparison.html",
        runs=runs,
        splits=SPLITS,
        columns=COLUMNS,
        rows=rows,
        baselines=baselines,
        figures={
            split: [score_figure([*suggesting[split], *_present(baselines[split])], key, split) for key in _DRAWN]
            for split in SPLITS
        },
        curves=_curves({run.name: run.history for run in runs if not run.history.empty}),
        undrawn=[run.name for run in runs if not run.history.empty and not set(_CURVES) <= set(run.history)],
        params=differing,
        other_posts=len({run.posts for run in runs}) > 1,
        deciding=[name for name in differing if name.startswith(_POSTS)],
        paired=FIGURES,
        resamples=RESAMPLES,
        settings=found.settings,
        contrasts={split: _all_contrasts(found, split) for split in SPLITS},
        unpaired=_unpaired(found),
        spreads=[
            one
            for setting in settings_of(runs)
            for each in (setting, *_by_other_models(setting))
            for one in spreads(each, list(SPLITS), list(COLUMNS))
        ],
        costs=_costs(found.settings),
    )


def _all_contrasts(found: Comparison, split: str) -> list[Contrast]:
    """Of the models that suggest, then of others, which the name says."""
    others = [
        dataclasses.replace(one, name=f"{name}, {_in_words(found, model)}")
        for (name, model), one in found.beside[split].items()
        if one.differs
    ]
    return [one for one in found.contrasts[split] if one is not None] + others


def _in_words(found: Comparison, model: str) -> str:
    suggests = any(run.evaluate.get("model") == model for run in found.runs)
    return MODELS.get(model, model) + ("" if suggests else ", which makes no suggestions")


def _scored(run: Run, model: str) -> Mapping[str, Any] | None:
    """The scores of a model of a run, whether or not it makes the suggestions; None without it."""
    found: Mapping[str, Any] | None = run.evaluate.get("others", {}).get(model)
    return run.evaluate if run.evaluate.get("model") == model else found


def _by_other_models(setting: Setting) -> list[Setting]:
    """The setting with the scores of each model that makes no suggestions in its first run, if all runs have it."""
    found = []
    for model in setting.runs[0].evaluate.get("others", {}):
        shown = f"{setting.runs[0].name}, {MODELS.get(model, model)}"
        scored = [(run, _scored(run, model)) for run in setting.runs]
        runs = [dataclasses.replace(run, name=shown, evaluate=one) for run, one in scored if one is not None]
        if len(runs) == len(setting.runs):
            found.append(Setting(tuple(runs)))
    return found


def _present(row: Score | None) -> list[Score]:
    return [] if row is None else [row]


def _rows(runs: Sequence[Run], split: str) -> list[Row]:
    """Each run by its model that suggests, and by each other one, unless an earlier run has the same of the same."""
    rows: list[Row] = []
    for run in runs:
        rows.append(_row(run, run.evaluate, split, suggests=True))
        for scored in run.evaluate.get("others", {}).values():
            row = _row(run, scored, split, suggests=False)
            if not any(row.model == known.model and row.score.figures == known.score.figures for known in rows):
                rows.append(row)
    return rows


def _row(run: Run, scored: Mapping[str, Any], split: str, *, suggests: bool) -> Row:
    scores = scored[split]["both"]
    model = scored.get("model", "")
    figures = {key: read_figure(scores, key) for key in COLUMNS}
    return Row(Score(run.name, "model", figures), MODELS.get(model, model or "model"), scores["posts"], suggests)


def _curves(histories: Mapping[str, pd.DataFrame]) -> list[str]:
    """A figure for each of `_CURVES` that all runs have."""
    if not histories:
        return []
    there = [column for column in _CURVES if all(column in history for history in histories.values())]
    return [curves_of_runs(histories, column, _CURVES[column]) for column in there]


def _costs(settings: Sequence[Setting]) -> list[str]:
    """Figures of the score by training posts and by seconds of training, where settings differ in it."""
    posts = {setting: _mean([run.trained_on for run in setting.runs]) for setting in settings}
    seconds = {setting: _mean([run.seconds for run in setting.runs]) for setting in settings}
    figures = []
    for name, axis, costs in (("posts", "training posts", posts), ("seconds", "seconds of training", seconds)):
        if len({cost for cost in costs.values() if cost is not None}) > 1:
            points = [
                Point(number, setting.name, cost, {SPLITS[split]: score for split, score in _scores(setting).items()})
                for number, (setting, cost) in enumerate(costs.items(), start=1)
                if cost is not None
            ]
            figures.append(points_figure(points, name, axis, f"{COLUMNS[_MAIN]} by {axis}"))
    return figures


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _scores(setting: Setting, model: str | None = None) -> dict[str, float]:
    """The main score by split, mean over runs: of the models that suggest, or of one model in the runs that have it."""
    scored = [run.evaluate if model is None else _scored(run, model) for run in setting.runs]
    known = [one for one in scored if one is not None]
    return {split: fmean(one[split]["both"][_MAIN] for one in known) for split in SPLITS} if known else {}


def comparison_lines(found: Comparison) -> list[str]:
    """The main score of each setting, and by how much it differs from the first, as lines of text.

    Below, the same for each model that makes no suggestions.
    """
    width = max(len(setting.name) for setting in found.settings)
    heads = [f"{label} {COLUMNS[_MAIN]}, against the first".ljust(29) for label in SPLITS.values()]

    def line(setting: Setting, scores: Mapping[str, float], contrasts: Mapping[str, Contrast | None]) -> str:
        parts = [f"{score:.3f}{_against(contrasts.get(split))}".ljust(29) for split, score in scores.items()]
        return "  ".join([setting.name.ljust(width), *parts]).rstrip()

    lines = ["  ".join([" " * width, *heads]).rstrip()]
    for number, setting in enumerate(found.settings):
        lines.append(line(setting, _scores(setting), {split: found.contrasts[split][number] for split in SPLITS}))
    for model in dict.fromkeys(model for run in found.runs for model in run.evaluate.get("others", {})):
        lines.append(f"{_in_words(found, model)}:")
        for setting in found.settings:
            if scores := _scores(setting, model):
                against = {split: found.beside[split].get((setting.name, model)) for split in SPLITS}
                lines.append(line(setting, scores, against))
    lost = _unpaired(found)
    if apart := _apart(found, lost):
        lines.append(f"no differences, as no post is scored by both: {', '.join(apart)}")
    if lost:
        lines.append(f"not all differences are known, as what was written is not in DVC's cache: {', '.join(lost)}")
    return lines


def _apart(found: Comparison, lost: Sequence[str]) -> list[str]:
    """Settings that share no post with the first."""
    return [
        setting.name
        for number, setting in enumerate(found.settings)
        if number
        and not {run.name for run in (*setting.runs, *found.settings[0].runs)} & {*lost}
        and all(found.contrasts[split][number] is None for split in SPLITS)
    ]


def _unpaired(found: Comparison) -> list[str]:
    """Runs whose predictions are lost, those of models that make no suggestions included."""
    return [
        run.name
        for run in found.runs
        if run.predictions is None or run.evaluate.get("others", {}).keys() - run.others.keys()
    ]


def _against(one: Contrast | None) -> str:
    if one is None:
        return ""
    shown = one.paired[_MAIN]
    interval = "" if shown.difference_ci95 is None else " [{:+.3f}, {:+.3f}]".format(*shown.difference_ci95)
    return f"  {shown.difference:+.3f}{interval}"
