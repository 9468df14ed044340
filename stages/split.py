"""Stage split: put groups of posts that belong together into training, validation and test."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hashgen.base.files import atomic_folder, write_json
from hashgen.corpus.manifest import SPLITS, read_manifest
from hashgen.corpus.tables import MANIFEST_SCHEMA, POSTS_SCHEMA, read_table, write_table
from hashgen.params import read_section
from hashgen.params.split import Split
from hashgen.splitting.groups import GROUP_KEYS, NEEDED_TO_SPLIT_BY, split_posts
from hashgen.splitting.leaks import broken_promises, summarise
from stages.command import PARAMS, ParamsOption, done, run

# Columns without which posts cannot be split soundly.
NEEDED = (*GROUP_KEYS, "image_phash", "caption", "hashtags", "seed_hashtags", "date")
# A group of more than this share of the posts makes the splits' sizes a matter of luck.
LARGE_GROUP = 0.2
# With fewer posts than this, a single one changes a score more than the effects one looks for.
FEW_POSTS = 30


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    out: Annotated[Path, typer.Option(help="Folder to write the train, val and test manifests to.")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to, including the leaks.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Split the kept posts by their groups, so that nothing leaks, and check what was written."""
    section = read_section(params, Split)
    kept = read_table(posts, "filter", POSTS_SCHEMA, NEEDED)
    manifests = split_posts(kept, section)
    with atomic_folder(out) as folder:
        for name, table in manifests.items():
            write_table(table, folder / f"{name}.parquet", MANIFEST_SCHEMA)
        summary = summarise({name: read_manifest(folder, name) for name in SPLITS}, section)
        if broken := broken_promises(summary["leaks"], section):
            raise RuntimeError(f"posts leak across splits: {broken}")
    left_out = kept.column(NEEDED_TO_SPLIT_BY[section.by]).null_count
    write_json(metrics, summary | {"limit": section.limit, "left_out": left_out})
    _warn(summary, left_out)
    sizes = ", ".join(f"{name} {size:,}" for name, size in summary["sizes"].items())
    found = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in summary["leaks"].items() if count)
    leaks = f"shared between splits: {found}" if found else "no leaks"
    done("split", f"{sizes}; {summary['groups']:,} groups, {leaks}")


def _warn(summary: dict[str, Any], left_out: int) -> None:
    posts, largest = sum(summary["sizes"].values()), summary["largest_group"]
    if largest > LARGE_GROUP * posts:
        print(
            f"warning: one group has {largest:,} of {posts:,} posts (linked by author, picture or caption), "
            "so the sizes of the splits may be far from split.shares",
            file=sys.stderr,
        )
    few = [f"{name} {size:,}" for name, size in summary["sizes"].items() if name != "train" and size < FEW_POSTS]
    if few:
        print(f"warning: few posts to score on ({', '.join(few)}): scores on them mean little", file=sys.stderr)
    if left_out:
        needed = NEEDED_TO_SPLIT_BY[summary["by"]]
        print(f"warning: {left_out:,} posts without {needed} are left out of all splits (split.by)", file=sys.stderr)


if __name__ == "__main__":
    run(main)
