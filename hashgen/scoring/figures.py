"""Scores of predicted hashtags against true ones, with bootstrap intervals over posts.

Unless a docstring says otherwise a figure is the mean over posts of each post's own value, in 0..1. Other averages
(micro, macro over hashtags) give other numbers on the same predictions. Corpus BLEU is the exception: one figure
for all posts together.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.bleu import BLEU

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashtags = Sequence[str]

# A hashtag in fewer training posts than this is rare.
RARE_BELOW = 10

_KS = (1, 5, 10)
_ORDERS = (1, 2, 3, 4)
_WITH_INTERVAL = ("bleu4", "bleu1", "p_at_1", "p_at_5", "r_at_5", "f1_at_5", "f1", "hit_at_5", "map_at_10")
_WORD = re.compile(r"[^\W_]+")


def scores(
    predictions: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    *,
    rankings: Sequence[Hashtags] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores of written hashtags; one sequence a post in each argument, order as written.

    - `posts`; `length` (mean number of hashtags written); `precision` (0 for a post where none is written), `recall`
      and `f1` of the whole sequence.
    - `p_at_k`, `r_at_k`, `f1_at_k` for k = 1, 5, 10 of its first k. P@k divides by k even where fewer are written,
      R@k by all targets of the post, F1@k is 2 hits / (k + targets). `hit_at_5`: share of posts with a hit in 5.
    - `map_at_10`: mean over posts of the sum of precision at each hit's place in 10, over min(10, targets).
    - `bleu1` … `bleu4`: corpus BLEU of cumulated n-grams up to that order (Papineni et al. 2002) by sacrebleu, one
      hashtag = one token, no smoothing and no effective order (`bleu_signature`): 0 when no n-gram of some order
      matches.

    rankings: what the figures at k are taken from instead of `predictions`, for a method that can rank more than it
    writes. bootstrap: resamples of the posts for `NAME_ci95` beside the main figures, the 2.5 and 97.5 percentiles;
    0 for none. One seed draws the same posts for every method, so their intervals are paired.

    Raises ValueError without posts, when lengths differ, when a post has no target, and for a hashtag that is
    repeated in a post, empty, or holds white space.
    """
    rankings = predictions if rankings is None else rankings
    _check(predictions, rankings, targets)
    figures = _written_figures(predictions, targets) | _ranked_figures(rankings, targets)
    counts = _bleu_counts(predictions, targets)
    result: dict[str, Any] = {"posts": len(targets)}
    result |= {f"bleu{order}": _corpus_bleu(counts.sum(axis=0), order) for order in _ORDERS}
    result |= {name: float(values.mean()) for name, values in figures.items()}
    if not bootstrap:
        return result
    intervals = _intervals(figures, counts, bootstrap, seed)
    beside: dict[str, Any] = {}
    for name, value in result.items():
        beside[name] = value
        if name in intervals:
            beside[f"{name}_ci95"] = intervals[name]
    return beside


def bleu_signature() -> str:
    """sacrebleu's signature of the BLEU scores here; the n-gram order, which it leaves out, is in their names."""
    return str(_bleu(references=[["hashtag"]]).get_signature())


def _bleu(**options: Any) -> BLEU:
    return BLEU(tokenize="none", smooth_method="none", **options)


def _check(predictions: Sequence[Hashtags], rankings: Sequence[Hashtags], targets: Sequence[Hashtags]) -> None:
    _check_lengths(predictions, targets)
    _check_lengths(rankings, targets)
    for hashtags in itertools.chain(predictions, rankings, targets):
        if len(set(hashtags)) != len(hashtags):
            raise ValueError(f"a hashtag is repeated: {list(hashtags)}")
        if " ".join(hashtags).split() != list(hashtags):
            raise ValueError(f"a hashtag is empty or holds white space: {list(hashtags)}")
    if not all(targets):
        raise ValueError(f"post {[bool(hashtags) for hashtags in targets].index(False)} has no target")


def _check_lengths(*lists: Sequence[Any]) -> None:
    """Raise ValueError unless all have the same number of posts, and at least one."""
    lengths = [len(one) for one in lists]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"one entry a post is needed, found lengths {lengths}")


def _written_figures(predictions: Sequence[Hashtags], targets: Sequence[Hashtags]) -> dict[str, Floats]:
    """Each post's value (posts,) of the figures of the whole sequence."""
    length = np.array([len(written) for written in predictions], np.float64)
    true = np.array([len(target) for target in targets], np.float64)
    hits = np.array([len(set(w) & set(t)) for w, t in zip(predictions, targets, strict=True)], np.float64)
    return {
        "length": length,
        "precision": hits / np.maximum(length, 1),
        "recall": hits / true,
        "f1": 2 * hits / (length + true),
    }


def _ranked_figures(rankings: Sequence[Hashtags], targets: Sequence[Hashtags]) -> dict[str, Floats]:
    """Each post's value (posts,) of the figures at k."""
    deepest = max(_KS)
    true = np.array([len(target) for target in targets], np.float64)
    hits = np.zeros((len(targets), deepest))  # (posts, places)
    for row, (ranking, target) in enumerate(zip(rankings, targets, strict=True)):
        known = set(target)
        for place, hashtag in enumerate(ranking[:deepest]):
            hits[row, place] = hashtag in known
    found = hits.cumsum(axis=1)
    figures: dict[str, Floats] = {}
    for k in _KS:
        at_k = found[:, k - 1]
        figures |= {f"p_at_{k}": at_k / k, f"r_at_{k}": at_k / true, f"f1_at_{k}": 2 * at_k / (k + true)}
    figures["hit_at_5"] = (found[:, 4] > 0).astype(np.float64)
    precisions = found / np.arange(1, deepest + 1)
    figures["map_at_10"] = (precisions * hits).sum(axis=1) / np.minimum(true, deepest)
    return figures


def _bleu_counts(predictions: Sequence[Hashtags], targets: Sequence[Hashtags]) -> Ints:
    """What BLEU is a function of the sums of: (posts, 10) written and true length, 4 matches, 4 totals of n-grams."""
    bleu = _bleu(effective_order=True)  # else it warns about sentences; their counts are the same
    counts = np.empty((len(targets), 2 + 2 * len(_ORDERS)), np.int64)
    for row, (written, target) in enumerate(zip(predictions, targets, strict=True)):
        sentence = bleu.sentence_score(" ".join(written), [" ".join(target)])
        counts[row] = [sentence.sys_len, sentence.ref_len, *sentence.counts, *sentence.totals]
    return counts


def _corpus_bleu(counts: Ints, order: int) -> float:
    """BLEU up to n-grams of `order` of summed counts (10,), by sacrebleu."""
    written, true, *grams = counts.tolist()
    matches, totals = grams[: len(_ORDERS)], grams[len(_ORDERS) :]
    score = BLEU.compute_bleu(matches[:order], totals[:order], written, true, max_ngram_order=order)
    return float(score.score) / 100


def _corpus_bleus(counts: Floats, order: int) -> Floats:
    """`_corpus_bleu` of many resamples at once: counts (resamples, 10) to (resamples,)."""
    lengths, true = counts[:, 0], counts[:, 1]
    matches, totals = counts[:, 2 : 2 + order], counts[:, 6 : 6 + order]
    scored = matches.all(axis=1)  # an order without a match makes BLEU 0
    result = np.zeros(len(counts))
    brevity = np.minimum(0.0, 1 - true[scored] / lengths[scored])
    result[scored] = np.exp(brevity + np.log(matches[scored] / totals[scored]).mean(axis=1))
    return result


def _intervals(figures: Mapping[str, Floats], counts: Ints, resamples: int, seed: int) -> dict[str, list[float]]:
    names = [name for name in _WITH_INTERVAL if name in figures]
    values = np.column_stack([*(figures[name] for name in names), counts])  # (posts, names + 10)
    posts, rng = len(values), np.random.default_rng(seed)
    sums = np.empty((resamples, values.shape[1]))
    for row in range(resamples):
        drawn = np.bincount(rng.integers(posts, size=posts), minlength=posts)
        sums[row] = drawn @ values
    samples = {name: sums[:, column] / posts for column, name in enumerate(names)}
    samples |= {f"bleu{order}": _corpus_bleus(sums[:, len(names) :], order) for order in _ORDERS}
    return {name: np.percentile(samples[name], [2.5, 97.5]).tolist() for name in _WITH_INTERVAL}


def facets(
    predictions: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    seeds: Sequence[Hashtags],
    captions: Sequence[str],
    counts: Mapping[str, int],
    *,
    rankings: Sequence[Hashtags] | None = None,
    rare_below: int = RARE_BELOW,
) -> dict[str, dict[str, float]]:
    """Scores on the hashtags that are not given away: `not_seed`, `not_in_caption`, `rare`.

    A facet keeps some hashtags of a post: those that it was not found under (seeds); those that are no word of the
    caption and no run of consecutive words written together (case, `_` and punctuation aside); those in fewer than
    `rare_below` training posts, unseen ones too (counts: training posts by hashtag). All others are taken out of
    predictions, rankings (as in `scores`) and targets alike. Then, for each facet: `share` of all targets that are
    kept; `posts` that keep at least one target; and means over these posts alone: `p_at_1` (whether the first hashtag
    left in the ranking is right; 0 if none is left), `precision` (0 if none is left), `recall`, `f1`. Without such
    posts the means are absent. Raises ValueError when lengths differ.
    """
    rankings = predictions if rankings is None else rankings
    _check_lengths(predictions, rankings, targets, seeds, captions)
    longest = max((len(hashtag) for target in (*predictions, *targets) for hashtag in target), default=0)
    found_under = [set(seed) for seed in seeds]
    spelled = [_spelled(caption, longest) for caption in captions]
    kept: dict[str, Callable[[int, str], bool]] = {
        "not_seed": lambda post, hashtag: hashtag not in found_under[post],
        "not_in_caption": lambda post, hashtag: hashtag.lower().replace("_", "") not in spelled[post],
        "rare": lambda post, hashtag: counts.get(hashtag, 0) < rare_below,
    }
    return {name: _facet(predictions, rankings, targets, keeps) for name, keeps in kept.items()}


def _spelled(caption: str, longest: int) -> set[str]:
    """The words of a caption and all runs of consecutive ones written together, up to `longest` letters."""
    words = _WORD.findall(caption.lower())
    spelled: set[str] = set()
    for first in range(len(words)):
        run = ""
        for word in words[first:]:
            run += word
            if len(run) > longest:
                break
            spelled.add(run)
    return spelled


def _facet(
    predictions: Sequence[Hashtags],
    rankings: Sequence[Hashtags],
    targets: Sequence[Hashtags],
    keeps: Callable[[int, str], bool],
) -> dict[str, float]:
    written, ranked, true = (
        [[hashtag for hashtag in one if keeps(post, hashtag)] for post, one in enumerate(all_posts)]
        for all_posts in (predictions, rankings, targets)
    )
    total = sum(map(len, targets))
    posts = [post for post, target in enumerate(true) if target]
    result: dict[str, float] = {"share": sum(map(len, true)) / total if total else 0.0, "posts": len(posts)}
    if posts:
        wanted = [true[post] for post in posts]
        figures = _ranked_figures([ranked[post] for post in posts], wanted)
        figures |= _written_figures([written[post] for post in posts], wanted)
        result |= {name: float(figures[name].mean()) for name in ("p_at_1", "precision", "recall", "f1")}
    return result


def diversity(predictions: Sequence[Hashtags], counts: Mapping[str, int]) -> dict[str, float]:
    """How varied the predictions are; a collapsed model writes much the same for every post.

    `distinct` hashtags written; `vocabulary_share`: the share of the distinct training hashtags (keys of `counts`)
    that are ever written; `most_common_share`: the share of posts that get the hashtag that most posts get;
    `distinct_sequences`: distinct sequences over posts; `entropy`: bits of the distribution of all hashtags written,
    0 for a constant one. Raises ValueError without posts.
    """
    _check_lengths(predictions)
    posts = Counter(hashtag for written in predictions for hashtag in dict.fromkeys(written))
    chances = np.array(list(posts.values()), np.float64) / max(1, posts.total())
    return {
        "distinct": len(posts),
        "vocabulary_share": len(posts.keys() & counts.keys()) / len(counts) if counts else 0.0,
        "most_common_share": max(posts.values(), default=0) / len(predictions),
        "distinct_sequences": len({tuple(written) for written in predictions}) / len(predictions),
        # Adding 0.0 turns the -0.0 of a constant into 0.0.
        "entropy": float(-(chances * np.log2(chances)).sum() + 0.0),
    }


def paper_bleu(predictions: Sequence[Hashtags], targets: Sequence[Hashtags], batch_size: int, length: int) -> float:
    """A score of the kind that the paper reports, 0..1. Comparable to nothing; kept to show how it misleads.

    What is known of the paper's BLEU from its public code: it is unigram BLEU under teacher forcing, averaged over
    batches, on transposed arrays, so that a "sentence" is one time step across the batch, and empty against empty
    counts 1.0. This does the same: posts are batched in order; at each of `length` steps the hashtags that the
    batch's posts write there are scored against the true ones there (clipped unigram precision with brevity
    penalty); steps are averaged in a batch, then batches alike, whatever their size. How the paper's 0.67 arose
    exactly is not known.

    predictions: what the model writes under teacher forcing, repeats allowed; for a constant guess the same hashtag
    at every place, for no guess nothing. Longer sequences are cut to `length`. Raises ValueError without posts or
    when lengths differ.
    """
    _check_lengths(predictions, targets)
    batches = []
    for start in range(0, len(targets), batch_size):
        written, true = predictions[start : start + batch_size], targets[start : start + batch_size]
        steps = [_step_bleu(_at(step, written), _at(step, true)) for step in range(length)]
        batches.append(sum(steps) / length)
    return sum(batches) / len(batches)


def _at(step: int, sequences: Sequence[Hashtags]) -> Counter[str]:
    return Counter(sequence[step] for sequence in sequences if len(sequence) > step)


def _step_bleu(written: Counter[str], true: Counter[str]) -> float:
    """Unigram BLEU of one bag of hashtags against another; 1.0 if both are empty."""
    if not written:
        return 0.0 if true else 1.0
    precision = (written & true).total() / written.total()
    return precision * math.exp(min(0.0, 1 - true.total() / written.total()))
