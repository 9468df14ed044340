"""Delete posts that were collected from Instagram; run by hand, no stage of the pipeline."""

from typing import Annotated

import typer

from stages.command import HomeOption, StateOption, done, run


def main(
    posts: Annotated[list[str], typer.Argument(help="Ids as in data/posts.parquet; id/2 stands for the whole post.")],
    home: HomeOption,
    state: StateOption = None,
) -> None:
    """Delete posts by their ids from what was collected from Instagram, so that no later run has them."""
    from hashgen.sources.instagram import delete_posts

    deleted = delete_posts(state or home / "scrape", posts)
    number = "1 post" if len(deleted) == 1 else f"{len(deleted):,} posts"
    done("delete", f"{number} deleted from what was collected; go on with: dvc repro -f -s scrape, then dvc repro")


if __name__ == "__main__":
    run(main)
