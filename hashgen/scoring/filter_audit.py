"""The audit of the filter: what it did, compared with the true labels of the sample."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd


def audit_filter(truth: pd.DataFrame, kept: Sequence[str], rejects: pd.DataFrame) -> dict[str, Any] | None:
    """What the filter did, held against the sample's hidden truth; None where the truth is unknown.

    dirty_kept: planted dirt that got through. clean_lost: clean posts that were dropped. wrong_reason: dirt that was
    dropped for another reason than the planted one; by_reason: how many of each planted kind were dropped.
    """
    if truth.empty:
        return None
    ids = set(kept)
    dirty = truth[truth["dirt"].notna()]
    clean = truth[truth["dirt"].isna()]
    reasons = dict(zip(rejects["id"], rejects["reason"], strict=True))
    dropped = dirty[~dirty["id"].isin(ids)]
    wrong = sum(reasons.get(post) != dirt for post, dirt in zip(dropped["id"], dropped["dirt"], strict=True))
    return {
        "posts": len(truth),
        "dirty": len(dirty),
        "dirty_kept": len(dirty) - len(dropped),
        "clean_lost": int((~clean["id"].isin(ids)).sum()),
        "wrong_reason": int(wrong),
        "by_reason": {str(reason): int(count) for reason, count in sorted(Counter(dropped["dirt"]).items())},
    }
