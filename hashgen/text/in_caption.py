"""Which hashtags are in a caption: the one definition that scores and the split's figures share."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+")
# Letters of a hashtag that is looked for; all runs of words up to more would take the square of a long caption.
_LONGEST = 150


def in_caption(hashtags: Sequence[str], caption: str) -> list[bool]:
    """For each hashtag whether it is a word of the caption, or a run of consecutive words written together.

    Case, `_` and punctuation do not count: #golden_hour is in "Golden hour!". None of over 150 letters is found.
    """
    spelled = spelled_in(caption, max(map(len, hashtags), default=0))
    return [plain(hashtag) in spelled for hashtag in hashtags]


def plain(hashtag: str) -> str:
    """A hashtag as `spelled_in` spells it: lower case, without `_`."""
    return hashtag.lower().replace("_", "")


def spelled_in(caption: str, longest: int) -> set[str]:
    """The words of a caption and all runs of consecutive ones written together, up to `longest` letters or 150."""
    longest = min(longest, _LONGEST)
    words = _WORD.findall(caption.lower())
    spelled: set[str] = set()
    for first in range(len(words)):
        run = ""
        for last in range(first, len(words)):
            run += words[last]
            if len(run) > longest:
                break
            spelled.add(run)
    return spelled
