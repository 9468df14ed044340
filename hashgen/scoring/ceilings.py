"""What the best predictions from the sample's own probabilities reach on these very posts."""

import pandas as pd

from hashgen.metrics.scores import scores
from hashgen.sources.sample.ceiling import KNOWS, Knows, best_predictions


def ceilings(truth: pd.DataFrame, manifest: pd.DataFrame, length: int) -> dict[Knows, dict[str, float]] | None:
    """Scores of the best known predictions from the sample's own probabilities, by what they know of a post.

    Set metrics at k take the ranking that is best in expectation, F1 and BLEU each its best known policy (see
    `hashgen.sources.sample.ceiling`). None where the truth is unknown (any source but the sample).
    """
    known = truth.set_index("id").reindex(manifest["id"])
    if truth.empty or known["mood"].isna().any():
        return None
    targets = list(manifest["hashtags"])
    result: dict[Knows, dict[str, float]] = {}
    for knows in KNOWS:
        best = best_predictions(known, knows, length)
        ranked, written = scores(best.heads, targets, rankings=best.ranked), scores(best.sequences, targets)
        result[knows] = {key: value for key, value in ranked.items() if "_at_" in key or key == "f1"}
        result[knows] |= {key: written[key] for key in ("bleu4", "bleu1")}
    return result
