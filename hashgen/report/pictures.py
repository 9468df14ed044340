"""Example posts as PNG, for viewers that cannot show the page: cards of one kind, and the grid."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hashgen.report.examples import Card, Grid, from_data_url

# Dark enough on white; the signs differ too.
_COLOURS = {"hit": "#13693b", "extra": "#96302f", "miss": "#7a4f00", "picture": "#1f5fae", "caption": "#7a4f00"}
_COLOURS |= {"both": "#595959", "new": "#7b2d8e"}
_SIGNS = {"hit": "✓", "extra": "✗", "miss": "○", "picture": "▣", "caption": "❝", "both": "▣❝", "new": "+"}
_COLUMNS = 3


def draw_cards(cards: Sequence[Card], title: str, path: Path) -> None:
    """Draw cards to a PNG file: picture (where it has one), caption, hashtags with their signs."""
    rows = -(-len(cards) // _COLUMNS)
    figure = Figure(figsize=(12, 2.9 * rows + 0.5), dpi=80)
    figure.suptitle(f"{title}   ✓ written and true   ✗ written, not true   ○ true, not written", fontsize=11)
    fields = np.atleast_1d(figure.subplots(rows, _COLUMNS)).flatten()
    for field in fields:
        field.axis("off")
    for field, card in zip(fields, cards, strict=False):
        _show(field.inset_axes((0, 0.15, 0.42, 0.8)), card.picture)
        tags = {"hit": card.hits, "extra": card.extras, "miss": card.misses}
        lines = [(line, "black") for line in _wrapped(f"“{card.caption}”", 26)[:5]]
        lines += [(f"{_SIGNS[kind]} #{tag}", _COLOURS[kind]) for kind, names in tags.items() for tag in names]
        _write(field, lines, left=0.45, size=9, height=0.068, width=30)
    _save(figure, path)


def draw_grid(grid: Grid, path: Path) -> None:
    """Draw the grid to a PNG file: one row per picture, one column per caption, hashtags marked as on the page."""
    size = len(grid.rows)
    figure = Figure(figsize=(2.2 + 2.9 * size, 0.9 + 2.3 * size), dpi=80)
    widths, heights = [2.0, *[2.9] * size], [0.7, *[2.2] * size]
    fields = figure.subplots(size + 1, size + 1, width_ratios=widths, height_ratios=heights)
    fields[0, 0].axis("off")
    for number in range(size):
        fields[0, number + 1].axis("off")
        text = "\n".join(_wrapped(f"“{grid.captions[number]}”", 32)[:4])
        fields[0, number + 1].text(0, 0, text, va="bottom", fontsize=9, fontweight="bold", parse_math=False)
        _show(fields[number + 1, 0], grid.pictures[number])
        for column, cell in enumerate(grid.rows[number]):
            marked = zip(cell.marks, cell.written, strict=True)
            field = fields[number + 1, column + 1]
            lines = [(f"{_SIGNS[mark]} #{tag}", _COLOURS[mark]) for mark, tag in marked]
            _write(field, lines, left=0.04, size=11, height=0.1, width=30)
            field.set(xticks=[], yticks=[])
            field.spines[:].set(linewidth=2.5 if cell.own else 0.5, color="black" if cell.own else "#bbbbbb")
    legend = (
        "framed: the original post (✓ true ✗ not true); others: ▣ stays with the picture, ❝ comes with the caption,"
    )
    figure.text(0.5, 0.02, f"{legend} ▣❝ written for both, + for neither", ha="center", fontsize=9)
    _save(figure, path)


def _show(axes: Axes, picture: str | None) -> None:
    axes.axis("off")
    if picture is None:
        axes.text(0.5, 0.5, "picture left out", ha="center", va="center", color="#595959", fontsize=9)
    else:
        axes.imshow(np.asarray(Image.open(io.BytesIO(from_data_url(picture)))))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def _write(axes: Axes, lines: Sequence[tuple[str, str]], *, left: float, size: int, height: float, width: int) -> None:
    """Write lines of text (text, colour) from the top; left and height of a line as fractions of the field.

    A line of more than `width` characters is cut.
    """
    most = int(0.93 / height)
    if len(lines) > most:
        lines = [*lines[: most - 1], (f"… and {len(lines) - most + 1} more", "#595959")]
    for number, (line, colour) in enumerate(lines):
        top = 0.96 - number * height
        text = line if len(line) <= width else line[: width - 1] + "…"
        axes.text(left, top, text, color=colour, va="top", fontsize=size, parse_math=False, transform=axes.transAxes)


def _save(figure: Figure, path: Path) -> None:
    figure.subplots_adjust(0.02, 0.06, 0.98, 0.95, 0.04, 0.06)
    with warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png", metadata={"Software": None})
