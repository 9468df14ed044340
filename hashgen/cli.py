"""The command `hashgen`: for people who have a model, or runs to compare.

Imports stand inside the commands, so that help appears at once.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen import __version__
from hashgen.base.errors import HashgenError
from hashgen.base.files import local_path, refuse_uri
from hashgen.commands import DeviceOption, QuietOption, home_option, local, state_option, user_errors

if TYPE_CHECKING:
    from hashgen.suggesting.suggester import Suggester

app = typer.Typer(
    name="hashgen",
    help="Hashtags for a photo and its caption.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; what a user can fix ends in one line."""
    # None where the shell has closed them (<&- >&-).
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    with user_errors():
        # A hashtag or a file's name may have letters that the terminal's encoding lacks.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        app()


@app.callback(invoke_without_command=True)
def hashgen(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Hashtags for a photo and its caption."""
    if version:
        print(__version__)
        raise typer.Exit


_Hashtags = Annotated[
    str, typer.Option(help="Hashtags that the post has already, separated by commas or blanks.", show_default=False)
]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a trained model.")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="File of the backbone's weights, if it has moved since training.")
]
CaptionWeightsOption = Annotated[
    str | None,
    typer.Option("--caption-weights", help="Folder or name of the caption encoder, if it has moved since training."),
]
HiddenOption = Annotated[
    Path | None,
    typer.Option("--hidden", help="File of hashtags that are never suggested, one a line; replaces the built-in list."),
]
MineOption = Annotated[
    Path | None, typer.Option("--mine", help="File of your own posts, made by: hashgen mine.", show_default=False)
]
SetsOption = Annotated[
    Path | None,
    typer.Option(
        "--sets",
        envvar="HASHGEN_SETS",
        help="File of your saved sets.",
        show_default="in the user's configuration folder",
    ),
]


@app.command()
@local
def suggest(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PICTURE]... [CAPTION]",
            help="Pictures or folders of them (JPEG, PNG, WebP, GIF, TIFF), then the caption in quotes; "
            "- reads the caption from standard input.",
            show_default=False,
        ),
    ] = None,
    caption: Annotated[str | None, typer.Option(help="The caption by name; the picture may then be left out.")] = None,
    max_: Annotated[
        int | None,
        typer.Option("--max", "-k", min=1, max=100, help="Most hashtags.", show_default="what --platform takes"),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            help="Where you post: instagram (5 hashtags), threads (1), tiktok (5) and others.", show_default="instagram"
        ),
    ] = None,
    tags: _Hashtags = "",
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Least probability, 0 to 1.")] = 0.0,
    mix: Annotated[str, typer.Option(help="balanced, broad (hashtags of many posts) or niche (of few).")] = "balanced",
    ban: Annotated[str, typer.Option(help="Hashtags to keep off.", show_default=False)] = "",
    allow: Annotated[str, typer.Option(help="Hidden hashtags to suggest all the same.", show_default=False)] = "",
    prefix: Annotated[str, typer.Option(help="How the hashtags begin.", show_default=False)] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A saved set: its hashtags are added or kept off.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what speaks for each hashtag.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a picture, as the server answers.")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print hashtags only: no names, no warnings.")] = False,
    batch: Annotated[
        str | None,
        typer.Option(help="JSON Lines to answer, one object a line: picture, caption, options. - is standard input."),
    ] = None,
    model: ModelOption = Path("models/hashgen"),
    weights: WeightsOption = None,
    caption_weights: CaptionWeightsOption = None,
    hidden: HiddenOption = None,
    mine: MineOption = None,
    sets: SetsOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Suggest hashtags for a picture, a caption or both, best first.

    Examples:

    hashgen suggest photo.jpg "slow sunday morning"

    hashgen suggest photo.jpg "slow sunday morning" --max 10 --mix niche --explain

    hashgen suggest holidays/ --json > hashtags.jsonl

    hashgen suggest --batch posts.jsonl > hashtags.jsonl

    Exit codes: 0 all is answered, 1 an error, or some of several could not be answered.
    """
    from hashgen.suggesting import requests, terminal
    from hashgen.suggesting.sets import default_sets

    if as_json and plain:
        raise HashgenError("--json: cannot go with --plain; give one of them")
    wishes = {
        "tags": terminal.split(tags),
        "max": max_,
        "platform": platform,
        "min_confidence": min_confidence,
        "mix": mix,
        "ban": terminal.split(ban),
        "allow": terminal.split(allow),
        "prefix": prefix,
        "explain": explain,
    }
    form: terminal.Form = "json" if as_json or batch else "plain" if plain else "text"
    asked = terminal.requests(arguments or [], caption, batch)
    wishes |= terminal.of_sets(set_ or [], sets or default_sets(), wishes)
    terminal.check(wishes)
    suggester = _load(model, device, weights, caption_weights, hidden, mine)
    # Whoever writes to standard input may wait for each answer before the next line.
    failed = terminal.print_answers(asked, suggester, wishes, form, 1 if batch == "-" else requests.AT_ONCE)
    if failed:
        raise typer.Exit(1)


def _load(
    model: Path,
    device: str,
    weights: Path | None = None,
    caption_weights: str | None = None,
    hidden: Path | None = None,
    mine: Path | None = None,
) -> "Suggester":
    refuse_uri(caption_weights or "", "--caption-weights")
    _require_model(model)
    from hashgen.suggesting.suggester import Suggester

    return Suggester.load(
        model, device=device, weights=weights, caption_weights=caption_weights, hidden=hidden, mine=mine
    )


def _require_model(folder: Path) -> None:
    if not (folder / "model.json").is_file():
        raise HashgenError(
            f"{folder}: no trained model here; give its folder with --model, or train one in a clone: make repro"
        )


@app.command()
@local
def mine(
    posts: Annotated[
        Path,
        typer.Argument(help="Your posts: a folder of pictures with metadata, a table, or a folder of instaloader."),
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("mine.safetensors"),
    caption_column: Annotated[str, typer.Option(help="Of a table: its column with the captions.")] = "caption",
    image_column: Annotated[str, typer.Option(help="Of a table: its column with the pictures.")] = "image",
    hashtags_column: Annotated[
        str | None,
        typer.Option(help="Of a table: its column with the hashtags, if captions lack them.", show_default=False),
    ] = None,
    model: ModelOption = Path("models/hashgen"),
    weights: WeightsOption = None,
    caption_weights: CaptionWeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Read your own past posts into a file, so that suggestions take on your hashtags; delete it to undo that.

    Nothing is trained and nothing leaves this computer. Example: hashgen mine ../posts, then
    hashgen suggest photo.jpg --mine mine.safetensors
    """
    with _pipeline("mine"):
        from hashgen.suggesting.mine import open_posts, write_mine

    found, total = open_posts(posts, (caption_column, image_column, hashtags_column))
    kept, left = write_mine(found, _load(model, device, weights, caption_weights), out, total)
    if not quiet:
        print(f"mine: {out}: {kept:,} posts; {left:,} left out (no hashtags, no readable picture, or there twice)")


@app.command()
@local
def sets(
    action: Annotated[str, typer.Argument(help="list, save or delete.")] = "list",
    name: Annotated[str, typer.Argument(help="Name of the set.", show_default=False)] = "",
    add: Annotated[str, typer.Option(help="Hashtags that come first in an answer.", show_default=False)] = "",
    keep_off: Annotated[str, typer.Option(help="Hashtags that are never suggested.", show_default=False)] = "",
    file: SetsOption = None,
) -> None:
    """Saved sets of hashtags, to be used by: hashgen suggest --set NAME.

    Example: hashgen sets save bakery --add sourdough,homemade --keep-off foodporn
    """
    from hashgen.suggesting.sets import HashtagSet, default_sets, delete_set, read_sets, save_set
    from hashgen.suggesting.terminal import split

    file = file or default_sets()
    if action == "save" and name and (add or keep_off):
        save_set(file, name, HashtagSet(split(add), split(keep_off)))
    elif action == "delete" and name:
        delete_set(file, name)
    elif action != "list" or name:
        raise HashgenError(
            "sets: write hashgen sets, hashgen sets save NAME --add … --keep-off …, or hashgen sets delete NAME"
        )
    for one, found in read_sets(file).items():
        kept_off = f"; keep off {' '.join(f'#{tag}' for tag in found.keep_off)}" if found.keep_off else ""
        print(f"{one}: add {' '.join(f'#{tag}' for tag in found.add) or 'nothing'}{kept_off}")
    print(f"sets: {file}")


@app.command()
@local
def doctor(
    home: Annotated[Path, home_option(local_path)],
    model: ModelOption = Path("models/hashgen"),
    weights: WeightsOption = None,
    caption_weights: CaptionWeightsOption = None,
) -> None:
    """Show what is ready on this machine and what is missing, with what to type."""
    from hashgen.suggesting.doctor import examine

    refuse_uri(caption_weights or "", "--caption-weights")
    faults = 0
    for finding in examine(model, home, weights, caption_weights):
        mark = {True: "ok", False: "MISSING", None: "note"}[finding.ready]
        faults += finding.ready is False
        print(f"{mark:8}{finding.name:10}{finding.text}{f'  →  {finding.remedy}' if finding.remedy else ''}")
    if faults:
        raise typer.Exit(1)


@app.command()
@local
def serve(
    model: ModelOption = Path("models/hashgen"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; by default only this computer reaches it.")] = (
        "127.0.0.1"
    ),
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which others may call the server; once for each.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer; each loads the model.")] = 1,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    weights: WeightsOption = None,
    caption_weights: CaptionWeightsOption = None,
    hidden: HiddenOption = None,
    mine: MineOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Serve a page that suggests hashtags while a post is being written, and its HTTP API.

    Example: hashgen serve --open
    """
    _require_model(model)
    # Before torch and numpy are imported. Requests run side by side; several threads for each only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from hashgen.serving.server import Settings, load_model
        from hashgen.serving.server import serve as run
    except ModuleNotFoundError as error:
        if (package := (error.name or "").partition(".")[0]) == "hashgen":
            raise
        raise HashgenError(f"hashgen serve: needs the package {package}: pip install '.[serve]'") from error
    load = partial(
        load_model, device=device, weights=weights, caption_weights=caption_weights, hidden=hidden, mine=mine
    )
    run(Settings(model, host, port, tuple(allow_host or ()), workers), load, show=show)


@app.command()
@local
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
@local
def delete(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID",
            help="Ids as in data/posts.parquet; ID/1 means the whole post. Put ids that start with - after --.",
        ),
    ],
    home: Annotated[Path, home_option(local_path)],
    state: Annotated[Path | None, state_option(local_path)] = None,
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
@local
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
