"""A small invented run, as the report sees one: of the sample with all that is known, or of real posts with less."""

import dataclasses
from typing import Any

import pandas as pd

from hashgen.params.report import Report
from hashgen.report.findings import Findings
from hashgen.training.about import About
from tests.doubles.settings import small_recipe, train_section

SECTION = Report(cards=2, examples=3, pictures=True)
SCRIPT = '<script>alert("x")</script> & more'
TAGS = [f"t{number}" for number in range(6)]


def block(value: float) -> dict[str, Any]:
    """Scores of one method; every interval goes from half the value to the value."""
    names = ("precision", "recall", "p_at_1", "p_at_5", "r_at_5", "f1_at_5", "f1", "bleu4")
    return (
        {"posts": 12, "length": 5.9}
        | dict.fromkeys(names, value)
        | {f"{name}_ci95": [value / 2, value] for name in names}
    )


def metrics() -> dict[str, dict[str, Any]]:
    """Metrics of every stage for the sample."""
    half = {"both": block(0.5), "no_image": block(0.25), "no_caption": block(0.125)}
    half["both"]["facets"] = {"not_seed": block(0.4) | {"share": 0.8}, "rare": {"share": 0.0, "posts": 0}}
    half["both"]["diversity"] = {"distinct": 6, "vocabulary_share": 0.75, "most_common_share": 0.5}
    ceiling = {"both": block(0.875), "image": block(0.75), "caption": block(0.7), "neither": block(0.1)}
    scored = half | {"ceiling": ceiling, "paper_protocol": {"model": 0.7, "constant": 0.11, "nothing": 0.6}}
    return {
        "scrape": {"source": "sample", "posts": 1300, "shards": 2, "with_date": 1300, "broken_rows": 17},
        "filter": {
            "raw": 1300,
            "merged": 66,
            "kept": 1000,
            "dropped": {"emoji": 234},
            "sources": {"sample": {"raw": 1300, "merged": 66, "kept": 1000, "dropped": {"emoji": 234}}},
            "seeds": {"food": {"posts": 40, "kept": 30, "dropped": {"emoji": 10}}},
        },
        "split": {
            "by": "group",
            "sizes": {"train": 900, "val": 50, "test": 50},
            "shares": {"train": 0.9, "val": 0.05, "test": 0.05},
            "groups": 990,
            "largest_group": 3,
            "leaks": {"images": 0, "authors": 0, "captions": 21, "something_new": 2},
            "caption_words": 11,
            "short_captions": 4,
            "seen_captions": 0.375,
            "targets_in_caption": 0.25,
            "unseen_hashtags": {"distinct": 0.5, "occurrences": 0.125},
            "seeds": {"posts": 50, "precision": 1.0, "recall": 0.2},
            "left_out": 0,
        },
        "vocab": {
            "words": {"size": 50, "coverage": 0.99, "glove_own": 0.0},
            "hashtags": {"size": 6, "coverage": 1.0},
            "glove": None,
        },
        "baselines": {"test": {"popularity": block(0.0625), "knn_both": block(0.3), "seeds": block(0.95)}},
        "evaluate": {
            "val": scored,
            "test": scored,
            "best_epoch": 3,
            "decoding": "greedy",
            "bleu_signature": "tok:none|smooth:none",
            "audit": {"posts": 1234, "dirty": 7, "dirty_kept": 1, "clean_lost": 2, "wrong_reason": 0},
        },
    }


def real_metrics() -> dict[str, dict[str, Any]]:
    """Metrics of every stage for real posts of which little is known: no truth, seeds or baselines but one."""
    known = metrics()
    known["scrape"] = {"source": "folder", "posts": 1300, "with_date": 0}
    for name in ("sources", "seeds", "merged"):
        del known["filter"][name]
    known["filter"]["raw"] = 1234
    known["split"]["caption_words"] = None
    for name in ("seeds", "short_captions", "left_out"):
        del known["split"][name]
    known["baselines"] = {"test": {"popularity": block(0.0625)}}
    for split in ("val", "test"):
        known["evaluate"][split] = known["evaluate"][split] | {"ceiling": None, "both": block(0.5)}
    known["evaluate"]["audit"] = None
    return known


def posts(count: int, prefix: str, **columns: Any) -> pd.DataFrame:
    """A manifest: post k has hashtags t0 to t(k % 6)."""
    rows = [
        {
            "id": f"{prefix}{k}",
            "caption": SCRIPT if k == 0 else f"caption number {k} of {prefix}",
            "hashtags": TAGS[: k % 6 + 1],
            "seed_hashtags": [],
        }
        for k in range(count)
    ]
    return pd.DataFrame(rows).assign(**columns)


def findings(**changes: Any) -> Findings:
    """The run; `changes` replace fields of Findings."""
    columns = {"licence": "CC0-1.0", "source": "sample", "author": "a", "date": pd.Timestamp("2024-03-01", tz="UTC")}
    test = posts(12, "p", **columns)
    # Of the true hashtags the last is missed, and t5 is written for all.
    both: list[Any] = [[*tags[:-1], *([] if "t5" in tags[:-1] else ["t5"])] for tags in test["hashtags"]]
    predictions = test.assign(split="test", both=both, ranked=both)
    grid = pd.DataFrame(
        {
            "picture": ["p1", "p1", "p2", "p2"],
            "caption_of": ["p1", "p2", "p1", "p2"],
            "caption": ["caption number 1 of p", "caption number 2 of p"] * 2,
            "written": [["t0", "t9"], ["t0", "t2", "x"], ["t0", "t9", "t1"], ["t0", "t1", "t2"]],
        }
    )
    names = (
        "train_loss",
        "val_loss",
        "train_bleu4",
        "val_bleu4",
        "train_bleu1",
        "val_bleu1",
        "val_f1",
        "val_f1_at_5",
        "learning_rate",
    )
    parts: dict[str, Any] = {
        "section": SECTION,
        "metrics": metrics(),
        "about": About(
            train_section(hashtag_length=4, caption_length=3, seed=5),
            small_recipe(backbone="resnet50", weights="random", weights_sha256="ab" * 32),
        ),
        "manifests": {"train": posts(30, "t", **columns), "val": posts(5, "v", **columns), "test": test},
        "predictions": predictions,
        "grid": grid,
        "rejects": pd.DataFrame({"id": ["r"], "reason": ["emoji"], "caption": ["so <b>happy</b>"], "detail": [None]}),
        "history": pd.DataFrame({name: [0.1, 0.2, 0.36] for name in names} | {"epoch": [1, 2, 3]}),
        "languages": ("en",),
        "seeds": {"train.seed": 5},
        "hashes": {"manifests": "cd" * 32},
    }
    return Findings(**(parts | changes))


def real_findings(**changes: Any) -> Findings:
    """A run on real posts without dates, authors, licences or sources, and with weights of a file."""
    parts: dict[str, Any] = {
        "metrics": real_metrics(),
        "about": dataclasses.replace(findings().about, recipe=small_recipe(backbone="mobilenet_v2", weights="net.pth")),
        "manifests": {split: posts(9, split[0]) for split in ("train", "val")} | {"test": posts(12, "p")},
    }
    return findings(**(parts | changes))
