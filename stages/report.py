"""Stage report: one self-contained page from all metrics, the learning curves and a few posts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashgen.files import atomic_file, read_json, require
from hashgen.images import read_image
from hashgen.params import read_params
from hashgen.posts import read_images
from stages.command import PARAMS, ParamsOption, done, run

if TYPE_CHECKING:
    import pandas as pd

    from hashgen.report import Card


def main(
    scrape: Annotated[Path, typer.Option(help="Metrics of the stage scrape.")],
    filter: Annotated[Path, typer.Option(help="Metrics of the stage filter.")],
    split: Annotated[Path, typer.Option(help="Metrics of the stage split.")],
    vocab: Annotated[Path, typer.Option(help="Metrics of the stage vocab.")],
    baselines: Annotated[Path, typer.Option(help="Metrics of the stage baselines.")],
    evaluate: Annotated[Path, typer.Option(help="Metrics of the stage evaluate.")],
    history: Annotated[Path, typer.Option(help="CSV file of losses and scores by epoch (stage train).")],
    predictions: Annotated[Path, typer.Option(help="Parquet file of each post's hashtags (stage evaluate).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    raw: Annotated[Path, typer.Option(help="Folder of the raw posts (stage scrape), for the pictures.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Write the report as one HTML page that needs no network."""
    from hashgen.manifest import read_table
    from hashgen.report import Sources, choose_examples, read_history, render

    section = read_params(params).report
    named = {"scrape": scrape, "filter": filter, "split": split, "vocab": vocab}
    named |= {"baselines": baselines, "evaluate": evaluate}
    metrics = {stage: read_json(path, stage) for stage, path in named.items()}
    written = read_table(predictions, "evaluate")
    cards = _cards(written, manifest, raw, section.cards)
    examples = choose_examples(read_table(rejects, "filter"), section.examples)
    page = render(Sources(**metrics, history=read_history(history), cards=cards, examples=examples))
    with atomic_file(out) as partial:
        partial.write_text(page, encoding="utf-8")
    done("report", f"{out} ({len(page) / 2**20:.2f} MiB): open it in a browser")


def _cards(predictions: "pd.DataFrame", manifest: Path, raw: Path, count: int) -> "list[Card]":
    from hashgen.manifest import read_manifest
    from hashgen.report import choose_cards, make_card

    posts = {row["id"]: row for row in read_manifest(manifest, "test").to_dict("records")}
    written = {row["id"]: row for row in predictions.to_dict("records")}
    cards = []
    for kind, post in choose_cards(predictions, count):
        row = posts[post]
        (_, data), *_ = read_images(require(raw / row["shard"], "scrape"), [row["row"]])
        cards.append(make_card(kind, written[post], read_image(data, max_pixels=row["width"] * row["height"])))
    return cards


if __name__ == "__main__":
    run(main)
