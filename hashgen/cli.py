"""The command `hashgen`: for people who have a model, or runs to compare.

Imports stand inside the commands, so that help appears at once.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen import __version__
from hashgen.base.errors import HashgenError, printable
from hashgen.commands import DeviceOption, QuietOption, home_option, state_option, user_errors

if TYPE_CHECKING:
    from hashgen.models import Decoding

app = typer.Typer(
    name="hashgen",
    help="Hashtags for a photo and its caption.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; what a user can fix ends in one line."""
    try:
        with user_errors():
            app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.callback(invoke_without_command=True)
def hashgen(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Hashtags for a photo and its caption."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def suggest(
    picture: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG, WebP, GIF or TIFF.")],
    caption: Annotated[str, typer.Argument(help="The caption as you would post it, in quotes.")] = "",
    caption_option: Annotated[str, typer.Option("--caption", help="The same by name.", hidden=True)] = "",
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/hashgen"),
    weights: Annotated[
        Path | None, typer.Option(help="File of the backbone's weights, if it has moved since training.")
    ] = None,
    caption_weights: Annotated[
        str | None, typer.Option(help="Folder or name of the caption encoder, if it has moved since training.")
    ] = None,
    beam: Annotated[
        int | None, typer.Option(min=1, max=100, help="Beam width of the search; 1 is greedy.", show_default="greedy")
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --beam: 0 prefers short lists, more than 1 long ones.", show_default="1"),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Print hashtags for a picture and its caption, in the order that the model writes them.

    Example: hashgen suggest photo.jpg "slow sunday morning"
    """
    if not picture.is_file():
        raise HashgenError(
            f"{picture}: {'not a file' if picture.exists() else 'no such file'}; give the path of a picture"
        )
    if not (model / "model.json").is_file():
        raise HashgenError(
            f"{model}: no trained model here; give its folder with --model, or train one in a clone: make repro"
        )
    if caption and caption_option:
        raise HashgenError("--caption: the caption is given twice; give it once")
    decoding = _decoding(beam, length_penalty)
    from hashgen.suggester import Suggester

    suggester = Suggester.load(model, device=device, weights=weights, caption_weights=caption_weights)
    if suggester.trained.about.recipe.weights == "random":
        print(
            "warning: this model's backbone has random weights: it only works on the built-in sample", file=sys.stderr
        )
    for warning in suggester.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if decoding is not None and suggester.trained.model.decoding is None:
        raise HashgenError("--beam: this model does not search step by step; leave it out")
    hashtags = suggester.suggest(picture, caption or caption_option, decoding=decoding)
    print(" ".join(f"#{hashtag}" for hashtag in hashtags))


def _decoding(beam: int | None, length_penalty: float | None) -> "Decoding | None":
    """What --beam and --length-penalty ask for; None for the model's own way."""
    from hashgen.models import Decoding

    if length_penalty is not None and not (beam and beam > 1):
        raise HashgenError("--length-penalty: only a beam search has one; add --beam 5")
    penalty = {} if length_penalty is None else {"length_penalty": length_penalty}
    return None if beam is None else Decoding("beam" if beam > 1 else "greedy", beam, **penalty)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="Two or more commits, branches, tags or names of experiments; . is your working folder."),
    ],
    evaluate: Annotated[Path, typer.Option(help="Metrics of the stage evaluate, in each run.")] = Path(
        "metrics/evaluate.json"
    ),
    history: Annotated[Path, typer.Option(help="Losses and scores by epoch, in each run.")] = Path("plots/history.csv"),
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("reports/comparison.html"),
    lock: Annotated[Path, typer.Option(help="DVC's record of what was run, in each run.")] = Path("dvc.lock"),
    quiet: QuietOption = False,
) -> None:
    """Show the scores of runs side by side, their differences on the same posts, and the parameters that differ.

    The first run is the one that the others are held against. Example: hashgen compare HEAD .
    """
    with _pipeline("compare"):
        from hashgen.report.runs import write_comparison

    lines = write_comparison(runs, evaluate, history, lock, out)
    if not quiet:
        print(*lines, sep="\n")
        print(f"compare: {out}: {len(runs)} runs; open it in a browser")


@app.command()
def delete(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID",
            help="Ids as in data/posts.parquet; ID/1 means the whole post. Put ids that start with - after --.",
        ),
    ],
    home: Annotated[Path, home_option(lambda value: Path(value).expanduser())],
    state: Annotated[Path | None, state_option(lambda value: Path(value).expanduser())] = None,
    quiet: QuietOption = False,
) -> None:
    """Permanently delete posts collected from Instagram; they are not collected again."""
    with _pipeline("delete"):
        from hashgen.sources.instagram.deletion import delete_posts

    number = delete_posts(state or home / "scrape", ids)
    posts = "post" if number == 1 else "posts"
    if not quiet:
        print(f"delete: {number:,} {posts} deleted; now dvc repro -f -s scrape, then dvc repro")


@app.command(hidden=True)
def summary(
    evaluate: Annotated[Path, typer.Option(help="Metrics of the stage evaluate.")],
    baselines: Annotated[Path, typer.Option(help="Metrics of the stage baselines.")],
    report: Annotated[Path, typer.Option(help="Path of the report page, to print.")],
) -> None:
    """Print the scores of the last run, the path of the report and the next commands to try; nothing if quiet."""
    with _pipeline("summary"):
        from hashgen.report.summary import print_summary

    print_summary(evaluate, baselines, report)


@contextlib.contextmanager
def _pipeline(command: str) -> Iterator[None]:
    """Imports that need packages of the pipeline, which an installation for suggestions alone lacks."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "hashgen":
            raise
        raise HashgenError(
            f"hashgen {command}: needs the package {error.name}; "
            "install the pipeline, in a clone of hashgen: pip install '.[pipeline]'"
        ) from error


if __name__ == "__main__":
    main()
