"""Stage evaluate: score free-running hashtags on validation and test, and audit the filter where truth is known."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file, write_json
from hashgen.commands import DeviceOption
from hashgen.params import read_section
from hashgen.params.evaluate import Evaluate
from stages.command import PARAMS, ParamsOption, done, run

if TYPE_CHECKING:
    import pandas as pd

    from hashgen.models import Decoding
    from hashgen.models.folder import Trained
    from hashgen.scoring.evaluation import Predictions, Scored


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    truth: Annotated[Path, typer.Option(help="Parquet file of the sample's truth (stage scrape).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    model: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write all metrics to.")],
    scores: Annotated[Path, typer.Option(help="JSON file for the main scores, which DVC compares.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file to write each post's hashtags to.")],
    grid: Annotated[Path, typer.Option(help="Parquet file for a few test pictures, each with each other's caption.")],
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Score the trained model on validation and test posts."""
    import pandas as pd

    from hashgen.base.devices import choose_device
    from hashgen.corpus.tables import GRID_SCHEMA, PREDICTIONS_SCHEMA, write_table
    from hashgen.models.folder import Trained
    from hashgen.scoring.evaluation import shorten

    section = read_section(params, Evaluate)
    audited, known = _audit(posts, rejects, truth)
    trained = Trained.load(model, choose_device(device))
    parts = _open(trained, manifest, features)
    result: dict[str, Any] = {}
    written = {}
    for split, part in parts.items():
        result[split], written[split] = _score(part, trained, known, section)
    crossed = _cross(parts["test"], trained, written["test"], section)
    rows = pd.concat(written.values(), ignore_index=True)
    with atomic_file(predictions) as partial, atomic_file(grid) as partial_grid:
        write_table(rows, partial, PREDICTIONS_SCHEMA)
        write_table(crossed, partial_grid, GRID_SCHEMA)
    write_json(metrics, result | audited | _facts(trained, section))
    write_json(scores, shorten(result))
    done("evaluate", _summary(result["test"]))


@dataclasses.dataclass(frozen=True)
class _Part:
    split: str
    manifest: "pd.DataFrame"
    scored: "Scored"


def _audit(posts: Path, rejects: Path, truth: Path) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA, TRUTH_SCHEMA, read_frame
    from hashgen.scoring.filter_audit import audit_filter

    known = read_frame(truth, "scrape", TRUTH_SCHEMA)
    kept = read_frame(posts, "filter", POSTS_SCHEMA, ["id"])["id"]
    dropped = read_frame(rejects, "filter", REJECTS_SCHEMA, ["id", "reason"])
    return {"audit": audit_filter(known, list(kept), dropped)}, known


def _open(trained: "Trained", manifest: Path, features: Path) -> dict[str, _Part]:
    """The posts to score, by split."""
    from hashgen.corpus.manifest import read_manifest
    from hashgen.features.store import FeatureStore
    from hashgen.scoring.evaluation import Scored

    store = FeatureStore.open(features)
    if store.recipe != trained.about.recipe:
        raise HashgenError(
            f"{features}: not the features that the model was trained on; run the stage train again", stage="train"
        )
    train = read_manifest(manifest, "train")
    frames = {"val": read_manifest(manifest, "val"), "test": read_manifest(manifest, "test")}
    return {split: _Part(split, posts, Scored.of(posts, train, store)) for split, posts in frames.items()}


def _score(
    part: _Part, trained: "Trained", truth: "pd.DataFrame", section: Evaluate
) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from hashgen.scoring.ceilings import ceilings
    from hashgen.scoring.evaluation import Bootstrap, predict_all, score_all
    from hashgen.scoring.protocol import paper_protocol

    train, scored = trained.about.section, part.scored
    predictions = predict_all(trained.model, scored, _decoding(section))
    result = score_all(predictions, scored, Bootstrap(section.bootstrap, section.seed))
    result["ceiling"] = ceilings(truth, part.manifest, train.hashtag_length)
    common = next(iter(scored.habits.popular))
    result["paper_protocol"] = paper_protocol(trained.model, scored.labelled, train, common, section.seed)
    return result, _rows(part, predictions)


def _decoding(section: Evaluate) -> "Decoding":
    from hashgen.models import Decoding

    return Decoding(section.decoding, section.beam, section.length_penalty)


def _cross(part: _Part, trained: "Trained", written: "pd.DataFrame", section: Evaluate) -> "pd.DataFrame":
    from hashgen.scoring.grid import choose_grid, cross

    ids = list(written["id"])
    places = choose_grid(ids, list(written["both"]), list(written["hashtags"]))
    return cross(trained.model.with_decoding(_decoding(section)), ids, part.scored.labelled.posts, places)


def _facts(trained: "Trained", section: Evaluate) -> dict[str, Any]:
    from hashgen.metrics.written import bleu_signature

    decoding = None if trained.model.decoding is None else section.decoding
    return {"decoding": decoding, "bleu_signature": bleu_signature(), "best_epoch": trained.about.epoch}


def _rows(part: _Part, predictions: "dict[str, Predictions]") -> "pd.DataFrame":
    columns: dict[str, Any] = {name: one.written for name, one in predictions.items()} | {
        "ranked": predictions["both"].ranked
    }
    return part.manifest[["id", "caption", "hashtags", "seed_hashtags"]].assign(split=part.split, **columns)


def _summary(test: dict[str, Any]) -> str:
    both = test["both"]
    low, high = both["bleu4_ci95"]
    text = f"test BLEU-4 {both['bleu4']:.3f} [{low:.3f}, {high:.3f}]"
    if test["ceiling"]:
        text += f" (ceiling {test['ceiling']['both']['bleu4']:.3f})"
    blind = f"{test['no_image']['bleu4']:.3f} without picture, {test['no_caption']['bleu4']:.3f} without caption"
    return f"{text}, {blind}; P@1 {both['p_at_1']:.3f}, F1@5 {both['f1_at_5']:.3f}"


if __name__ == "__main__":
    run(main)
