"""The scores as the report shows them: by method and column, in short, and beside the paper's Table 1."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

# Instagram allows five hashtags a post, Threads one: the figures at 5 and 1 come first.
COLUMNS = {"f1_at_5": "F1@5", "p_at_1": "P@1", "p_at_5": "P@5", "f1": "F1", "bleu4": "BLEU-4"}
HEADLINE = {
    "f1_at_5": "F1 of the five hashtags that the model is surest of",
    "p_at_1": "how often the hashtag that the model is surest of is true",
    "p_at_5": "how many of the five are true",
    "f1": "all hashtags written against all true ones, counts both missed and extra hashtags",
    "bleu4": "sequences of up to four hashtags in the right order; low on real posts",
}
NAMES = {
    "both": "model",
    "no_image": "model without the picture",
    "no_caption": "model without the caption",
    "popularity": "most frequent hashtags",
    "knn_image": "nearest pictures",
    "knn_caption": "nearest captions",
    "knn_both": "nearest posts (picture and caption)",
    "knn_tuned": "nearest posts, tuned",
    "knn_copy": "nearest posts, tuned, with copying",
    "vlm": "vision-language model, asked and not trained",
    "seeds": "hashtags the post was found under (oracle)",
}
FACETS = {
    "not_seed": "without those the post was found under",
    "not_in_caption": "without those in the caption",
    "rare": "rare: in fewer than 10 training posts",
}
_CEILINGS = {
    "both": "ceiling",
    "image": "ceiling with the picture only",
    "caption": "ceiling with the caption only",
}
# An oracle: someone who writes a post has no such list.
_ORACLE = "seeds"

# The models, and what the report calls them.
MODELS = {
    "lstm": "the paper's LSTM",
    "attention": "LSTM with attention",
    "transformer": "transformer",
    "classifier": "classifier",
    "neighbours": "neighbours",
    "ranker": "ranker",
    "ensemble": "ensemble",
}

# What knows nothing of a post.
GUESSES = {"nothing": "nothing at all", "constant": "the most frequent hashtag, alone"}

Kind = Literal["model", "blind", "baseline", "ceiling"]
Standing = Literal["above", "even", "below"]
Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A score and its 95 % interval (None if it has none)."""

    value: float
    interval: Interval | None


@dataclasses.dataclass(frozen=True)
class Score:
    """One row of the score table: a name, its kind, and the figure of each column (None where there is none)."""

    name: str
    kind: Kind
    figures: Mapping[str, Figure | None]


def read_figure(scores: Mapping[str, Any], key: str) -> Figure | None:
    """The figure `key` of a block of metrics, with its interval if present."""
    if scores.get(key) is None:
        return None
    interval = scores.get(f"{key}_ci95")
    return Figure(scores[key], None if interval is None else (interval[0], interval[1]))


def score_rows(evaluate: Mapping[str, Any], baselines: Mapping[str, Any], split: str) -> list[Score]:
    """Rows of the score table of one split: the models, the first blind, the baselines, the ceilings where known.

    The first model is the one that makes the suggestions; the others have their names.
    """
    scores = evaluate[split]
    rows = [_row("both", "model", scores["both"])]
    rows += [_row(name, "model", other[split]["both"]) for name, other in evaluate.get("others", {}).items()]
    rows += [_row(name, "blind", scores[name]) for name in ("no_image", "no_caption")]
    rows += [_row(name, "baseline", block) for name, block in baselines[split].items()]
    for knows, block in (scores.get("ceiling") or {}).items():
        if knows in _CEILINGS:
            rows.append(Score(_CEILINGS[knows], "ceiling", {key: read_figure(block, key) for key in COLUMNS}))
    return rows


def best_baseline(baselines: Mapping[str, Any], key: str) -> Score | None:
    """The row of the baseline with the highest score `key`, the oracle apart; None without baselines."""
    name = _best(baselines, key)
    return None if name is None else _row(name, "baseline", baselines[name])


def _best(baselines: Mapping[str, Any], key: str) -> str | None:
    known = {name: block for name, block in baselines.items() if name != _ORACLE and block.get(key) is not None}
    return max(known, key=lambda name: known[name][key], default=None)


def _row(name: str, kind: Kind, block: Mapping[str, Any]) -> Score:
    return Score((NAMES | MODELS).get(name, name), kind, {key: read_figure(block, key) for key in COLUMNS})


@dataclasses.dataclass(frozen=True)
class Headline:
    """One score in short: the model's, that of the best baseline (its name beside), the ceiling where known.

    standing: whether the model is clearly above or below the baseline, by the interval of the difference on the same
    posts where there is one, else by whether their intervals overlap; None without intervals.
    """

    key: str
    label: str
    meaning: str
    model: Figure
    baseline: Figure | None
    baseline_name: str | None
    standing: Standing | None
    ceiling: float | None


def headlines(evaluate: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[Headline]:
    """The few scores that matter on the test posts. The oracle (seed hashtags) is no baseline here."""
    return [_headline(key, meaning, evaluate["test"], baselines["test"]) for key, meaning in HEADLINE.items()]


def _headline(key: str, meaning: str, scores: Mapping[str, Any], baselines: Mapping[str, Any]) -> Headline:
    model = read_figure(scores["both"], key)
    if model is None:
        raise KeyError(f"test.both.{key}")
    name = _best(baselines, key)
    best = None if name is None else read_figure(baselines[name], key)
    standing: Standing | None = None
    paired = scores.get("against", {}).get(name, {}).get(key, {}).get("difference_ci95")
    if paired is not None:
        standing = "above" if paired[0] > 0 else "below" if paired[1] < 0 else "even"
    elif best is not None and best.interval is not None and model.interval is not None:
        above, below = model.interval[0] > best.interval[1], model.interval[1] < best.interval[0]
        standing = "above" if above else "below" if below else "even"
    ceiling = (scores.get("ceiling") or {}).get("both", {}).get(key)
    return Headline(
        key, COLUMNS[key], meaning, model, best, None if name is None else NAMES.get(name, name), standing, ceiling
    )


def unhelped(test: Mapping[str, Any], inputs: str) -> dict[str, list[str]]:
    """The headline scores that are no better than those of the model blind to the `picture`, or to the `caption`.

    inputs: what the model reads (`train.inputs`); a part that it does not read is left out.
    """
    parts = {"image": ("picture", test["no_image"]), "caption": ("caption", test["no_caption"])}
    blind = dict(part for read, part in parts.items() if inputs in ("both", read))
    return {
        part: [COLUMNS[key] for key in HEADLINE if (block.get(key) or 0) >= test["both"][key]]
        for part, block in blind.items()
    }


def facet_rows(evaluate: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores on the test posts of hashtags that are not given away: one row a facet.

    A facet without any hashtag is left out, and one that takes none away.

    Keys: `name`, `share` (of all true hashtags), `posts`, and `model` and `baseline`: each a dict with `f1` and
    `p_at_1` of the model and of the baseline that is best by F1@5, whose name is `against`.
    """
    rows = []
    best = _best(baselines["test"], "f1_at_5") or ""
    nearest = baselines["test"].get(best, {}).get("facets", {})
    for key, facet in evaluate["test"]["both"].get("facets", {}).items():
        if facet["posts"] and facet["share"] < 1:
            row = {"name": FACETS.get(key, key), "share": facet["share"], "posts": facet["posts"]}
            row["against"] = NAMES.get(best, best)
            rows.append(row | {"model": facet, "baseline": nearest.get(key, {})})
    return rows


def overfits(history: pd.DataFrame) -> bool:
    """Whether the validation loss ended a tenth above the training loss, after a lower value at an earlier epoch.

    A rule of thumb: with dropout, which only training has, a sound fit ends with the training loss above.
    """
    if history.empty:
        return False
    last = history.iloc[-1]
    return bool(last["val_loss"] > 1.1 * last["train_loss"] and last["val_loss"] > history["val_loss"].min())


def restarts(history: pd.DataFrame) -> list[int]:
    """The epochs after which the learning rate, having fallen, jumps back up; a warm-up at the start is none."""
    rates = history["learning_rate"]
    lowest = (rates < rates.shift(1)) & (rates < rates.shift(-1))
    return [int(epoch) for epoch in history["epoch"][lowest]]


# Table 1 of the paper: highest, lowest and mean over its epochs. It has no test scores.
PAPER_TABLE_1: Mapping[str, tuple[float, float, float]] = {
    "train_loss": (2.24, 1.86, 1.99),
    "val_loss": (1.71, 1.57, 1.62),
    "train_bleu": (0.68, 0.66, 0.67),
    "val_bleu": (0.69, 0.67, 0.68),
}
_TABLE_1 = {
    "train_loss": ("loss, training", "train_loss"),
    "val_loss": ("loss, validation", "val_loss"),
    "train_bleu": ("BLEU-1, training", "train_bleu1"),
    "val_bleu": ("BLEU-1, validation", "val_bleu1"),
}


def table_1(history: pd.DataFrame) -> list[dict[str, Any]]:
    """The paper's Table 1 and ours: `name`, `paper` and `ours`, each (highest, lowest, mean) over the epochs.

    Ours are the loss in nats a token and BLEU-1, the paper's order, free-running. No row for a model without epochs.
    """
    if history.empty:
        return []
    rows = []
    for key, (name, column) in _TABLE_1.items():
        values = history[column]
        ours = (float(values.max()), float(values.min()), float(values.mean()))
        rows.append({"name": name, "paper": PAPER_TABLE_1[key], "ours": ours})
    return rows


@dataclasses.dataclass(frozen=True)
class Against:
    """F1@5 of the chosen model held against another method's, post by post, with 95 % intervals.

    difference, ratio: model minus, and over, the other. clear: whether the interval of the difference excludes 0.
    """

    name: str
    difference: Figure
    ratio: Figure | None
    clear: bool


def paper_scores(evaluate: Mapping[str, Any]) -> Mapping[str, Any]:
    """The test scores by the paper's own protocol: of the model that can be fed true hashtags, if there is one.

    Those of the `GUESSES` are of all true hashtags, as in the table of the bridge.
    """
    found = [evaluate["test"]["paper_protocol"]]
    found += [other["test"]["paper_protocol"] for other in evaluate.get("others", {}).values()]
    bridge = evaluate["test"].get("bridge", {})
    guesses = {name: bridge[name]["paper"] for name in GUESSES if name in bridge}
    return {**next((one for one in found if "model" in one), found[0]), **guesses}


def learnt_by_epochs(evaluate: Mapping[str, Any]) -> tuple[str, int] | None:
    """The name of the model that was trained in epochs, and the epoch that was kept; None without one."""
    candidates = {evaluate.get("model", "model"): evaluate, **evaluate.get("others", {})}
    return next(((name, one["best_epoch"]) for name, one in candidates.items() if one.get("best_epoch")), None)


def against_rows(evaluate: Mapping[str, Any]) -> list[Against]:
    """The chosen model against every other method on the test posts; none for a run that did not compare them."""
    rows = []
    for name, figures in evaluate["test"].get("against", {}).items():
        found = figures["f1_at_5"]
        interval, ratio = found["difference_ci95"], found["ratio"]
        rows.append(
            Against(
                (NAMES | MODELS).get(name, name),
                Figure(found["difference"], None if interval is None else (interval[0], interval[1])),
                None if ratio is None else Figure(ratio, found["ratio_ci95"] and tuple(found["ratio_ci95"])),
                interval is not None and (interval[0] > 0 or interval[1] < 0),
            )
        )
    return rows


@dataclasses.dataclass(frozen=True)
class Cost:
    """A model's F1@5 on the test posts, and what it costs; None where that is not known.

    parameters: numbers that it holds. seconds: wall time of its training. suggestion: of one suggestion, in seconds.
    """

    name: str
    score: Figure | None
    parameters: int | None
    seconds: float | None
    suggestion: float | None


def cost_rows(
    evaluate: Mapping[str, Any], training: Mapping[str, float], suggestion: Mapping[str, float]
) -> list[Cost]:
    """A row for each model that was scored. training, suggestion: wall times in seconds by model, where known."""
    models = {evaluate.get("model", "model"): evaluate, **evaluate.get("others", {})}
    return [
        Cost(
            MODELS.get(name, name),
            read_figure(one["test"]["both"], "f1_at_5"),
            one.get("parameters"),
            training.get(name),
            suggestion.get(name),
        )
        for name, one in models.items()
    ]
