"""The report: one self-contained page from metrics, history, predictions and a few pictures."""

import base64
import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jinja2
import pandas as pd
from PIL import Image

from hashgen.errors import HashgenError
from hashgen.files import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in place of the page's text colour, which is another in the dark.
_INK = "#010203"
_COLOURS = ("#2f7ed8", "#d9822b")
_THUMBNAIL = 240

Kind = Literal["best", "typical", "worst"]

COLUMNS = {"p_at_1": "P@1", "r_at_5": "R@5", "f1_at_5": "F1@5", "f1": "F1", "bleu4": "BLEU-4"}
NAMES = {
    "both": "model",
    "no_image": "model, blind to the picture",
    "no_caption": "model, blind to the caption",
    "popularity": "most frequent hashtags",
    "knn_image": "nearest pictures",
    "knn_caption": "nearest captions",
    "knn_both": "nearest posts (picture and caption)",
    "seeds": "hashtags the post was found under (oracle)",
}


@dataclasses.dataclass(frozen=True)
class Card:
    """One test post: its thumbnail as JPEG bytes, its caption, and the hashtags told apart."""

    kind: Kind
    caption: str
    thumbnail: bytes
    hits: Sequence[str]
    extras: Sequence[str]
    misses: Sequence[str]

    @property
    def picture(self) -> str:
        """The thumbnail as a data URL."""
        return "data:image/jpeg;base64," + base64.b64encode(self.thumbnail).decode()


def choose_cards(predictions: pd.DataFrame, count: int) -> list[tuple[Kind, str]]:
    """(kind, id) of the test posts to show: `count` best, `count` around the median and `count` worst by F1.

    Posts of equal F1 are taken in order of their id, so that the choice is no one's taste. No post comes twice.
    """
    test = predictions[predictions["split"] == "test"]
    ranked = test.assign(f1=[_f1(set(w), set(t)) for w, t in zip(test["both"], test["hashtags"], strict=True)])
    ids = list(ranked.sort_values(["f1", "id"], ascending=[False, True])["id"])
    count = min(count, len(ids) // 3 or 1)
    middle = max(count, (len(ids) - count) // 2)
    chosen: dict[Kind, list[str]] = {
        "best": ids[:count],
        "typical": ids[middle : middle + count],
        "worst": ids[max(middle + count, len(ids) - count) :],
    }
    return [(kind, post) for kind, posts in chosen.items() for post in posts]


def _f1(written: set[str], true: set[str]) -> float:
    return 2 * len(written & true) / (len(written) + len(true)) if written or true else 0.0


def make_card(kind: Kind, post: Mapping[Hashable, Any], image: Image.Image) -> Card:
    """A card from a row of the predictions and its picture (RGB, any size)."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=78)
    written, true = list(post["both"]), list(post["hashtags"])
    return Card(
        kind,
        str(post["caption"]),
        stream.getvalue(),
        [hashtag for hashtag in written if hashtag in true],
        [hashtag for hashtag in written if hashtag not in true],
        [hashtag for hashtag in true if hashtag not in written],
    )


def choose_examples(rejects: pd.DataFrame, count: int) -> dict[str, list[str]]:
    """For each reason, most frequent first, the raw captions of `count` dropped posts, drawn by a hash of their id.

    A caption of more than 200 characters is cut; a post without a caption gives its detail instead.
    """
    drawn = rejects.assign(draw=[hashlib.sha256(str(post).encode()).hexdigest() for post in rejects["id"]])
    examples = {}
    counts = Counter(rejects["reason"])
    for reason in sorted(counts, key=lambda reason: (-counts[reason], reason)):
        rows = drawn[drawn["reason"] == reason].sort_values("draw").head(count)
        examples[str(reason)] = [_shortened(c, d) for c, d in zip(rows["caption"], rows["detail"], strict=True)]
    return examples


def _shortened(caption: object, detail: object, length: int = 200) -> str:
    # pandas gives nan for null.
    text = " ".join(caption.split()) if isinstance(caption, str) else ""
    text = text or f"({detail if isinstance(detail, str) else 'no text'})"
    return text if len(text) <= length else text[: length - 1] + "…"


@dataclasses.dataclass(frozen=True)
class Score:
    """One row of the score table: a name and, by column, the figure and its 95 % interval (None if it has none)."""

    name: str
    figures: Mapping[str, tuple[float, tuple[float, float] | None] | None]


def score_rows(evaluate: Mapping[str, Any], baselines: Mapping[str, Any], split: str) -> list[Score]:
    """Rows of the score table of one split: the model, itself blind, the baselines, the ceiling where known."""
    scored = {**{name: evaluate[split][name] for name in ("both", "no_image", "no_caption")}, **baselines[split]}
    rows = [
        Score(NAMES.get(name, name), {key: _figure(scores, key) for key in COLUMNS}) for name, scores in scored.items()
    ]
    ceiling = evaluate[split].get("ceiling")
    if ceiling:
        figures = {key: _figure(ceiling["both"], key) for key in COLUMNS}
        rows.append(Score("ceiling (best known, from the sample's own probabilities)", figures))
    return rows


def _figure(scores: Mapping[str, Any], key: str) -> tuple[float, tuple[float, float] | None] | None:
    if key not in scores:
        return None
    interval = scores.get(f"{key}_ci95")
    return scores[key], None if interval is None else (interval[0], interval[1])


def read_history(path: Path) -> pd.DataFrame:
    """Losses and scores by epoch as the stage train writes them. Raises HashgenError when missing or broken."""
    try:
        history = pd.read_csv(require(path, "train"))
        return history[["epoch", "train_loss", "val_loss", "train_bleu4", "val_bleu4"]]
    except (ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise HashgenError(f"{path}: not readable ({reason}); run the stage train again") from error


def curves(history: pd.DataFrame) -> str:
    """SVG of losses and BLEU-4 by epoch, training and validation (the paper's Fig. 3 and 4)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2))
    panels = {"loss": "loss, nats a token", "bleu4": "BLEU-4"}
    for axes, (kind, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for colour, part, style in zip(_COLOURS, ("train", "val"), ("-", "--"), strict=True):
            axes.plot(history["epoch"], history[f"{part}_{kind}"], style, color=colour, label=part)
        axes.set_xlabel("epoch")
        axes.set_title(label, loc="left", fontsize=10, color=_INK)
        axes.legend(frameon=False)
        axes.set_ylim(bottom=0)
    return _svg(figure)


def score_figure(rows: Sequence[Score], key: str) -> str:
    """SVG of one score for all rows: points with their 95 % intervals."""
    from matplotlib.figure import Figure

    shown = [(row.name, found) for row in rows if (found := row.figures[key]) is not None]
    figure = Figure(figsize=(9, 0.36 * len(shown) + 0.8))
    axes = figure.subplots()
    for height, (name, (value, interval)) in enumerate(reversed(shown)):
        colour = _COLOURS[0] if name.startswith("model") else _COLOURS[1]
        if interval is not None:
            axes.plot(interval, (height, height), color=colour, linewidth=2)
        axes.plot([value], [height], "o" if interval else "D", color=colour)
    axes.set_yticks(range(len(shown)), [name for name, _ in reversed(shown)])
    axes.set_title(f"{COLUMNS[key]} on the test posts, with 95 % intervals", loc="left", fontsize=10, color=_INK)
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.25)
    return _svg(figure)


def _svg(figure: "Figure") -> str:
    import matplotlib as mpl

    stream = io.StringIO()
    # Text stays text, ids come from a fixed salt and no date is written: the same bytes for the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hashgen"}):
        for axes in figure.axes:
            axes.tick_params(colors=_INK)
            axes.xaxis.label.set_color(_INK)
            for side, spine in axes.spines.items():
                spine.set_visible(side in ("left", "bottom"))
                spine.set_color(_INK)
            legend = axes.get_legend()
            for text in legend.get_texts() if legend else ():
                text.set_color(_INK)
        figure.savefig(stream, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    svg = stream.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


@dataclasses.dataclass(frozen=True)
class Sources:
    """All that a report tells: the metrics of the stages, the history, the cards, captions of dropped posts."""

    scrape: Mapping[str, Any]
    filter: Mapping[str, Any]
    split: Mapping[str, Any]
    vocab: Mapping[str, Any]
    baselines: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    history: pd.DataFrame
    cards: Sequence[Card]
    examples: Mapping[str, Sequence[str]]


def render(sources: Sources) -> str:
    """The page as HTML: no network, no script, the same bytes from the same inputs.

    Raises HashgenError when metrics lack a figure that the page shows.
    """
    try:
        return _render(sources)
    except (KeyError, jinja2.UndefinedError) as error:
        raise HashgenError(
            f"report: the metrics lack a figure ({error}); run the pipeline again: dvc repro -f"
        ) from error


def _render(sources: Sources) -> str:
    rows = score_rows(sources.evaluate, sources.baselines, "test")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hashgen"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        sources=sources,
        columns=COLUMNS,
        rows=rows,
        test=sources.evaluate["test"],
        curves=curves(sources.history),
        figure=score_figure(rows, "bleu4"),
        kinds=("best", "typical", "worst"),
    )
