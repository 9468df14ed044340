"""Stage baselines: score popular hashtags, nearest neighbours and the seed hashtags on validation and test."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hashgen.base.files import write_json
from hashgen.corpus.manifest import read_manifest
from hashgen.features.store import FeatureStore
from hashgen.metrics.written import bleu_signature
from hashgen.models.habits import Habits
from hashgen.params import read_section
from hashgen.params.baselines import Baselines
from hashgen.scoring.baselines import best_baseline, score_baselines
from stages.command import PARAMS, ParamsOption, done, run


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Score the baselines with the same metrics as the model."""
    section = read_section(params, Baselines)
    store = FeatureStore.open(features)
    train = read_manifest(manifest, "train")
    val = score_baselines(train, read_manifest(manifest, "val"), store, section)
    test = score_baselines(train, read_manifest(manifest, "test"), store, section)
    length = Habits(list(train["hashtags"])).length
    write_json(metrics, {"val": val, "test": test, "written_length": length, "bleu_signature": bleu_signature()})
    done("baselines", _summary(val, test))


def _summary(val: dict[str, Any], test: dict[str, Any]) -> str:
    """The best baseline, chosen by F1@5 on validation, and its scores on test; the oracle apart."""
    best = best_baseline(val)
    scored = test[best]
    figures = f"P@1 {scored['p_at_1']:.3f}, F1@5 {scored['f1_at_5']:.3f}, BLEU-4 {scored['bleu4']:.3f}"
    return f"best by validation F1@5: {best}; on test {figures}"


if __name__ == "__main__":
    run(main)
