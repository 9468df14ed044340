"""Stage evaluate: score free-running hashtags on validation and test, and audit the filter where truth is known."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file, write_json
from hashgen.params import read_section
from hashgen.params.evaluate import Evaluate
from stages.command import PARAMS, DeviceOption, ParamsOption, done, run

if TYPE_CHECKING:
    import pandas as pd

    from hashgen.features.store import FeatureStore
    from hashgen.scoring.evaluation import Predictions
    from hashgen.training.dataset import Examples
    from hashgen.training.trained import Trained


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    truth: Annotated[Path, typer.Option(help="Parquet file of the sample's truth (stage scrape).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    model: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write all metrics to.")],
    scores: Annotated[Path, typer.Option(help="JSON file to write the few figures to that DVC compares.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file to write each post's hashtags to.")],
    grid: Annotated[Path, typer.Option(help="Parquet file for a few test pictures, each with each other's caption.")],
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Score the trained model on validation and test posts."""
    import pandas as pd

    from hashgen.base.devices import choose_device
    from hashgen.scoring.evaluation import shorten
    from hashgen.training.trained import Trained

    section = read_section(params, Evaluate)
    audited, known = _audit(posts, rejects, truth)
    trained = Trained.load(model, choose_device(device))
    result: dict[str, Any] = {}
    written = {}
    for split in ("val", "test"):
        data = _open(split, trained, manifest, features)
        result[split], written[split] = _score(data, trained, known, section)
    crossed = _cross(data, trained, written["test"], section)
    rows = pd.concat(written.values(), ignore_index=True)
    with atomic_file(predictions) as partial, atomic_file(grid) as partial_grid:
        rows.to_parquet(partial, compression="zstd", index=False)
        crossed.to_parquet(partial_grid, compression="zstd", index=False)
    write_json(metrics, result | audited | _facts(trained, section))
    write_json(scores, shorten(result))
    done("evaluate", _summary(result["test"]))


@dataclasses.dataclass(frozen=True)
class _Data:
    split: str
    posts: "pd.DataFrame"
    train: "pd.DataFrame"
    examples: "Examples"
    store: "FeatureStore"


def _audit(posts: Path, rejects: Path, truth: Path) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from hashgen.corpus.tables import read_table
    from hashgen.scoring.evaluation import audit_filter

    known = read_table(truth, "scrape")
    kept = read_table(posts, "filter", ["id"])["id"]
    return {"audit": audit_filter(known, list(kept), read_table(rejects, "filter", ["id", "reason"]))}, known


def _open(split: Any, trained: "Trained", manifest: Path, features: Path) -> _Data:
    from hashgen.corpus.manifest import read_manifest
    from hashgen.features.store import FeatureStore
    from hashgen.training.dataset import make_examples

    store, rules = FeatureStore(features), trained.section
    if store.meta != trained.features:
        raise HashgenError(f"{features}: not the features that the model learnt from; run the stage train again")
    posts = read_manifest(manifest, split)
    examples = make_examples(posts, trained.vocabularies, store, rules.caption_length, rules.hashtag_length)
    return _Data(split, posts, read_manifest(manifest, "train"), examples, store)


def _score(
    data: _Data, trained: "Trained", truth: "pd.DataFrame", section: Evaluate
) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from hashgen.scoring.evaluation import ceilings, paper_protocol, predict, score_predictions
    from hashgen.text.vocabulary import SPECIALS

    predictions = predict(trained, data.examples, data.store, section)
    result = score_predictions(predictions, data.posts, data.train, section)
    result["ceiling"] = ceilings(truth, data.posts, trained.section.hashtag_length)
    common = trained.vocabularies.hashtags.tokens[len(SPECIALS)]
    result["paper_protocol"] = paper_protocol(trained, data.examples, data.store, common, section.seed)
    return result, _rows(data, predictions)


def _cross(data: _Data, trained: "Trained", written: "pd.DataFrame", section: Evaluate) -> "pd.DataFrame":
    from hashgen.scoring.evaluation import choose_grid, cross

    places = choose_grid(list(written["id"]), list(written["both"]), list(written["hashtags"]))
    return cross(trained, data.posts, data.examples, data.store, section, places)


def _facts(trained: "Trained", section: Evaluate) -> dict[str, Any]:
    from hashgen.scoring.figures import bleu_signature

    return {"decoding": section.decoding, "bleu_signature": bleu_signature(), "best_epoch": trained.epoch}


def _rows(data: _Data, predictions: "Predictions") -> "pd.DataFrame":
    columns = {field.name: getattr(predictions, field.name) for field in dataclasses.fields(predictions)}
    return data.posts[["id", "caption", "hashtags", "seed_hashtags"]].assign(split=data.split, **columns)


def _summary(test: dict[str, Any]) -> str:
    both = test["both"]
    low, high = both["bleu4_ci95"]
    text = f"test BLEU-4 {both['bleu4']:.3f} [{low:.3f}, {high:.3f}]"
    if test["ceiling"]:
        text += f" of a ceiling of {test['ceiling']['both']['bleu4']:.3f}"
    blind = f"{test['no_image']['bleu4']:.3f} without picture, {test['no_caption']['bleu4']:.3f} without caption"
    return f"{text}, {blind}; P@1 {both['p_at_1']:.3f}, F1@5 {both['f1_at_5']:.3f}"


if __name__ == "__main__":
    run(main)
