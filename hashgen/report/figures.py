"""Charts as SVG with matplotlib: text stays text, colours follow the page, the same data give the same bytes."""

import dataclasses
import html
import io
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hashgen.report.post_tables import Cut
from hashgen.report.score_tables import COLUMNS, Score
from hashgen.report.score_tables import Figure as Found

# Replaced by the page's text colour, which differs in dark mode.
_INK = "#010203"
# At least 3:1 against the page, light and dark.
_BLUE, _ORANGE, _GREY = "#2f7ed8", "#c56d15", "#858585"
# For runs side by side: line styles differ too, and all are visible on light and dark.
_COLOURS = (_BLUE, _ORANGE, "#2a9d6f", "#b05fc4", "#c94f4f", _GREY)
_STYLES = ("-", "--", ":", "-.")
_MARKS = {"model": ("o", _BLUE), "blind": ("o", _BLUE), "baseline": ("s", _ORANGE), "ceiling": ("D", _GREY)}


def curves(history: pd.DataFrame) -> list[str]:
    """Figures by epoch: losses (the paper's Fig. 3), BLEU-4 (Fig. 4), and F1@5, by which an epoch is chosen.

    None for a model without epochs.
    """
    if history.empty:
        return []
    panels = {
        "loss": "Loss, nats per token (as in Fig. 3)",
        "bleu4": "BLEU-4, free-running (as in Fig. 4)",
        "f1_at_5": "F1@5, validation",
    }
    return [_curve(history, kind, title) for kind, title in panels.items() if f"val_{kind}" in history]


def _curve(history: pd.DataFrame, kind: str, title: str) -> str:
    figure = Figure(figsize=(4.6, 3.1))
    axes = figure.subplots()
    styles = {"train": ("training", "-", _BLUE), "val": ("validation", "--", _ORANGE)}
    drawn = {part: history[f"{part}_{kind}"] for part in styles if f"{part}_{kind}" in history}
    for part, values in drawn.items():
        name, style, colour = styles[part]
        marker = "o" if len(history) == 1 else None
        axes.plot(history["epoch"], values, style, color=colour, label=name, marker=marker)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _title(axes, title)
    axes.legend(frameon=False)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.25)
    best, val = "lowest" if kind == "loss" else "highest", drawn["val"]
    at = history["epoch"].iloc[int((val if kind == "loss" else -val).argmin())]
    ends = [f"{styles[part][0]} from {values.iloc[0]:.2f} to {values.iloc[-1]:.2f}" for part, values in drawn.items()]
    words = f"{title}, by epoch from 1 to {len(history)}: {', '.join(ends)}, {best} at epoch {at}."
    return to_svg(figure, f"curve-{kind}", words)


def curves_of_runs(histories: Mapping[str, pd.DataFrame], column: str, title: str) -> str:
    """One column of the histories of several runs by epoch, a line each."""
    figure = Figure(figsize=(4.6, 3.1))
    axes = figure.subplots()
    for number, (name, history) in enumerate(histories.items()):
        style, colour = _STYLES[number % len(_STYLES)], _COLOURS[number % len(_COLOURS)]
        marker = "o" if len(history) == 1 else None
        label = name.replace("$", r"\$")
        axes.plot(history["epoch"], history[column], style, color=colour, label=label, marker=marker)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _title(axes, title)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", alpha=0.25)
    last = "; ".join(f"{name} {history[column].iloc[-1]:.3f}" for name, history in histories.items())
    return to_svg(figure, f"runs-{column}", f"{title}, by epoch; last values: {last}.")


@dataclasses.dataclass(frozen=True)
class Point:
    """What something cost (above 0) and its scores by series. number: by which the page names it."""

    number: int
    name: str
    cost: float
    scores: Mapping[str, float]


def points_figure(points: Sequence[Point], kind: str, axis: str, title: str) -> str:
    """Scores by what they cost, a marker for each series; on a log scale if costs differ much.

    The page says what each number is. kind: makes ids unique on a page.
    """
    figure = Figure(figsize=(4.6, 3.1))
    axes = figure.subplots()
    costs = [one.cost for one in points]
    for number, series in enumerate(points[0].scores):
        marker, colour = ("o", "s")[number % 2], _COLOURS[number % len(_COLOURS)]
        axes.plot(costs, [one.scores[series] for one in points], marker, color=colour, label=series)
    for one in points:
        highest = max(one.scores.values())
        axes.annotate(
            str(one.number),
            (one.cost, highest),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=_INK,
        )
    if max(costs) > 5 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.margins(0.12, 0.15)
    axes.set_xlabel(axis)
    _title(axes, title)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    words = "; ".join(
        f"{one.name}, {round(one.cost, 1):,g}: "
        + ", ".join(f"{series} {value:.3f}" for series, value in one.scores.items())
        for one in points
    )
    return to_svg(figure, f"cost-{kind}", f"{title}: {words}.")


def score_figure(rows: Sequence[Score], key: str, split: str) -> str:
    """One score of a split for all rows that have it: points with 95 % intervals; the axis may not start at zero."""
    shown = [(row, found) for row in reversed(rows) if (found := row.figures[key]) is not None]
    figure = Figure(figsize=(4.2, 0.42 * len(shown) + 0.8))
    axes = figure.subplots()
    # Each name is above its point, so that the axis has the full width, even on a phone.
    over = axes.get_yaxis_transform()
    for height, (row, found) in enumerate(shown):
        marker, colour = _MARKS[row.kind]
        if found.interval is not None:
            axes.plot(found.interval, (height, height), color=colour, linewidth=2, zorder=1)
        face = "none" if row.kind == "blind" else colour
        axes.plot([found.value], [height], marker, color=colour, markerfacecolor=face, markersize=6)
        name = row.name.replace("$", r"\$")
        axes.text(0.01, height + 0.22, name, transform=over, va="bottom", fontsize=9, color=_INK)
    axes.set_yticks(range(len(shown)), [])
    axes.set_ylim(-0.5, len(shown) - 0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _title(axes, COLUMNS[key])
    axes.margins(x=0.08)
    axes.grid(axis="both", alpha=0.25)
    words = "; ".join(f"{row.name} {_spoken(found)}" for row, found in reversed(shown))
    return to_svg(figure, f"score-{split}-{key}", f"{COLUMNS[key]} ({split}) with 95 % intervals: {words}.")


def reliability_figure(bins: Sequence[Mapping[str, float]]) -> str:
    """Share that is true by mean probability, a point for each bin (`confidence`, `right`); the diagonal is perfect."""
    figure = Figure(figsize=(4.2, 3.4))
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), "--", color=_GREY, linewidth=1)
    axes.plot([one["confidence"] for one in bins], [one["right"] for one in bins], "o", color=_BLUE, markersize=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("mean probability")
    _title(axes, "Share that is true")
    axes.grid(alpha=0.25)
    words = "; ".join(f"{one['confidence']:.2f}: {one['right']:.2f}" for one in bins)
    return to_svg(figure, "reliability", f"Share of hashtags that is true, by their mean probability: {words}.")


def _spoken(found: Found) -> str:
    return f"{found.value:.3f}" + ("" if found.interval is None else " ({:.3f} to {:.3f})".format(*found.interval))


def tail_figure(points: Sequence[tuple[int, int]], distinct: int) -> str:
    """Posts by rank of the hashtag, both on log scales."""
    figure = Figure(figsize=(4.4, 3.1))
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), ".-", color=_BLUE, markersize=4, linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, most in ((axes.xaxis, points[-1][0]), (axes.yaxis, points[0][1])):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1000 else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("rank of the hashtag")
    _title(axes, "Posts with the hashtag")
    axes.grid(alpha=0.25)
    words = (
        f"{distinct:,} hashtags, most frequent first, on log scales: from {points[0][1]:,} posts to {points[-1][1]:,}."
    )
    return to_svg(figure, "tail", words)


def lengths_figure(cut: Cut, what: str) -> str:
    """A histogram of one length per post; a line marks the cap if it is within the chart."""
    figure = Figure(figsize=(4.4, 3.1))
    axes = figure.subplots()
    top = cut.longest
    width = max(1, -(-top // 40))
    bins = np.arange(0, top + width + 1, width) - 0.5
    axes.hist(cut.values, bins=list(bins), color=_BLUE)
    if cut.cap < top:
        axes.axvline(cut.cap + 0.5, color=_ORANGE, linestyle="--", linewidth=1.5)
        axes.text(cut.cap + 0.5, 0.95, " cap", transform=axes.get_xaxis_transform(), color=_INK, va="top", fontsize=9)
    per = f"{what} per {'caption' if what == 'words' else 'post'}"
    axes.set_xlabel(per)
    _title(axes, "Posts")
    words = f"Histogram of {per}: median {cut.median}, maximum {top}, cap {cut.cap}."
    return to_svg(figure, f"lengths-{what}", words)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=_INK)


def to_svg(figure: Figure, name: str, words: str) -> str:
    """The figure as an `<svg>` element, with `words` for those who cannot see it. name: makes ids unique on a page."""
    stream = io.StringIO()
    # Text stays text, ids come from a fixed salt and no date is written: the same bytes for the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        for axes in figure.axes:
            _ink(axes)
        figure.savefig(stream, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)  # its style would apply to the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # unused, and the same in every figure
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(words)}"', 1)


def _ink(axes: Axes) -> None:
    axes.tick_params(which="both", colors=_INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    legend = axes.get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_color(_INK)
