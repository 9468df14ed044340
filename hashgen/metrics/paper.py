"""The paper's kind of BLEU, kept to show how it misleads."""

import math
from collections import Counter
from collections.abc import Sequence

from hashgen.metrics.written import Hashtags, check_lengths


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
    check_lengths(predictions, targets)
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
