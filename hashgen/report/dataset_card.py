"""The dataset card of a run, in the format of Hugging Face: YAML, then Markdown."""

from collections import Counter
from typing import Any

from hashgen.corpus.manifest import SPLITS
from hashgen.report.findings import Findings
from hashgen.report.layout import lacking, render
from hashgen.report.markdown import Markdown
from hashgen.report.post_tables import cuts, funnel, hashtag_counts, leak_rows, source_notes
from hashgen.report.provenance import licence_head, licences, period, size_category, yaml_head


def render_dataset_card(found: Findings) -> str:
    """The card as Markdown; nothing is left to fill in. Raises HashgenError when the metrics lack a value."""
    posts = found.posts
    counts = hashtag_counts(posts)
    stated = licences(posts)
    try:
        steps, leaks = funnel(found.metrics["filter"]), leak_rows(found.metrics["split"], posts)
    except KeyError as error:
        raise lacking(error) from error
    return render(
        "dataset_card.md",
        head=Markdown(yaml_head(_head(found, stated))),
        found=found,
        licences=stated,
        sources=sorted(Counter(posts["source"].dropna()).items()) if "source" in posts else [],
        authors=int(posts["author"].nunique()) if "author" in posts else 0,
        period=period(posts),
        steps=steps,
        leaks=leaks,
        notes=source_notes(found.metrics["scrape"]),
        frequent=sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10],
        distinct=len(counts),
        cuts=cuts(posts, found.about.section),
        **found.metrics,
    )


def _head(found: Findings, stated: dict[str, int]) -> dict[str, Any]:
    source = found.metrics["scrape"]["source"]
    return {
        "pretty_name": f"hashgen posts ({source})",
        "language": list(found.languages),
        **licence_head(stated),
        "size_categories": [size_category(len(found.posts))],
        "task_categories": ["image-to-text"],
        "tags": ["hashtags", "social-media", "image", "text", *(["synthetic"] if found.is_sample else [])],
        "source_datasets": ["original"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/manifest/{split}.parquet"} for split in SPLITS],
            }
        ],
    }
