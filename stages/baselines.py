"""Stage baselines: score popular hashtags, nearest neighbours and the seed hashtags on validation and test."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from hashgen.base.files import atomic_file, write_json
from hashgen.corpus.manifest import SPLITS, read_manifest
from hashgen.corpus.tables import BASELINES_SCHEMA, write_table
from hashgen.features.store import FeatureStore, label
from hashgen.metrics.written import bleu_signature
from hashgen.models.habits import Habits
from hashgen.params import read_section
from hashgen.params.baselines import Baselines
from hashgen.scoring.baselines import baselines, best_baseline, score_baselines
from hashgen.scoring.evaluation import Bootstrap, Predictions, Scored
from stages.command import PARAMS, ParamsOption, done, run


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file for the hashtags of each baseline, by post.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Score the baselines with the same metrics as the model."""
    section = read_section(params, Baselines)
    store = FeatureStore.open(features)
    frames = {split: read_manifest(manifest, split) for split in SPLITS}
    train, val = (label(frames[split], store) for split in SPLITS[:2])
    models, bootstrap = baselines(train, val, section), Bootstrap(section.bootstrap, section.seed)
    scores, rows = {}, []
    for split in SPLITS[1:]:
        scored = Scored.of(frames[split], frames["train"], store)
        scores[split], said = score_baselines(models, scored, bootstrap)
        rows += [_rows(frames[split], split, name, one) for name, one in said.items()]
    with atomic_file(predictions) as partial:
        write_table(pd.concat(rows, ignore_index=True), partial, BASELINES_SCHEMA)
    length = Habits(list(frames["train"]["hashtags"])).length
    write_json(metrics, {**scores, "written_length": length, "bleu_signature": bleu_signature()})
    done("baselines", _summary(scores["val"], scores["test"]))


def _rows(manifest: pd.DataFrame, split: str, name: str, said: Predictions) -> pd.DataFrame:
    columns: dict[str, Any] = {"written": said.written, "ranked": said.ranked}
    return manifest[["id"]].assign(split=split, name=name, **columns)


def _summary(val: dict[str, Any], test: dict[str, Any]) -> str:
    """The best baseline, chosen by F1@5 on validation, and its scores on test; the oracle apart."""
    best = best_baseline(val)
    scored = test[best]
    figures = f"P@1 {scored['p_at_1']:.3f}, F1@5 {scored['f1_at_5']:.3f}, BLEU-4 {scored['bleu4']:.3f}"
    return f"best by validation F1@5: {best}; on test {figures}"


if __name__ == "__main__":
    run(main)
