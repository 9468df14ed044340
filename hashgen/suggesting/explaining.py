"""Why a hashtag is suggested: what its confidence loses when a word, the caption or the picture is hidden."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hashgen.features.posts import Blind
from hashgen.suggesting.answer import Why
from hashgen.text.words import tokenise

if TYPE_CHECKING:
    from hashgen.suggesting.options import Options
    from hashgen.suggesting.suggester import EncodedPicture, Suggester

# Words that are tried one by one, the first of a caption; words, tags and posts that are named.
_TRIED, _NAMED = 40, 3
# A word speaks for a hashtag if its confidence falls by this much without it, in log-odds and in itself; a tag if it
# makes the hashtag this much more likely (logarithm of the ratio).
_LEAST_WORD, _LEAST_FALL, _LEAST_TAG = 0.2, 0.02, 0.3
_EDGE = 1e-6


def explain(
    suggester: "Suggester", picture: "EncodedPicture | None", caption: str, hashtags: Sequence[str], options: "Options"
) -> dict[str, Why]:
    """What speaks for each of the hashtags. caption: cleaned; "" for none."""
    words = [word for word in dict.fromkeys(tokenise(caption)) if any(map(str.isalnum, word))][:_TRIED]
    tokens = tokenise(caption)
    without = [" ".join(token for token in tokens if token != word) for word in words]
    blind: Blind | None = "image" if picture is None else None if caption else "caption"

    def say(captions: Sequence[str], blind: Blind | None) -> list[dict[str, float]]:
        found = suggester.rank(suggester.posts(picture, captions), blind)
        return [suggester.beside(one, options.tags, blind) for one in found]

    # Tokens joined by blanks are not the caption letter by letter: what a word changes is held against this.
    whole, *partly = say([" ".join(tokens), *without], blind)
    hidden: dict[Blind, dict[str, float]] = {}
    if picture is not None and caption:
        for one in ("image", "caption"):
            (hidden[one],) = say([caption], one)
    index, post = suggester.index, suggester.posts(picture, [caption])
    nearest = np.empty(0, np.int64) if index is None else index.nearest(post, blind)
    copied = (
        {}
        if index is None or not caption
        else dict(zip(index.hashtags, index.words.shares([caption])[0] == 1, strict=True))
    )
    lifts = (
        {} if index is None else {tag: dict(zip(index.hashtags, index.lift(tag), strict=True)) for tag in options.tags}
    )
    votes = {} if suggester.mine is None else suggester.mine.votes(post, blind)

    def why(hashtag: str) -> Why:
        falls = [
            _odds(whole, hashtag) - _odds(part, hashtag)
            if whole.get(hashtag, 0.0) - part.get(hashtag, 0.0) >= _LEAST_FALL
            else 0.0
            for part in partly
        ]
        order = [place for place in np.argsort(-np.array(falls), kind="stable") if falls[place] >= _LEAST_WORD]
        beside = sorted(options.tags, key=lambda tag: -lifts.get(tag, {}).get(hashtag, 0.0))
        return Why(
            words=tuple(words[place] for place in order[:_NAMED]),
            picture=None if not hidden else whole.get(hashtag, 0.0) - hidden["image"].get(hashtag, 0.0),
            caption=None if not hidden else whole.get(hashtag, 0.0) - hidden["caption"].get(hashtag, 0.0),
            copied=bool(copied.get(hashtag, False)),
            tags=tuple(tag for tag in beside if lifts.get(tag, {}).get(hashtag, 0.0) >= _LEAST_TAG)[:_NAMED],
            posts=() if index is None else tuple(index.having(hashtag, nearest, _NAMED)),
            mine=votes.get(hashtag, 0.0) > 0,
        )

    return {hashtag: why(hashtag) for hashtag in hashtags}


def _odds(chances: dict[str, float], hashtag: str) -> float:
    chance = min(max(chances.get(hashtag, 0.0), _EDGE), 1 - _EDGE)
    return float(np.log(chance) - np.log1p(-chance))
