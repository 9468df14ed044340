"""Where posts and weights come from, for the heads and texts of the cards."""

import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

# Hugging Face's identifiers for licences that posts may have.
_VERSIONS = {
    "by": "2.0 2.5 3.0 4.0",
    "by-sa": "3.0 4.0",
    "by-nc": "2.0 3.0 4.0",
    "by-nd": "4.0",
    "by-nc-nd": "3.0 4.0",
    "by-nc-sa": "2.0 3.0 4.0",
}
_KNOWN = {f"cc-{kind}-{version}" for kind, versions in _VERSIONS.items() for version in versions.split()}
_KNOWN |= {"cc0-1.0", "pddl", "odbl", "odc-by", "mit", "apache-2.0"}
_SPDX = {"pddl-1.0": "pddl", "odbl-1.0": "odbl", "odc-by-1.0": "odc-by"}
_DEED = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/([\d.]+)/?(?:deed\S*|legalcode\S*)?"
)
# Read as booleans in YAML 1.1, which Hugging Face uses: "no" is Norwegian.
_TRUTHS = {"y", "n", "yes", "no", "true", "false", "on", "off"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def licences(posts: pd.DataFrame) -> dict[str, int]:
    """Posts by licence as their source states it, most frequent first; `not stated` for none."""
    column = posts["licence"] if "licence" in posts else pd.Series([None] * len(posts), dtype=object)
    counts = Counter("" if pd.isna(value) else str(value).strip() for value in column)
    counts["not stated"] += counts.pop("", 0)
    return dict(sorted((+counts).items(), key=lambda item: (-item[1], item[0])))


def licence_head(found: Mapping[str, int]) -> dict[str, str]:
    """The entries of a card's head: one known licence, or `other` with a name."""
    (name, *others) = {_identifier(licence) for licence in found}
    if not others and name in _KNOWN:
        return {"license": name}
    return {"license": "other", "license_name": "mixed-see-below" if others else name}


def _identifier(licence: str) -> str:
    """A licence as Hugging Face names those it knows: lower case, hyphens; also from a Creative Commons URL."""
    licence = licence.lower()
    if found := _DEED.fullmatch(licence):
        kind, zero, version = found.groups()
        licence = f"cc0-{version}" if zero else f"cc-{kind}-{version}"
    name = "-".join(re.findall(r"[a-z0-9.]+", licence))[:60]
    return _SPDX.get(name, name) or "see-below"


def size_category(posts: int) -> str:
    """Hugging Face's name for a number of posts."""
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
    yaml.dump(_quoted(document), stream)
    return stream.getvalue()


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and value.lower() in _TRUTHS else value
