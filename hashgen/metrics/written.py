"""Figures of the hashtags that are written for a post, in order: BLEU, precision, recall and F1.

Training needs these, `ranked` and `calibration`: a new figure of a report belongs in another file, since a change here
trains all models anew.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.bleu import BLEU

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashtags = Sequence[str]
ORDERS = (1, 2, 3, 4)


def written_scores(predictions: Sequence[Hashtags], targets: Sequence[Hashtags]) -> dict[str, float]:
    """Means over posts and corpus BLEU: `posts`, `bleu1` … `bleu4`, `length`, `precision`, `recall`, `f1`.

    For what each is, see `hashgen.metrics.scores.scores`. Raises ValueError without posts or when lengths differ.
    """
    check_lengths(predictions, targets)
    counts = bleu_counts(predictions, targets)
    result: dict[str, float] = {"posts": len(targets)}
    result |= {f"bleu{order}": corpus_bleu(counts.sum(axis=0), order) for order in ORDERS}
    return result | {name: float(values.mean()) for name, values in written_figures(predictions, targets).items()}


def bleu_signature() -> str:
    """sacrebleu's signature of the BLEU scores here; the n-gram order, which it leaves out, is in their names."""
    return str(_bleu(references=[["hashtag"]]).get_signature())


def _bleu(**options: Any) -> BLEU:
    return BLEU(tokenize="none", smooth_method="none", **options)


def check_lengths(*lists: Sequence[Any]) -> None:
    """Raise ValueError unless all have the same number of posts, and at least one."""
    lengths = [len(one) for one in lists]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"one entry a post is needed, found lengths {lengths}")


def written_figures(predictions: Sequence[Hashtags], targets: Sequence[Hashtags]) -> dict[str, Floats]:
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


def bleu_counts(predictions: Sequence[Hashtags], targets: Sequence[Hashtags]) -> Ints:
    """What BLEU is a function of the sums of: (posts, 10) written and true length, 4 matches, 4 totals of n-grams."""
    bleu = _bleu(effective_order=True)  # else it warns about sentences; their counts are the same
    counts = np.empty((len(targets), 2 + 2 * len(ORDERS)), np.int64)
    for row, (written, target) in enumerate(zip(predictions, targets, strict=True)):
        sentence = bleu.sentence_score(" ".join(written), [" ".join(target)])
        counts[row] = [sentence.sys_len, sentence.ref_len, *sentence.counts, *sentence.totals]
    return counts


def corpus_bleu(counts: Ints, order: int) -> float:
    """BLEU up to n-grams of `order` of summed counts (10,), by sacrebleu."""
    written, true, *grams = counts.tolist()
    matches, totals = grams[: len(ORDERS)], grams[len(ORDERS) :]
    score = BLEU.compute_bleu(matches[:order], totals[:order], written, true, max_ngram_order=order)
    return float(score.score) / 100
