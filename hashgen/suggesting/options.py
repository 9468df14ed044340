"""What a user may ask of an answer: the same words in Python, in a terminal, over HTTP and on the page."""

import dataclasses
import functools
import numbers
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from hashgen.base.errors import HashgenError
from hashgen.suggesting.platforms import DEFAULT, platform_of
from hashgen.text.captions import hashtags_of, normalise

Mix = Literal["balanced", "broad", "niche"]
# No platform takes more, and no screen shows more.
MOST = 100


@dataclasses.dataclass(frozen=True)
class Options:
    """A user's wishes.

    tags: hashtags already typed; they steer the rest, are not repeated, and count against a platform's limit. add:
    hashtags that come first, whatever the model says. max: how many hashtags at most, 1..100; None for what `platform`
    still takes (Instagram if none is named). min_confidence: 0..1. mix: broad prefers hashtags of many training posts,
    niche those of few. ban: hashtags to keep off. allow: hashtags to suggest though they are on the list of hidden
    ones. prefix: how the hashtags begin. explain: say what speaks for each.

    Hashtags with or without `#`, in any case. Raises HashgenError for what is out of range, of another type (options
    come from JSON too) or no hashtag.
    """

    tags: Sequence[str] = ()
    add: Sequence[str] = ()
    max: int | None = None
    platform: str | None = None
    min_confidence: float = 0.0
    mix: Mix = "balanced"
    ban: Sequence[str] = ()
    allow: Sequence[str] = ()
    prefix: str = ""
    explain: bool = False

    def __post_init__(self) -> None:
        for name in ("tags", "add", "ban", "allow"):
            object.__setattr__(self, name, tuple(hashtags(getattr(self, name), name)))
        if not isinstance(self.prefix, str):
            raise HashgenError(f"prefix: {_shown(self.prefix)} is no text; give how the hashtags begin")
        object.__setattr__(self, "prefix", _plain(self.prefix))
        if self.max is not None and not (_is_a(numbers.Integral, self.max) and 1 <= self.max <= MOST):
            raise HashgenError(f"max: {_shown(self.max)} is not a number of hashtags; give 1 to {MOST}")
        if not (_is_a(numbers.Real, self.min_confidence) and 0 <= self.min_confidence <= 1):
            raise HashgenError(f"min_confidence: {_shown(self.min_confidence)} is no probability; give 0 to 1")
        if self.mix not in get_args(Mix):
            raise HashgenError(f"mix: no {_shown(self.mix)}; use one of {', '.join(get_args(Mix))}")
        if self.platform is not None:
            platform_of(self.platform)
        if not isinstance(self.explain, bool):
            raise HashgenError(f"explain: {_shown(self.explain)} is neither true nor false; give one of them")

    def number(self) -> int:
        """How many hashtags the answer may have: the smaller of `max` and of what the platform still takes."""
        name = self.platform or (None if self.max is not None else DEFAULT)
        limit = None if name is None else platform_of(name).limit
        left = MOST if limit is None else max(0, limit - len(self.tags))
        return left if self.max is None else min(self.max, left)

    def full(self) -> str | None:
        """The warning that the platform takes no more; None if it does."""
        if self.number():
            return None
        platform = platform_of(self.platform or DEFAULT)
        return (
            f"{platform.label} takes no more hashtags: its limit is {platform.limit}, and the post has {len(self.tags)}"
        )


def hashtags(values: Iterable[str], name: str) -> list[str]:
    """Hashtags as models have them: lower case, without `#`, each once. Raises HashgenError that names what is none."""
    if isinstance(values, str):
        raise HashgenError(f"{name}: give a list of hashtags, not one text")
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        raise HashgenError(f"{name}: {_shown(values)} is no list; give a list of hashtags")
    found: dict[str, None] = {}
    for value in values:
        plain = _plain(value) if isinstance(value, str) else ""
        if not plain or hashtags_of(f"#{plain}") != [plain]:
            raise HashgenError(
                f"{name}: {_shown(value)} is no hashtag; use letters, digits and _, with at least one letter"
            )
        found[plain] = None
    return list(found)


def _plain(text: str) -> str:
    """A hashtag, or how one begins, as models have it: one form for what looks alike, lower case, no `#`."""
    return normalise(text).strip().lstrip("#").lower()


def _is_a(kind: type, value: Any) -> bool:
    # True is an Integral of 1 to Python, but not to who writes it.
    return isinstance(value, kind) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


@functools.cache
def hidden_hashtags(path: Path | None = None) -> frozenset[str]:
    """The hashtags of a list of hidden ones, one a line; `#` and a blank begin a comment. None: the built-in list.

    Raises HashgenError when the file cannot be read or a line is no hashtag.
    """
    file = path or Path(__file__).with_name("hidden.txt")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise HashgenError(f"{file}: cannot be read ({reason}); give a text file with one hashtag a line") from error
    return frozenset(
        hashtags((line for line in map(str.strip, lines) if line and not line.startswith("# ")), str(file))
    )
