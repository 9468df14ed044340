"""What a suggester answers."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Why:
    """What speaks for a hashtag.

    words: of the caption, those without which its confidence falls, most first. picture: by how much its confidence
    falls without the picture, -1..1; None where there is only one of the two. caption: the same for the caption.
    copied: whether all its words stand in the caption. tags: hashtags already typed that often stand beside it. posts:
    ids of the training posts with it that are most like this one. mine: whether own posts speak for it.
    """

    words: tuple[str, ...]
    picture: float | None
    caption: float | None
    copied: bool
    tags: tuple[str, ...]
    posts: tuple[str, ...]
    mine: bool


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A hashtag, without `#`.

    confidence: probability that a person would have written it under this post, 0..1, calibrated on validation posts.
    posts: how many training posts have it. why: only if asked for.
    """

    hashtag: str
    confidence: float
    posts: int
    why: Why | None = None

    def __str__(self) -> str:
        return f"#{self.hashtag}"


@dataclasses.dataclass(frozen=True)
class Answer(Sequence[Suggestion]):
    """Suggestions, best first, and what a user should know of them. A sequence of its suggestions."""

    hashtags: tuple[Suggestion, ...]
    warnings: tuple[str, ...]

    def __getitem__(self, place: Any) -> Any:
        return self.hashtags[place]

    def __len__(self) -> int:
        return len(self.hashtags)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.hashtags)

    def __str__(self) -> str:
        return " ".join(map(str, self.hashtags))

    def to_json(self) -> dict[str, Any]:
        """As the command and the server print it. Numbers are rounded to 4 decimals; `why` is left out if not asked."""
        return {"hashtags": [_entry(one) for one in self.hashtags], "warnings": list(self.warnings)}


def _entry(one: Suggestion) -> dict[str, Any]:
    entry = dataclasses.asdict(one) | {"confidence": round(one.confidence, 4)}
    if one.why is None:
        del entry["why"]
        return entry
    for name in ("picture", "caption"):
        if entry["why"][name] is not None:
            entry["why"][name] = round(entry["why"][name], 4)
    return entry
