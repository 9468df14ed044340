"""Stage evaluate: score free-running hashtags on validation and test, and audit the filter where truth is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.errors import HashgenError
from hashgen.files import atomic_file, write_json
from hashgen.params import Evaluate, read_params
from stages.command import PARAMS, DeviceOption, ParamsOption, done, run

if TYPE_CHECKING:
    import pandas as pd

    from hashgen.evaluation import Predictions
    from hashgen.trained import Trained


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    truth: Annotated[Path, typer.Option(help="Parquet file of the sample's truth (stage scrape).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    model: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file to write each post's hashtags to.")],
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Score the trained model on validation and test posts."""
    import pandas as pd

    from hashgen.devices import choose_device
    from hashgen.evaluation import audit_filter
    from hashgen.manifest import read_table
    from hashgen.metrics import bleu_signature
    from hashgen.trained import Trained

    section = read_params(params).evaluate
    known = read_table(truth, "scrape")
    kept = read_table(posts, "filter", ["id"])["id"]
    dropped = read_table(rejects, "filter", ["id", "reason"])
    trained = Trained.load(model, choose_device(device))
    result: dict[str, Any] = {}
    rows = []
    for split in ("val", "test"):
        result[split], written = _score_split(split, trained, manifest, features, known, section)
        rows.append(written)
    result |= {
        "audit": audit_filter(known, list(kept), dropped),
        "decoding": section.decoding,
        "bleu_signature": bleu_signature(),
        "best_epoch": trained.epoch,
    }
    with atomic_file(predictions) as partial:
        pd.concat(rows, ignore_index=True).to_parquet(partial, compression="zstd", index=False)
    write_json(metrics, result)
    done("evaluate", _summary(result["test"]))


def _score_split(
    split: Any, trained: "Trained", manifest: Path, features: Path, truth: "pd.DataFrame", section: Evaluate
) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from hashgen.dataset import make_examples
    from hashgen.evaluation import ceilings, paper_protocol, predict, score_predictions
    from hashgen.features import FeatureStore
    from hashgen.manifest import read_manifest
    from hashgen.vocabulary import SPECIALS

    store, rules = FeatureStore(features), trained.section
    if store.meta != trained.features:
        raise HashgenError(f"{features}: not the features that the model learnt from; run the stage train again")
    posts = read_manifest(manifest, split)
    examples = make_examples(posts, trained.vocabularies, store, rules.caption_length, rules.hashtag_length)
    predictions = predict(trained, examples, store, section)
    result = score_predictions(predictions, posts, read_manifest(manifest, "train"), section)
    result["ceiling"] = ceilings(truth, posts, rules.hashtag_length)
    common = trained.vocabularies.hashtags.tokens[len(SPECIALS)]
    result["paper_protocol"] = paper_protocol(trained, examples, store, common, section.seed)
    return result, _rows(split, posts, predictions)


def _rows(split: str, posts: "pd.DataFrame", predictions: "Predictions") -> "pd.DataFrame":
    import dataclasses

    columns = {field.name: getattr(predictions, field.name) for field in dataclasses.fields(predictions)}
    return posts[["id", "caption", "hashtags", "seed_hashtags"]].assign(split=split, **columns)


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
