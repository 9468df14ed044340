"""Stage baselines: score popular hashtags, nearest neighbours and the seed hashtags on validation and test.

And, where params name one, a vision-language model of the user's own.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import platformdirs
import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file, write_json
from hashgen.corpus.manifest import read_manifest
from hashgen.corpus.tables import BASELINES_SCHEMA, write_table
from hashgen.features.store import FeatureStore
from hashgen.metrics.written import bleu_signature
from hashgen.models.habits import Habits
from hashgen.params import read_section
from hashgen.params.baselines import Baselines
from hashgen.scoring.baselines import baselines, best_baseline, score_baselines
from hashgen.scoring.evaluation import Bootstrap, Predictions, Scored, scored_posts
from stages.command import PARAMS, ParamsOption, done, input_path, run

HomeOrNone = Annotated[
    Path | None,
    typer.Option(
        envvar="HASHGEN_HOME",
        callback=lambda value: None if value is None else input_path(str(value)),
        show_default="the user's cache folder",
        help="Folder for what is kept between runs: answers of baselines.vlm.",
    ),
]


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file for the hashtags of each baseline, by post.")],
    params: ParamsOption = PARAMS,
    raw: Annotated[
        Path | None, typer.Option(help="Folder of the raw shards (stage scrape); only baselines.vlm needs it.")
    ] = None,
    home: HomeOrNone = None,
) -> None:
    """Score the baselines with the same metrics as the model."""
    section = read_section(params, Baselines)
    store = FeatureStore.open(features)
    train = read_manifest(manifest, "train")
    parts = {"val": scored_posts(read_manifest(manifest, "val")), "test": scored_posts(read_manifest(manifest, "test"))}
    scored = {split: Scored.of(posts, train, store) for split, posts in parts.items()}
    models = baselines(train, store, section.neighbours, scored["val"].labelled)
    scores, rows = {}, []
    for split, posts in parts.items():
        scores[split], said = score_baselines(models, scored[split], Bootstrap(section.bootstrap, section.seed))
        rows += [_rows(posts, split, name, one) for name, one in said.items()]
    if section.vlm is not None:
        for split, (block, one) in _ask(parts, train, store, section, raw, home).items():
            scores[split]["vlm"] = block
            rows.append(_rows(parts[split], split, "vlm", one))
    with atomic_file(predictions) as partial:
        write_table(pd.concat(rows, ignore_index=True), partial, BASELINES_SCHEMA)
    length = Habits(list(train["hashtags"])).length
    write_json(metrics, {**scores, "written_length": length, "bleu_signature": bleu_signature()})
    done("baselines", _summary(scores["val"], scores["test"]))


def _rows(manifest: pd.DataFrame, split: str, name: str, said: Predictions) -> pd.DataFrame:
    columns: dict[str, Any] = {"written": said.written, "ranked": said.ranked}
    return manifest[["id"]].assign(split=split, name=name, **columns)


def _ask(
    parts: dict[str, pd.DataFrame],
    train: pd.DataFrame,
    store: FeatureStore,
    section: Baselines,
    raw: Path | None,
    home: Path | None,
) -> dict[str, tuple[dict[str, Any], Predictions]]:
    """Scores of the user's own model by split, and what it says; nothing where its budget is spent too early."""
    from hashgen.scoring.vlm.asking import Unfinished, score_vlm

    if raw is None:
        raise HashgenError("--raw: baselines.vlm needs the pictures; name the folder of the raw shards")
    try:
        found = score_vlm(parts, train, store, section, raw, home or platformdirs.user_cache_path("hashgen"))
    except Unfinished as error:
        print(
            f"baselines: vlm is not scored: {error}, and baselines.vlm.budget is spent; to go on, run: "
            "dvc repro -f -s baselines",
            file=sys.stderr,
        )
        return {}
    unusable = sum(block["unusable"] for block, _ in found.values())
    posts = sum(block["posts"] for block, _ in found.values())
    done("baselines", f"vlm: {unusable:,} of {posts:,} answers hold no hashtag")
    return found


def _summary(val: dict[str, Any], test: dict[str, Any]) -> str:
    """The best baseline, chosen by F1@5 on validation, and its scores on test; the oracle apart."""
    best = best_baseline(val)
    scored = test[best]
    figures = f"P@1 {scored['p_at_1']:.3f}, F1@5 {scored['f1_at_5']:.3f}, BLEU-4 {scored['bleu4']:.3f}"
    return f"best by validation F1@5: {best}; on test {figures}"


if __name__ == "__main__":
    run(main)
