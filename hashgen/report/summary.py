"""The closing box of `make repro`: scores in short, where the report is, what to try next"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from hashgen.base.errors import HashgenError
from hashgen.base.files import read_json
from hashgen.base.progress import is_quiet
from hashgen.report.score_tables import MODELS, NAMES, Score, headlines, score_rows

WIDTH = 80
NEXT = (
    "make demo",
    'hashgen suggest photo.jpg "slow sunday morning"',
    "dvc exp run -S train.lstm.hidden=256",
    "hashgen compare HEAD .",
)
_COLUMNS = {"f1_at_5": "F1@5", "p_at_1": "P@1", "bleu4": "BLEU-4"}
_WIDTHS = {"f1_at_5": 22, "p_at_1": 22, "bleu4": 0}
_LINES, _PLAIN = "┌─┐│└┘", "+-+|++"


def print_summary(evaluate: Path, baselines: Path, report: Path) -> None:
    """Print the scores of the last run, the path of the report and the next commands to try; nothing if quiet.

    evaluate, baselines: metrics of these stages. Raises HashgenError when they are missing or lack a figure.
    """
    if is_quiet():
        return
    scores, others = read_json(evaluate, "evaluate"), read_json(baselines, "baselines")
    try:
        lines = summarise(scores, others, report)
    except (AttributeError, KeyError, TypeError) as error:
        raise HashgenError(f"{evaluate}: lacks a value ({error}); run the pipeline again: dvc repro -f") from error
    if sys.stdout.isatty() and shutil.get_terminal_size().columns >= WIDTH:
        lines = draw_box(lines, _LINES if _can_print(_LINES, sys.stdout) else _PLAIN)
    print("\n".join(lines))


def summarise(evaluate: Mapping[str, Any], baselines: Mapping[str, Any], report: Path) -> list[str]:
    """The lines of the box, without its frame, at most `WIDTH` - 4 long unless the path of the report is longer.

    Scores are those of the test posts, with 95 % intervals; beside them the ceiling where it is known, and the baseline
    that is best by F1@5. Raises KeyError if a figure is missing.
    """
    rows = {score.name: score for score in score_rows(evaluate, baselines, "test")}
    main = headlines(evaluate, baselines)[0]
    table = {MODELS.get(evaluate.get("model", ""), "model"): rows[NAMES["both"]]}
    table |= {MODELS.get(name, name): rows[MODELS.get(name, name)] for name in evaluate.get("others", {})}
    if "ceiling" in rows:
        table["ceiling"] = rows["ceiling"]
    if main.baseline_name is not None:
        table["best baseline"] = rows[main.baseline_name]
    table |= {"without picture": rows[NAMES["no_image"]], "without caption": rows[NAMES["no_caption"]]}
    drawn = " of the built-in sample" if "ceiling" in rows else ""
    return [
        f"Scores on {evaluate['test']['both']['posts']:,} test posts{drawn}; used for no choice",
        "",
        f"{'':20}" + "".join(f"{label:{_WIDTHS[key]}}" for key, label in _COLUMNS.items()),
        *(_line(name, score) for name, score in table.items()),
        *([f"best baseline by {main.label}: {main.baseline_name}"] if main.baseline_name else []),
        *_WORSE.get(main.standing or "", []),
        "",
        f"report: {report}",
        "what to try next (first: source .venv/bin/activate):",
        *(f"  {command}" for command in NEXT),
    ]


# What must be said where suggestions are recommended.
_WORSE = {
    "below": ["the model is WORSE than the best baseline: its suggestions are not to be trusted"],
    "even": ["the model is not clearly better than the best baseline"],
}


def _line(name: str, score: Score) -> str:
    cells = []
    for key, width in _WIDTHS.items():
        figure = score.figures[key]
        text = "-" if figure is None else f"{figure.value:.3f}"
        if figure is not None and figure.interval is not None and width:
            text += " [{:.3f}, {:.3f}]".format(*figure.interval)
        cells.append(f"{text:{width}}")
    return f"{name:20}{''.join(cells)}".rstrip()


def draw_box(lines: Sequence[str], frame: str) -> list[str]:
    """Put a frame of `WIDTH` columns around lines, wider if one is longer.

    frame: the characters for the upper left corner, horizontal, upper right, vertical, lower left, lower right.
    """
    left, across, right, side, low_left, low_right = tuple(frame)
    inner = max(WIDTH - 4, *(len(line) for line in lines))
    rim = across * (inner + 2)
    body = [f"{side} {line:{inner}} {side}" for line in lines]
    return [f"{left}{rim}{right}", *body, f"{low_left}{rim}{low_right}"]


def _can_print(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
