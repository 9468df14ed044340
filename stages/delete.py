"""Deletes posts from what was collected from Instagram; run by hand, no stage of the pipeline."""

from typing import Annotated

import typer

from stages.command import HomeOption, StateOption, done, run


def main(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID",
            help="Ids of posts as in data/posts.parquet; ID/1 means the whole post. Ids that begin with - go after --.",
        ),
    ],
    home: HomeOption,
    state: StateOption = None,
) -> None:
    """Delete posts from what was collected from Instagram, for good; no run asks for them again."""
    from hashgen.sources.instagram.deletion import delete_posts

    number = delete_posts(state or home / "scrape", ids)
    done(
        "delete", f"{number:,} {'post' if number == 1 else 'posts'} deleted; now dvc repro -f -s scrape, then dvc repro"
    )


if __name__ == "__main__":
    run(main)
