"""Stage evaluate: score free-running hashtags on validation and test, and audit the filter where truth is known."""

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file, atomic_folder, write_json
from hashgen.commands import DeviceOption
from hashgen.params import read_section
from hashgen.params.evaluate import Evaluate
from stages.command import PARAMS, ParamsOption, done, record_seconds, run, suggestion_of

if TYPE_CHECKING:
    import pandas as pd

    from hashgen.models import Decoding
    from hashgen.models.folder import Standing, Trained
    from hashgen.scoring.evaluation import Predictions, Scored
    from hashgen.suggesting.index import Index


def main(
    posts: Annotated[Path, typer.Option(help="Parquet file of the kept posts (stage filter).")],
    rejects: Annotated[Path, typer.Option(help="Parquet file of the dropped posts (stage filter).")],
    truth: Annotated[Path, typer.Option(help="Parquet file of the sample's truth (stage scrape).")],
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    features: Annotated[Path, typer.Option(help="Folder of the picture features (stage featurize).")],
    model: Annotated[Path, typer.Option(help="Folder of the trained model (stage train).")],
    suggester: Annotated[Path, typer.Option(help="Folder of the second model (stage suggester).")],
    out: Annotated[Path, typer.Option(help="Folder to write the better of the two models to.")],
    baselines: Annotated[Path, typer.Option(help="Parquet file of what the baselines say (stage baselines).")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write all metrics to.")],
    scores: Annotated[Path, typer.Option(help="JSON file for the main scores, which DVC compares.")],
    predictions: Annotated[Path, typer.Option(help="Parquet file for the hashtags of the better model, by post.")],
    others: Annotated[Path, typer.Option(help="Parquet file for those of the other model.")],
    grid: Annotated[Path, typer.Option(help="Parquet file for a few test pictures, each with each other's caption.")],
    device: DeviceOption = "auto",
    params: ParamsOption = PARAMS,
) -> None:
    """Score both models on validation and test posts, and keep the one that is to suggest."""
    from hashgen.corpus.tables import GRID_SCHEMA, PREDICTIONS_SCHEMA, write_table
    from hashgen.models.folder import seal
    from hashgen.scoring.evaluation import shorten

    section = read_section(params, Evaluate)
    audited, known = _audit(posts, rejects, truth)
    found: dict[Path, _Found] = {}
    for folder, stage in ((suggester, "suggester"), (model, "train")):
        trained = _load(folder, stage, device)
        if not any(one.trained.about == trained.about for one in found.values()):
            found[folder] = _score_all(trained, manifest, features, known, section)
            _cost(found[folder], folder)
    best = _choose(found, suggester, model, section)
    chosen, rest = found[best], [one for folder, one in found.items() if folder != best]
    chosen.metrics["test"]["against"] = _against(chosen, rest, baselines, section)
    chosen.metrics["test"]["bridge"] = _bridge(chosen, rest, baselines, section)
    crossed = _cross(chosen, section)
    with atomic_file(predictions) as partial, atomic_file(others) as partial_others, atomic_file(grid) as partial_grid:
        write_table(chosen.rows, partial, PREDICTIONS_SCHEMA)
        write_table(_joined(rest, chosen), partial_others, PREDICTIONS_SCHEMA)
        write_table(crossed, partial_grid, GRID_SCHEMA)
    with atomic_folder(out) as partial_out:
        shutil.copytree(best, partial_out, dirs_exist_ok=True)
        _standing(chosen, baselines).write(partial_out)
        _index(chosen, manifest, features).save(partial_out, chosen.trained.model)
        seal(partial_out)
    result = chosen.metrics | {"others": {one.name: one.metrics for one in rest}} | audited | _facts()
    write_json(metrics, result)
    write_json(scores, shorten(result))
    done("evaluate", _summary(chosen, rest))


def _load(folder: Path, stage: str, device: str) -> "Trained":
    """A model of one of the two stages, which is named if the model cannot be read."""
    from hashgen.base.devices import choose_device
    from hashgen.models.folder import Trained

    try:
        return Trained.load(folder, choose_device(device))
    except HashgenError as error:
        message = str(error).replace("the stage train", f"the stage {stage}")
        raise HashgenError(message, error.exit_code, stage=stage if error.stage else None) from error


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a model says and scores. metrics: `model` (its name), `val`, `test` and more. rows: PREDICTIONS_SCHEMA."""

    trained: "Trained"
    metrics: dict[str, Any]
    rows: "pd.DataFrame"
    val: "_Part"
    test: "_Part"

    @property
    def name(self) -> str:
        return str(self.trained.about.section.model)


def _score_all(trained: "Trained", manifest: Path, features: Path, truth: "pd.DataFrame", section: Evaluate) -> _Found:
    import pandas as pd

    parts = _open(trained, manifest, features)
    about, decoding = trained.about, trained.model.decoding
    metrics: dict[str, Any] = {"model": about.section.model, "best_epoch": about.epoch}
    metrics["decoding"] = None if decoding is None else section.decoding
    rows = []
    for split, part in parts.items():
        metrics[split], written = _score(part, trained, truth, section)
        rows.append(written)
    return _Found(trained, metrics, pd.concat(rows, ignore_index=True), parts["val"], parts["test"])


def _cost(found: _Found, folder: Path) -> None:
    """How large a model is, among its metrics; how long a suggestion takes, where DVC's times are: it varies."""
    from hashgen.scoring.costs import parameters, seconds_of_one

    found.metrics["parameters"] = parameters(folder)
    record_seconds(suggestion_of(found.name), seconds_of_one(found.trained.model, found.val.scored.labelled.posts))


def _choose(found: dict[Path, _Found], suggester: Path, model: Path, section: Evaluate) -> Path:
    """The folder of the model that is to suggest: of stage suggester, unless the other is clearly better on validation.

    Clearly: the 95 % interval of the difference in F1@5 is above 0. What chance may have given decides nothing.
    """
    from hashgen.scoring.evaluation import Bootstrap, compare

    if model not in found:
        return suggester
    one, other = (list(each.rows[each.rows["split"] == "val"]["ranked"]) for each in (found[model], found[suggester]))
    bootstrap = Bootstrap(section.bootstrap, section.seed)
    interval = compare(one, other, found[model].val.scored, bootstrap)["f1_at_5"]["difference_ci95"]
    return model if interval is not None and interval[0] > 0 else suggester


def _against(chosen: _Found, rest: list[_Found], baselines: Path, section: Evaluate) -> dict[str, Any]:
    """The chosen model held against every other method on the test posts, by the name of that."""
    from hashgen.corpus.tables import BASELINES_SCHEMA, read_frame
    from hashgen.scoring.evaluation import Bootstrap, compare

    said = read_frame(baselines, "baselines", BASELINES_SCHEMA)
    rankings = {str(name): part for name, part in said[said["split"] == "test"].groupby("name", sort=False)}
    rankings |= {one.name: one.rows[one.rows["split"] == "test"] for one in rest}
    own = chosen.rows[chosen.rows["split"] == "test"]
    bootstrap, result = Bootstrap(section.bootstrap, section.seed), {}
    for name, rows in rankings.items():
        if list(rows["id"]) != list(own["id"]):
            raise HashgenError(f"{baselines}: other posts than the test posts; run the stage baselines again")
        result[name] = compare(list(own["ranked"]), list(rows["ranked"]), chosen.test.scored, bootstrap)
    return result


def _bridge(chosen: _Found, rest: list[_Found], baselines: Path, section: Evaluate) -> dict[str, Any]:
    """All models and two baselines under the paper's kind of score, a padded one and honest ones, on the test posts."""
    from hashgen.corpus.tables import BASELINES_SCHEMA, read_frame
    from hashgen.models.sequence import SequenceModel
    from hashgen.scoring.bridge import bridge
    from hashgen.scoring.evaluation import Predictions

    said = {}
    table = read_frame(baselines, "baselines", BASELINES_SCHEMA)
    for name in ("popularity", "knn_both"):
        rows = table[(table["split"] == "test") & (table["name"] == name)]
        said[name] = Predictions([list(one) for one in rows["written"]], [list(one) for one in rows["ranked"]])
    scored, train, forced = chosen.test.scored, chosen.trained.about.section, {}
    for one in (*rest, chosen):
        rows = one.rows[one.rows["split"] == "test"]
        said[one.name] = Predictions([list(row) for row in rows["both"]], [list(row) for row in rows["ranked"]])
        if isinstance(one.trained.model, SequenceModel):
            forced[one.name] = one.trained.model.write_forced(one.test.scored.labelled, section.seed)
    common = next(iter(scored.habits.popular))
    targets = [list(hashtags) for hashtags in scored.labelled.hashtags]
    return bridge(said, targets, common, batch_size=train.batch_size, length=train.hashtag_length, forced=forced)


def _standing(chosen: _Found, baselines: Path) -> "Standing":
    """How the chosen model stands against the best baseline, on validation posts."""
    from hashgen.corpus.tables import BASELINES_SCHEMA, read_frame
    from hashgen.metrics.ranked import ranked_figures
    from hashgen.models.folder import Standing
    from hashgen.scoring.baselines import ORACLE

    own = chosen.rows[chosen.rows["split"] == "val"]
    said = read_frame(baselines, "baselines", BASELINES_SCHEMA)
    said = said[(said["split"] == "val") & (said["name"] != ORACLE)]
    scores = {
        str(name): float(ranked_figures(list(rows["ranked"]), list(own["hashtags"]))["f1_at_5"].mean())
        for name, rows in said.groupby("name", sort=False)
    }
    best = max(scores, key=scores.__getitem__)
    return Standing(chosen.name, float(chosen.metrics["val"]["both"]["f1_at_5"]), best, scores[best])


def _index(chosen: _Found, manifest: Path, features: Path) -> "Index":
    """What suggestions need besides the model: its training posts, and calibrated scores."""
    from hashgen.corpus.manifest import read_manifest
    from hashgen.features.store import FeatureStore, label
    from hashgen.suggesting.index import Index

    posts = read_manifest(manifest, "train")
    train = label(posts, FeatureStore.open(features), chosen.trained.about.section.sentiment)
    sources = ", ".join(sorted(set(posts["source"])))
    return Index.of(chosen.trained.model, list(posts["id"]), train, chosen.val.scored.labelled, sources)


def _joined(rest: list[_Found], chosen: _Found) -> "pd.DataFrame":
    import pandas as pd

    return pd.concat([one.rows for one in rest], ignore_index=True) if rest else chosen.rows.iloc[:0]


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
    from hashgen.corpus.manifest import SPLITS, read_manifest
    from hashgen.features.store import FeatureStore
    from hashgen.scoring.evaluation import Scored, scored_posts

    store = FeatureStore.open(features)
    if store.recipe != trained.about.recipe:
        raise HashgenError(
            f"{features}: not the features that the model was trained on; run the stage train again", stage="train"
        )
    train = read_manifest(manifest, "train")
    frames = {split: scored_posts(read_manifest(manifest, split)) for split in SPLITS[1:]}
    sentiment = trained.about.section.sentiment
    return {split: _Part(split, posts, Scored.of(posts, train, store, sentiment)) for split, posts in frames.items()}


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
    return result, _rows(part, trained, predictions)


def _decoding(section: Evaluate) -> "Decoding":
    from hashgen.models import Decoding

    return Decoding(section.decoding, section.beam, section.length_penalty)


def _cross(found: _Found, section: Evaluate) -> "pd.DataFrame":
    from hashgen.scoring.grid import choose_grid, cross

    written = found.rows[found.rows["split"] == "test"]
    ids = list(written["id"])
    places = choose_grid(ids, list(written["both"]), list(written["hashtags"]))
    return cross(found.trained.model.with_decoding(_decoding(section)), ids, found.test.scored.labelled.posts, places)


def _facts() -> dict[str, Any]:
    from hashgen.metrics.written import bleu_signature

    return {"bleu_signature": bleu_signature()}


def _rows(part: _Part, trained: "Trained", predictions: "dict[str, Predictions]") -> "pd.DataFrame":
    columns: dict[str, Any] = {name: one.written for name, one in predictions.items()}
    columns |= {"model": trained.about.section.model, "ranked": predictions["both"].ranked}
    return part.manifest[["id", "caption", "hashtags", "seed_hashtags"]].assign(split=part.split, **columns)


def _summary(chosen: _Found, rest: list[_Found]) -> str:
    both = chosen.metrics["test"]["both"]
    text = f"{chosen.name} makes the suggestions: test F1@5 {_rounded(both['f1_at_5'])}"
    if both["f1_at_5_ci95"]:
        text += " [{:.3f}, {:.3f}]".format(*both["f1_at_5_ci95"])
    if chosen.metrics["test"]["ceiling"]:
        text += f" (ceiling {chosen.metrics['test']['ceiling']['both']['f1_at_5']:.3f})"
    text += f", P@1 {_rounded(both['p_at_1'])}, P@5 {_rounded(both['p_at_5'])}"
    for one in rest:
        other = one.metrics["test"]["both"]
        text += f"; {one.name}: F1@5 {_rounded(other['f1_at_5'])}, BLEU-4 {_rounded(other['bleu4'])}"
    return text


def _rounded(value: float) -> str:
    """As the report shows it, which reads four digits of it from the metrics."""
    return f"{round(value, 4):.3f}"


if __name__ == "__main__":
    run(main)
