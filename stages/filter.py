"""Stage filter: keep English posts with a caption, hashtags and a readable picture; record why others are dropped."""

import os
from typing import Annotated

import typer

from hashgen.base.files import json_text
from hashgen.base.places import output_files, present
from hashgen.base.progress import progress
from hashgen.corpus.posts import row_groups
from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA, write_table
from hashgen.filtering.gathering import filter_posts, require_kept, summarise
from hashgen.filtering.judging import judge_all
from hashgen.params import read_section
from hashgen.params.filter import Filter
from stages.command import PARAMS, EngineOption, ParamsOption, Place, done, is_ray, place_option, run

# A process takes a second or two to start; meanwhile another one judges about this many posts.
POSTS_WORTH_A_PROCESS = 1500


def main(
    raw: Annotated[Place, place_option("Folder of the raw shards (stage scrape).")],
    posts: Annotated[Place, place_option("Parquet file to write the kept posts to.")],
    rejects: Annotated[Place, place_option("Parquet file to write the dropped posts to, with their reasons.")],
    metrics: Annotated[Place, place_option("JSON file to write the metrics to.")],
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of processes; 1 starts no others.", show_default="number of cores, fewer for few posts"
        ),
    ] = None,
    engine: EngineOption = "local",
    params: ParamsOption = PARAMS,
) -> None:
    """Judge every raw post; parse the hashtags and captions of those kept."""
    on_ray = is_ray(engine, raw=raw, posts=posts, rejects=rejects, metrics=metrics)
    section = read_section(params, Filter)
    groups = row_groups(present(raw, "scrape"))
    total = sum(group.rows for group in groups)
    if on_ray:
        from hashgen.cluster.judging import judge_over_cluster

        judged = judge_over_cluster(groups, section, workers)
    else:
        judged = judge_all(groups, section, workers or min(os.cpu_count() or 1, 1 + total // POSTS_WORTH_A_PROCESS))
    filtered = filter_posts(progress(judged, total=total, unit="posts", label="filter"), section)
    require_kept(filtered)
    summary = summarise(filtered)
    with output_files(posts, rejects, metrics) as (posts_file, rejects_file, metrics_file):
        write_table(filtered.kept, posts_file, POSTS_SCHEMA)
        write_table(filtered.rejects, rejects_file, REJECTS_SCHEMA)
        metrics_file.write_text(json_text(summary), encoding="utf-8")
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in summary["dropped"].items() if count) or "none"
    merged = f" (and {summary['merged']:,} found again, merged)" if summary["merged"] else ""
    distinct = summary["raw"] - summary["merged"]
    done("filter", f"{summary['kept']:,} of {distinct:,} posts kept{merged}; dropped: {dropped}")


if __name__ == "__main__":
    run(main)
