"""Example posts: cards of test posts, the grid of pictures and captions, dropped posts."""

import base64
import dataclasses
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from PIL import Image

Kind = Literal["best", "typical", "worst"]
KINDS: tuple[Kind, ...] = ("best", "typical", "worst")

_THUMBNAIL = 192  # pixels of the longer side
_CAPTION = 200  # characters shown
# A mention or an e-mail address: the page need not name people.
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]*@\w[\w.-]*")


@dataclasses.dataclass(frozen=True)
class Card:
    """One test post: thumbnail (a data URL, None if pictures are left out), caption, hits, extras and misses, F1."""

    post: str
    picture: str | None
    caption: str
    hits: Sequence[str]
    extras: Sequence[str]
    misses: Sequence[str]
    f1: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One picture with one caption, and the hashtags written for them, in order.

    own: whether both are from the same post. marks: one per hashtag; if `own`, `hit` or `extra`; otherwise `picture` or
    `caption` (the hashtag is also written for the post of the picture or of the caption), `both`, or `new`.
    """

    own: bool
    written: Sequence[str]
    marks: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Pictures by captions of the same posts: thumbnails (data URLs or None), captions, rows of cells by picture."""

    pictures: Sequence[str | None]
    captions: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def kept(self) -> dict[str, float]:
        """The mean share of the hashtags of a post that stay when its caption or picture is replaced.

        `picture`: the picture stays and the caption changes; `caption`: the other way round.
        """
        size = range(len(self.rows))
        others = [(row, column) for row in size for column in size if row != column]
        result = {}
        for part in ("picture", "caption"):
            shares = []
            for row, column in others:
                own = self.rows[row][row] if part == "picture" else self.rows[column][column]
                shares.append(len(set(own.written) & set(self.rows[row][column].written)) / max(1, len(own.written)))
            result[part] = sum(shares) / len(shares) if shares else 1.0
        return result


def choose_cards(test: pd.DataFrame, count: int) -> dict[Kind, list[str]]:
    """Ids of the test posts to show: `count` best, `count` around the median and `count` worst by F1.

    Posts with equal F1 are taken in order of their id, so that nobody chooses. No post appears twice.
    """
    ranked = test.assign(f1=[_f1(set(w), set(t)) for w, t in zip(test["both"], test["hashtags"], strict=True)])
    ids = [str(post) for post in ranked.sort_values(["f1", "id"], ascending=[False, True])["id"]]
    count = min(count, len(ids) // 3 or 1)
    worst = max(count, len(ids) - count)
    middle = max(count, (len(ids) - count) // 2)
    return {"best": ids[:count], "typical": ids[middle : min(middle + count, worst)], "worst": ids[worst:]}


def _f1(written: set[str], true: set[str]) -> float:
    return 2 * len(written & true) / (len(written) + len(true)) if written or true else 0.0


def thumbnail(image: Image.Image) -> bytes:
    """A picture (RGB, any size) as the bytes of a small JPEG."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=74, optimize=True)
    return stream.getvalue()


def data_url(jpeg: bytes | None) -> str | None:
    """A JPEG as a data URL; None for none."""
    return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def from_data_url(url: str) -> bytes:
    """The bytes of a picture that `data_url` wrote."""
    return base64.b64decode(url.partition(",")[2])


def make_cards(
    test: pd.DataFrame, chosen: Mapping[Kind, Sequence[str]], thumbnails: Mapping[str, bytes]
) -> dict[Kind, list[Card]]:
    """The cards of the chosen posts."""
    rows = {str(row["id"]): row for row in test.to_dict("records")}
    return {
        kind: [
            _card(post, list(rows[post]["both"]), list(rows[post]["hashtags"]), rows[post]["caption"], thumbnails)
            for post in posts
        ]
        for kind, posts in chosen.items()
    }


def _card(post: str, written: list[str], true: list[str], caption: str, thumbnails: Mapping[str, bytes]) -> Card:
    return Card(
        post,
        data_url(thumbnails.get(post)),
        shortened(caption),
        [hashtag for hashtag in written if hashtag in true],
        [hashtag for hashtag in written if hashtag not in true],
        [hashtag for hashtag in true if hashtag not in written],
        _f1(set(written), set(true)),
    )


def make_grid(grid: pd.DataFrame, test: pd.DataFrame, thumbnails: Mapping[str, bytes]) -> Grid:
    """The grid as `hashgen.scoring.evaluation.cross` gives it, marked; `test` has the true hashtags of its posts."""
    posts = [str(post) for post in dict.fromkeys(grid["picture"])]
    written = {(row["picture"], row["caption_of"]): list(row["written"]) for row in grid.to_dict("records")}
    captions = dict(zip(grid["caption_of"], grid["caption"], strict=True))
    true = dict(zip(test["id"], test["hashtags"], strict=True))
    rows = []
    for picture in posts:
        cells = []
        for text in posts:
            here, own_picture, own_text = written[picture, text], written[picture, picture], written[text, text]
            if picture == text:
                marks = ["hit" if hashtag in true[picture] else "extra" for hashtag in here]
            else:
                marks = [_mark(hashtag in own_picture, hashtag in own_text) for hashtag in here]
            cells.append(Cell(picture == text, here, marks))
        rows.append(cells)
    pictures = [data_url(thumbnails.get(post)) for post in posts]
    return Grid(pictures, [shortened(captions[post], 120) for post in posts], rows)


def _mark(with_picture: bool, with_caption: bool) -> str:
    if with_picture:
        return "both" if with_caption else "picture"
    return "caption" if with_caption else "new"


def choose_examples(rejects: pd.DataFrame, count: int) -> dict[str, list[str]]:
    """For each reason, most frequent first, the raw captions of `count` dropped posts, drawn by a hash of their id.

    Mentions and e-mail addresses are hidden, long captions are cut; a post without a caption gives its detail instead.
    """
    drawn = rejects.assign(draw=[hashlib.sha256(str(post).encode()).hexdigest() for post in rejects["id"]])
    examples = {}
    counts = Counter(rejects["reason"])
    for reason in sorted(counts, key=lambda reason: (-counts[reason], reason)):
        rows = drawn[drawn["reason"] == reason].sort_values("draw").head(count)
        examples[str(reason)] = [_text(c, d) for c, d in zip(rows["caption"], rows["detail"], strict=True)]
    return examples


def _text(caption: object, detail: object) -> str:
    # pandas gives nan for null.
    text = shortened(_ADDRESS.sub("@…", caption)) if isinstance(caption, str) else ""
    return text or f"({detail if isinstance(detail, str) else 'no text'})"


def shortened(text: str, length: int = _CAPTION) -> str:
    """A text on one line, of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
