"""The dataset card of a run, in the format of Hugging Face: YAML, then Markdown."""

from collections import Counter

from hashgen.manifest import SPLITS
from hashgen.report.corpus import REASONS, cuts, funnel, hashtag_counts, leak_rows, source_notes
from hashgen.report.findings import Findings
from hashgen.report.layout import lacking, render
from hashgen.report.provenance import licence_head, licences, period, size_category, yaml_head


def render_dataset_card(found: Findings) -> str:
    """The card as Markdown; nothing is left to fill in. Raises HashgenError when the metrics lack a figure."""
    posts = found.posts
    stated = licences(posts)
    source = found.metrics["scrape"]["source"]
    head = {
        "pretty_name": f"hashgen posts ({source})",
        "language": list(found.languages),
        **licence_head(stated),
        "size_categories": [size_category(len(posts))],
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
    try:
        steps, leaks = funnel(found.metrics["filter"]), leak_rows(found.metrics["split"])
    except KeyError as error:
        raise lacking(error) from error
    return render(
        "dataset_card.md",
        head=yaml_head(head),
        found=found,
        licences=stated,
        sources=sorted(Counter(posts["source"]).items()) if "source" in posts else [],
        authors=int(posts["author"].nunique()) if "author" in posts else 0,
        period=period(posts),
        steps=steps,
        reasons=REASONS,
        leaks=leaks,
        notes=source_notes(found.metrics["scrape"]),
        frequent=hashtag_counts(posts).most_common(10),
        distinct=len(hashtag_counts(posts)),
        cuts=cuts(posts, found.model["train"]),
        **found.metrics,
    )
