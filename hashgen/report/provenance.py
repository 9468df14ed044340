"""Where posts and weights come from, as the heads and texts of the cards tell it."""

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

# Identifiers of Hugging Face that are the SPDX ones in lower case.
_KNOWN = {
    f"cc-{kind}-{version}"
    for kind in ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa")
    for version in ("2.0", "3.0", "4.0")
}
_KNOWN |= {"cc0-1.0", "mit", "apache-2.0"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def licences(posts: pd.DataFrame) -> dict[str, int]:
    """Posts by licence as their source states it, most frequent first; `not stated` for none."""
    column = posts["licence"] if "licence" in posts else pd.Series([None] * len(posts), dtype=object)
    counts = Counter("not stated" if pd.isna(value) else str(value) for value in column)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def licence_head(found: Mapping[str, int]) -> dict[str, str]:
    """The entries of a card's head: one known licence, or `other` with a name."""
    (first, *others) = found
    identifier = "-".join(first.lower().split())
    if not others and identifier in _KNOWN:
        return {"license": identifier}
    return {"license": "other", "license_name": "mixed-see-below" if others else "-".join(first.lower().split())}


def size_category(posts: int) -> str:
    """The name that Hugging Face gives to a number of posts."""
    return next((name for bound, name in _SIZES if posts < bound), "n>1M")


def period(posts: pd.DataFrame) -> tuple[str, str] | None:
    """The days (ISO 8601) of the oldest and newest post; None where no post has a date."""
    dates = posts["date"].dropna() if "date" in posts else pd.Series(dtype=object)
    return None if dates.empty else (dates.min().date().isoformat(), dates.max().date().isoformat())


def yaml_head(document: Mapping[str, Any]) -> str:
    """A mapping as the YAML between the two lines of dashes."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1000
    stream = io.StringIO()
    yaml.dump(dict(document), stream)
    return stream.getvalue()
