"""Stage report: one self-contained page, a model card, a dataset card, and small files for DVC's plots."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.base.files import atomic_file, atomic_folder, require, sha256_of_file, sha256_of_folder
from hashgen.params import read_section, read_values
from hashgen.params.report import Report
from stages.command import PARAMS, ParamsOption, done, read_seconds, run, suggestion_of

if TYPE_CHECKING:
    from hashgen.report.findings import Findings


# Parameters of other sections that the page shows.
_SHOWN = (
    "scrape.sample.seed",
    "filter.languages",
    "split.seed",
    "vocab.seed",
    "baselines.seed",
    "evaluate.seed",
)


def main(
    scrape: Annotated[Path, typer.Option(help="Metrics of the stage scrape.")],
    filter: Annotated[Path, typer.Option(help="Metrics of the stage filter.")],
    split: Annotated[Path, typer.Option(help="Metrics of the stage split.")],
    vocab: Annotated[Path, typer.Option(help="Metrics of the stage vocab.")],
    baselines: Annotated[Path, typer.Option(help="Metrics of the stage baselines.")],
    evaluate: Annotated[Path, typer.Option(help="Metrics of the stage evaluate.")],
    history: Annotated[Path, typer.Option(help="CSV file of losses and scores per epoch (stage train).")],
    model: Annotated[Path, typer.Option(help="Folder of the model that suggests (stage evaluate).")],
    trained: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")],
    predictions: Annotated[
        Path, typer.Option(help="Parquet file of the hashtags written for each post (stage evaluate).")
    ],
    grid: Annotated[Path, typer.Option(help="Parquet file of test pictures with other captions (stage evaluate).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    raw: Annotated[Path, typer.Option(help="Folder of the raw posts (stage scrape), for the pictures.")],
    times: Annotated[Path, typer.Option(help="JSON file of the run time of each stage; may be missing.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    model_card: Annotated[Path, typer.Option(help="Markdown file to write the model card to.")],
    dataset_card: Annotated[Path, typer.Option(help="Markdown file to write the dataset card to.")],
    filter_plot: Annotated[Path, typer.Option(help="CSV file to write the number of dropped posts by reason to.")],
    hashtags_plot: Annotated[Path, typer.Option(help="CSV file to write the frequencies of the hashtags to.")],
    cards: Annotated[Path, typer.Option(help="Folder to write pictures of example posts to.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Write the report as one HTML page that works offline, the two cards and the plots."""
    from hashgen.report.findings import EXPERIMENTS, read_findings
    from hashgen.report.page import render_page

    section = read_section(params, Report)
    named = {"scrape": scrape, "filter": filter, "split": split, "vocab": vocab}
    named |= {"baselines": baselines, "evaluate": evaluate}
    found = read_findings(
        section, named, model=model, trained=trained, manifest=manifest, predictions=predictions, grid=grid,
        rejects=rejects, history=history,
    )  # fmt: skip
    found = _with_facts(found, read_values(params, _SHOWN), manifest, model, read_seconds(times))
    beside = tuple(name for name in EXPERIMENTS if (out.parent / name).exists())
    found = dataclasses.replace(found, thumbnails=_thumbnails(found, raw), beside=beside)
    page = render_page(found)
    _write_texts(found, {out: page}, model_card, dataset_card)
    _write_plots(found, filter_plot, hashtags_plot, cards)
    done("report", f"{out} ({len(page.encode()) / 2**20:.2f} MiB): open it in a browser")


def _with_facts(
    found: "Findings", shown: Mapping[str, Any], manifest: Path, model: Path, seconds: dict[str, float]
) -> "Findings":
    seeds = {
        "scrape.sample.seed": shown["scrape.sample.seed"] if found.is_sample else None,
        "split.seed": shown["split.seed"],
        "vocab.seed": shown["vocab.seed"],
        "featurize.seed": found.about.recipe.seed,
        "baselines.seed": shown["baselines.seed"],
        "train.seed": found.about.section.seed,
        "evaluate.seed": shown["evaluate.seed"],
    }
    models = [found.about.section.model, *found.metrics["evaluate"].get("others", {})]
    hashes = {
        "manifests (posts, with the hash of each picture)": sha256_of_folder(manifest),
        "weights of the backbone (the tensors, not the file)": found.about.recipe.weights_sha256,
        **{path.name: sha256_of_file(path) for path in sorted(model.glob("*.safetensors"))},
    }
    return dataclasses.replace(
        found,
        seeds={name: seed for name, seed in seeds.items() if seed is not None},
        hashes={name: value for name, value in hashes.items() if value},
        languages=shown["filter.languages"],
        seconds=seconds,
        suggestion_seconds={name: seconds[what] for name in models if (what := suggestion_of(name)) in seconds},
    )


def _thumbnails(found: "Findings", raw: Path) -> dict[str, bytes]:
    from hashgen.corpus.posts import read_picture_bytes
    from hashgen.pictures.decode import decode_picture
    from hashgen.report.examples import choose_cards, thumbnail

    if not found.section.pictures:
        return {}
    chosen = {post for posts in choose_cards(found.test, found.section.cards).values() for post in posts}
    chosen |= set(found.grid["picture"])
    rows = {row["id"]: row for row in found.manifests["test"].to_dict("records") if row["id"] in chosen}
    small = {}
    for post, row in rows.items():
        (_, data), *_ = read_picture_bytes(require(raw / row["shard"], "scrape"), [row["row"]])
        small[str(post)] = thumbnail(decode_picture(data, max_pixels=row["width"] * row["height"]))
    return small


def _write_texts(found: "Findings", texts: dict[Path, str], model_card: Path, dataset_card: Path) -> None:
    from hashgen.report.dataset_card import render_dataset_card
    from hashgen.report.model_card import render_model_card

    texts |= {model_card: render_model_card(found), dataset_card: render_dataset_card(found)}
    for path, text in texts.items():
        with atomic_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _write_plots(found: "Findings", filter_plot: Path, hashtags_plot: Path, cards: Path) -> None:
    from hashgen.report.examples import choose_cards, make_cards, make_grid
    from hashgen.report.pictures import draw_cards, draw_grid
    from hashgen.report.post_tables import filter_csv, hashtag_counts, tail_csv

    tables = {filter_plot: filter_csv(found.metrics["filter"]), hashtags_plot: tail_csv(hashtag_counts(found.posts))}
    for path, text in tables.items():
        with atomic_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    chosen = make_cards(found.test, choose_cards(found.test, found.section.cards), found.thumbnails)
    with atomic_folder(cards) as folder:
        draw_grid(make_grid(found.grid, found.test, found.thumbnails), folder / "grid.png")
        for kind, posts in chosen.items():
            if posts:
                draw_cards(posts, kind, folder / f"{kind}.png")


if __name__ == "__main__":
    run(main)
