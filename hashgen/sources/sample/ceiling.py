"""The best possible predictions in postcard world, computed from its known probabilities, never from its posts.

Inclusion of hashtags is independent once scene, light and mood are known, and hidden ones are uniform. From that:

- P@k: ranking by the probability of being in the post is exact: no ranking has a higher expectation, whatever is known.
- R@k and F1@k (mean per post): exact with both inputs, where the more likely of two independent hashtags also has the
  higher expected share; with less known the same ranking is a best known policy (the size of the post also counts).
- hit@k: exact with both inputs in postcard world, where one hashtag is certain (1.0); else a best known policy.
- MAP@k: a best known policy.
- F1, precision and recall at own length: a best known policy, the head of that ranking with the highest F1 on
  simulated posts.
- BLEU: a best known policy, of a family the one with the highest corpus BLEU-4 on
  simulated posts: hidden values are guessed or left open, then what is likely enough is written in canonical order.
  A better policy may exist.

These are expectations: on a finite set of posts scores vary around them, and a model may exceed them by luck.
"""

import dataclasses
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

import pandas as pd

from hashgen.sources.sample.world import WORLD, World

Knows = Literal["both", "image", "caption", "neither"]
KNOWS: tuple[Knows, ...] = ("both", "image", "caption", "neither")

_SIMULATED_POSTS = 2000
_SEED = 20191202
_ORDER = 4

# The scene, light and mood of a post; None where hidden.
_State = tuple[str | None, str | None, str | None]
# Which hidden values (scene, light, mood) are guessed, the first by name since all are alike; then all hashtags whose
# probability reaches the threshold are written in canonical order.
_Policy = tuple[tuple[bool, bool, bool], float]


@dataclasses.dataclass(frozen=True)
class BestPredictions:
    """One entry a post in each. ranked: hashtags, likeliest first. heads: the part of it that is best for F1.

    sequences: hashtags in canonical order, as many as are best for BLEU.
    """

    ranked: list[list[str]]
    heads: list[list[str]]
    sequences: list[list[str]]


def best_predictions(posts: pd.DataFrame, knows: Knows, length: int, world: World = WORLD) -> BestPredictions:
    """The best predictions for clean posts of whose truth only a part is known.

    posts: columns scene, light, mood, none of them null. knows: "image" sees scene and light, "caption" the mood,
    "both" all, "neither" nothing. length: the most hashtags of a sequence; rankings have at least 10 where the world
    has as many. For which metrics they are exact, see the top of this module.
    """
    ranked, heads, sequences = [], [], []
    for scene, light, mood in zip(posts["scene"], posts["light"], posts["mood"], strict=True):
        state = _seen(scene, light, mood, knows)
        ranked.append(list(_ranking(world, state)[: max(10, length)]))
        heads.append(list(_ranking(world, state)[: _best_head(world, _hidden(state), length)]))
        sequences.append(list(_best_sequence(world, state, length)))
    return BestPredictions(ranked, heads, sequences)


def marginals(world: World, scene: str | None, light: str | None, mood: str | None) -> dict[str, float]:
    """Probability of every possible hashtag given what is known (None is hidden), in canonical order."""
    states = _possible(world, (scene, light, mood))
    placed: list[dict[str, float]] = [defaultdict(float) for _ in world.rules]
    for state in states:
        for place, (hashtag, chance) in zip(placed, world.candidates(*state), strict=True):
            place[hashtag] += chance / len(states)
    # Rounded, so that what is equal by the rules compares equal.
    return {hashtag: round(chance, 12) for place in placed for hashtag, chance in place.items()}


def _seen(scene: str, light: str, mood: str, knows: Knows) -> _State:
    has_picture, has_caption = knows in ("both", "image"), knows in ("both", "caption")
    return (scene if has_picture else None, light if has_picture else None, mood if has_caption else None)


def _possible(world: World, state: _State) -> list[tuple[str, str, str]]:
    """Every full state that agrees with what is known."""
    parts = (world.scenes, world.lights, world.moods)
    scenes, lights, moods = (list(part) if value is None else [value] for value, part in zip(state, parts, strict=True))
    return list(itertools.product(scenes, lights, moods))


@functools.lru_cache(maxsize=1024)
def _ranking(world: World, state: _State) -> tuple[str, ...]:
    chances = marginals(world, *state)
    return tuple(sorted(chances, key=lambda hashtag: -chances[hashtag]))


@functools.lru_cache(maxsize=1024)
def _best_sequence(world: World, state: _State, length: int) -> tuple[str, ...]:
    return _written(world, state, _best_policy(world, _hidden(state), length), length)


@functools.lru_cache(maxsize=64)
def _best_policy(world: World, hidden: tuple[bool, bool, bool], length: int) -> _Policy:
    """The policy with the highest corpus BLEU-4 over simulated posts.

    One state stands for all that hide the same: the rules name no scene, light or mood, so these differ in names alone.
    """
    state = _stand_in(world, hidden)
    posts = _simulated(world, state)

    def score(policy: _Policy) -> float:
        return corpus_bleu4([_written(world, state, policy, length)] * len(posts), posts)

    return max(_family(world, state), key=score)


@functools.lru_cache(maxsize=64)
def _best_head(world: World, hidden: tuple[bool, bool, bool], length: int) -> int:
    """How many of the likeliest hashtags have the highest mean F1 over simulated posts."""
    state = _stand_in(world, hidden)
    ranking, posts = _ranking(world, state)[:length], [set(post) for post in _simulated(world, state)]

    def mean_f1(size: int) -> float:
        head = set(ranking[:size])
        return sum(2 * len(head & post) / (size + len(post)) for post in posts) / len(posts)

    return max(range(1, len(ranking) + 1), key=mean_f1)


def _stand_in(world: World, hidden: tuple[bool, bool, bool]) -> _State:
    parts = (world.scenes, world.lights, world.moods)
    values = [None if hides else next(iter(part)) for hides, part in zip(hidden, parts, strict=True)]
    return values[0], values[1], values[2]


def _family(world: World, state: _State) -> Iterator[_Policy]:
    for guesses in itertools.product(*([False, True] if hides else [False] for hides in _hidden(state))):
        guessed = (guesses[0], guesses[1], guesses[2])
        for threshold in sorted(set(marginals(world, *_guess(world, state, guessed)).values())):
            yield guessed, threshold


def _written(world: World, state: _State, policy: _Policy, length: int) -> tuple[str, ...]:
    guessed, threshold = policy
    chances = marginals(world, *_guess(world, state, guessed))
    return tuple(hashtag for hashtag, chance in chances.items() if chance >= threshold)[:length]


def _guess(world: World, state: _State, guessed: tuple[bool, bool, bool]) -> _State:
    parts = (world.scenes, world.lights, world.moods)
    values = [next(iter(part)) if guess else value for value, part, guess in zip(state, parts, guessed, strict=True)]
    return values[0], values[1], values[2]


def _hidden(state: _State) -> tuple[bool, bool, bool]:
    return state[0] is None, state[1] is None, state[2] is None


def _simulated(world: World, state: _State) -> list[tuple[str, ...]]:
    chance = Random(_SEED)
    states = _possible(world, state)
    return [
        tuple(hashtag for hashtag, likely in world.candidates(*chance.choice(states)) if chance.random() < likely)
        for _ in range(_SIMULATED_POSTS)
    ]


def corpus_bleu4(written: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of a corpus with one reference a post, one hashtag = one token, unsmoothed; 0..1.

    Papineni et al. 2002; equals sacrebleu with `tokenize="none"` wherever an n-gram of every order matches, and is 0
    elsewhere. Written here because a sequence has no hashtag twice, so that sets of n-grams are enough, and fast.
    """
    matches, totals = [0] * _ORDER, [0] * _ORDER
    for sequence, truth in zip(written, truths, strict=True):
        for n in range(_ORDER):
            found = _ngrams(tuple(sequence), n + 1)
            matches[n] += len(found & _ngrams(tuple(truth), n + 1))
            totals[n] += len(found)
    if 0 in matches:
        return 0.0
    ours, theirs = sum(map(len, written)), sum(map(len, truths))
    brevity = min(0.0, 1 - theirs / ours)
    return math.exp(
        brevity + sum(math.log(match / total) for match, total in zip(matches, totals, strict=True)) / _ORDER
    )


@functools.lru_cache(maxsize=65536)
def _ngrams(sequence: tuple[str, ...], n: int) -> frozenset[tuple[str, ...]]:
    return frozenset(sequence[start : start + n] for start in range(len(sequence) - n + 1))
