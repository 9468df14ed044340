import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

import pandas as pd
import pytest
from sacrebleu.metrics.bleu import BLEU

from hashgen.sources.sample.ceiling import KNOWS, Knows, best_predictions, corpus_bleu4, marginals
from hashgen.sources.sample.world import WORLD, Rule, World

TINY = World(
    scenes={"sea": ("s1",), "moor": ("s2",)},
    lights={"day": ("l1",), "dusk": ("l2",), "dawn": ("l3",)},
    moods={"glad": ("m1",), "sad": ("m2",)},
    pairs={("sea", "glad"): "p11", ("sea", "sad"): "p12", ("moor", "glad"): "p21", ("moor", "sad"): "p22"},
    noise=("n1", "n2"),
    rules=(
        Rule("noise", 0, 0.3),
        Rule("scene", 0, 0.7),
        Rule("mood", 0, 0.8),
        Rule("pair", 0, 1.0),
        Rule("light", 0, 0.9),
        Rule("noise", 1, 0.15),
    ),
)


def states(world: World) -> list[tuple[str, str, str]]:
    return list(itertools.product(world.scenes, world.lights, world.moods))


def outcomes(world: World, possible: list[tuple[str, str, str]]) -> list[tuple[float, frozenset[str]]]:
    """Every set of hashtags with its probability, given the states that are possible, each as likely."""
    found = []
    for state in possible:
        candidates = world.candidates(*state)
        for bits in itertools.product((True, False), repeat=len(candidates)):
            likely = 1 / len(possible)
            for (_, chance), bit in zip(candidates, bits, strict=True):
                likely *= chance if bit else 1 - chance
            if likely:
                found.append((likely, frozenset(tag for (tag, _), bit in zip(candidates, bits, strict=True) if bit)))
    return found


def agrees(state: tuple[str, str, str], other: tuple[str, str, str], knows: str) -> bool:
    picture, caption = state[:2] == other[:2], state[2] == other[2]
    return {"both": picture and caption, "image": picture, "caption": caption, "neither": True}[knows]


def frame(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["scene", "light", "mood"])


def draw(world: World, count: int, seed: int) -> tuple[pd.DataFrame, list[list[str]]]:
    chance = Random(seed)
    rows = [chance.choice(states(world)) for _ in range(count)]
    return frame(rows), [[tag for tag, likely in world.candidates(*row) if chance.random() < likely] for row in rows]


METRICS: dict[str, Callable[[frozenset[str], frozenset[str], int], float]] = {
    "p": lambda top, truth, k: len(top & truth) / k,
    "r": lambda top, truth, k: len(top & truth) / len(truth),
    "f1": lambda top, truth, k: 2 * len(top & truth) / (k + len(truth)),
    "hit": lambda top, truth, k: float(bool(top & truth)),
}


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("metric", "knows"), [("p", knows) for knows in KNOWS] + [("r", "both"), ("f1", "both"), ("hit", "both")]
)
def test_ranking_is_the_best_of_all(metric: str, knows: Knows, k: int) -> None:
    """Brute force over every set of hashtags that could stand on top, and every outcome."""
    for state in states(TINY)[:4]:
        known = outcomes(TINY, [other for other in states(TINY) if agrees(state, other, knows)])

        def expected(top: frozenset[str], known: list[tuple[float, frozenset[str]]] = known) -> float:
            return sum(likely * METRICS[metric](top, truth, k) for likely, truth in known)

        ranked = best_predictions(frame([state]), knows, 20, TINY).ranked[0]
        everything = {tag for _, truth in known for tag in truth}
        best = max(expected(frozenset(top)) for top in itertools.combinations(sorted(everything), k))
        assert expected(frozenset(ranked[:k])) == pytest.approx(best, abs=1e-12)


def test_marginals_agree_with_counting_and_with_simulation() -> None:
    counted: Counter[str] = Counter()
    for likely, truth in outcomes(TINY, states(TINY)):
        counted.update(dict.fromkeys(truth, likely))
    assert marginals(TINY, None, None, None) == pytest.approx(dict(counted))
    _, drawn = draw(WORLD, 4000, 8)
    counts = Counter(tag for tags in drawn for tag in tags)
    for tag, chance in marginals(WORLD, None, None, None).items():
        assert counts[tag] / 4000 == pytest.approx(chance, abs=5 * (chance * (1 - chance) / 4000) ** 0.5)


def test_written_sequence_is_the_best_of_all_subsets_in_order() -> None:
    state = states(TINY)[0]
    posts = frame([state] * 4000)
    written = best_predictions(posts, "both", 20, TINY).sequences[0]
    chance = Random(77)
    truths = [[tag for tag, likely in TINY.candidates(*state) if chance.random() < likely] for _ in range(4000)]
    order = [tag for tag, _ in TINY.candidates(*state)]
    subsets = [subset for size in range(4, 7) for subset in itertools.combinations(order, size)]
    best = max(corpus_bleu4([subset] * 4000, truths) for subset in subsets)
    assert corpus_bleu4([written] * 4000, truths) >= best - 0.005


def test_bleu_agrees_with_sacrebleu() -> None:
    posts, truths = draw(WORLD, 200, 3)
    metric = BLEU(tokenize="none", force=True)
    for knows in KNOWS:
        written = best_predictions(posts, knows, 20).sequences
        reference = metric.corpus_score([" ".join(tags) for tags in written], [[" ".join(tags) for tags in truths]])
        assert corpus_bleu4(written, truths) == pytest.approx(reference.score / 100, abs=1e-9)
    assert corpus_bleu4([["a", "b"]], [["a", "b"]]) == 0.0


def test_both_inputs_are_needed_and_the_ceiling_is_honest() -> None:
    posts, truths = draw(WORLD, 3000, 4)
    score = {knows: corpus_bleu4(best_predictions(posts, knows, 20).sequences, truths) for knows in KNOWS}
    assert 0.40 < score["both"] < 0.55
    assert score["neither"] < score["caption"] < 0.4 * score["both"]
    assert score["neither"] < score["image"] < 0.4 * score["both"]


def test_with_both_known_what_is_likelier_than_not_is_written_in_order() -> None:
    state = states(WORLD)[17]
    best = best_predictions(frame([state]), "both", 20)
    assert best.sequences[0] == [tag for tag, chance in WORLD.candidates(*state) if chance > 0.5]
    chances = dict(WORLD.candidates(*state))
    assert set(best.ranked[0]) == set(chances)
    assert [chances[tag] for tag in best.ranked[0]] == sorted(chances.values(), reverse=True)


@pytest.mark.parametrize("knows", KNOWS)
def test_predictions_are_long_enough_cut_and_without_repeats(knows: Knows) -> None:
    posts, _ = draw(WORLD, 30, 1)
    best = best_predictions(posts, knows, 3)
    assert len(best.ranked) == len(best.sequences) == 30
    assert all(10 == len(set(tags)) == len(tags) for tags in best.ranked)
    assert all(1 <= len(set(tags)) == len(tags) <= 3 for tags in best.sequences)


def test_what_is_hidden_changes_nothing() -> None:
    first, second = ("beach", "noon", "calm"), ("cat", "night", "work")
    mixtures: dict[Knows, tuple[str, str, str]] = {
        "caption": ("cat", "night", "calm"),
        "image": ("beach", "noon", "work"),
    }
    for knows, mixed in mixtures.items():
        assert best_predictions(frame([first]), knows, 20) == best_predictions(frame([mixed]), knows, 20)
    assert best_predictions(frame([first]), "neither", 20) == best_predictions(frame([second]), "neither", 20)


def test_no_hashtag_stands_in_two_places_of_the_world() -> None:
    parts = [*WORLD.scenes.values(), *WORLD.lights.values(), *WORLD.moods.values(), WORLD.noise]
    everything = [tag for tags in parts for tag in tags] + list(WORLD.pairs.values())
    assert len(everything) == len(set(everything))
    assert set(WORLD.pairs) == set(itertools.product(WORLD.scenes, WORLD.moods))
    assert all(tag.isascii() and tag.islower() and tag.isalnum() for tag in everything)
