"""A suggester that knows no model: its hashtags follow from words of the caption and the mean colour of the picture."""

import dataclasses
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hashgen.base.errors import HashgenError

WORDS = {
    "beach": ["beach", "beachlife", "ocean", "waves", "sand", "summer", "sea"],
    "train": ["fitness", "gym", "workout", "nodaysoff", "fitfam", "strong", "training"],
    "coffee": ["coffee", "coffeetime", "latte", "morning", "espresso", "cafe", "barista"],
}
COLOURS = {0: ["red", "sunset", "warm", "roses"], 1: ["green", "forest", "hiking", "nature"], 2: ["blue", "sky"]}
ANY = ["photooftheday", "love", "instagood", "picoftheday", "nature"]


@dataclasses.dataclass(frozen=True)
class Said:
    """An answer as the server passes it on."""

    hashtags: list[dict[str, Any]]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        return {"hashtags": self.hashtags, "warnings": self.warnings}


class SuggesterDouble:
    """hold: what `suggest` and `encode` wait for, so that a test decides how long they take."""

    def __init__(self, name: str = "double", hold: threading.Event | None = None) -> None:
        self.name, self.hold = name, hold
        self.calls: list[dict[str, Any]] = []

    @property
    def about(self) -> dict[str, Any]:
        return {"model": self.name, "posts": 1234, "hashtags": 56, "source": "sample", "warnings": []}

    def encode(self, data: bytes) -> int:
        """The strongest of the colours red, green and blue: 0, 1 or 2."""
        if self.hold is not None:
            self.hold.wait()
        try:
            with Image.open(io.BytesIO(data)) as image:
                pixel = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
        except OSError as error:
            raise HashgenError("the picture: not a readable picture (truncated); use a JPEG file") from error
        assert isinstance(pixel, tuple)
        return pixel.index(max(pixel))

    def suggest(
        self,
        picture: int | None = None,
        caption: str = "",
        *,
        tags: Sequence[str] = (),
        add: Sequence[str] = (),
        max: int | None = None,
        platform: str | None = None,
        min_confidence: float = 0.0,
        mix: Any = "balanced",
        ban: Sequence[str] = (),
        allow: Sequence[str] = (),
        prefix: str = "",
        explain: bool = False,
    ) -> Said:
        if self.hold is not None:
            self.hold.wait()
        if any(tag.isdecimal() for tag in tags):
            raise HashgenError("tags: '1' is no hashtag; use letters")
        self.calls.append({"picture": picture, "caption": caption, "tags": list(tags), "mix": mix, "prefix": prefix})
        found = [tag for word, its in WORDS.items() if word in caption.lower() for tag in its]
        found += [] if picture is None else COLOURS[picture]
        found = list(dict.fromkeys([*found, *ANY]))
        if mix == "niche":
            found.reverse()
        out = {name.lower().lstrip("#") for name in [*tags, *ban]}
        kept = [tag for tag in found if tag not in out and tag.startswith(prefix.lower().lstrip("#"))]
        hashtags: list[dict[str, Any]] = []
        for place, tag in enumerate(kept[: 10 if max is None else max]):
            one = {"hashtag": tag, "confidence": round(0.86 * 0.8**place, 3), "posts": 412 - 37 * place}
            if explain:
                words = [word for word, its in WORDS.items() if tag in its]
                share = None if picture is None else 0.4
                copied = tag in caption
                why = {"words": words, "picture": share, "caption": 0.2, "copied": copied, "tags": []}
                one["why"] = {**why, "posts": ["p1", "p2"], "mine": False}
            hashtags.append(one)
        warnings = ([] if picture is not None else ["no picture: the caption alone decides"]) + (
            [] if caption else ["no caption: the picture alone decides"]
        )
        return Said(hashtags, warnings)


def load_double(folder: Path) -> SuggesterDouble:
    """A double named after what model.json says. Raises HashgenError if it says `broken`."""
    name = (folder / "model.json").read_text()
    if name == "broken":
        raise HashgenError(f"{folder}: damaged; train again")
    return SuggesterDouble(name)
