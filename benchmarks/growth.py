"""Time and memory of every stage on many made-up posts.

    python -m benchmarks.growth --posts 1000,10000,100000 --json growth.json --plot benchmarks/growth.png

Each stage runs in a process of its own, as DVC runs it, two threads at most. Posts have captions of about 12 English
words by Zipf's law and hashtags by the same law, half of them from the caption, and a picture of 40 pixels; authors
have three posts on average. Above `PICTURES` posts no pictures are drawn: posts.parquet is made directly, and scrape,
filter and report are left out. Above `ENCODED` featurize is left out. Later stages never read what featurize wrote, but
drawn features of 512 numbers, alike where posts share their first hashtag. One epoch is trained. Other settings are
those of params.yaml.

Beside the stages: `text`, the filter's judgement of texts alone, in one process; `remembered`, featurize again, all
features in the memo; `neighbours`, the stage suggester with that model; `suggest`, 20 suggestions one by one, model and
index loaded.
"""

import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from PIL import Image
from ruamel.yaml import YAML

from hashgen.base.files import write_json
from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA, TRUTH_SCHEMA, write_table
from hashgen.pictures.perceptual_hash import HASH_BITS, HASH_INSETS

PICTURES, ENCODED = 150_000, 10_000
DIM, VIEWS, SIDE = 512, 1, 40
WORDS, HASHTAGS = 20_000, 2_000
SUGGESTIONS = 20
AT_ONCE = 10_000
MIB = 2**20
# Made by hand where PICTURES or ENCODED says so, and without them.
DRAWN = ("scrape", "text", "filter", "report"), ("featurize", "remembered")
PLACES = {
    "scrape": "--out raw --truth truth.parquet --metrics scrape.json --home home",
    "text": "raw",
    "filter": "--raw raw --posts posts.parquet --rejects rejects.parquet --metrics filter.json",
    "split": "--posts posts.parquet --out manifest --metrics split.json",
    "vocab": "--manifest manifest --out vocab --metrics vocab.json",
    "featurize": "--posts posts.parquet --raw raw --out encoded --home home --device cpu",
    "remembered": "--posts posts.parquet --raw raw --out encoded --home home --device cpu",
    "baselines": "--manifest manifest --features features --metrics baselines.json --predictions baselines.parquet",
    "train": "--manifest manifest --vocab vocab --features features --out trained --history history.csv --home home "
    "--device cpu",
    "suggester": "--manifest manifest --vocab vocab --features features --out suggester --home home --device cpu",
    "neighbours": "--manifest manifest --vocab vocab --features features --out neighbours --home home --device cpu",
    "evaluate": "--posts posts.parquet --rejects rejects.parquet --truth truth.parquet --manifest manifest "
    "--features features --model trained --suggester suggester --out model --baselines baselines.parquet "
    "--metrics evaluate.json --scores scores.json --predictions predictions.parquet --others others.parquet "
    "--grid grid.parquet --device cpu",
    "suggest": "model manifest features",
    "report": "--scrape scrape.json --filter filter.json --split split.json --vocab vocab.json "
    "--baselines baselines.json --evaluate evaluate.json --history history.csv --model model --trained trained "
    "--predictions predictions.parquet --grid grid.parquet --manifest manifest --rejects rejects.parquet --raw raw "
    "--times none.json --out report.html --model-card model.md --dataset-card data.md --filter-plot filter.csv "
    "--hashtags-plot hashtags.csv --cards cards",
}


def main(
    posts: Annotated[str, typer.Option(help="Numbers of posts, separated by commas.")] = "1000,10000",
    stages: Annotated[str, typer.Option(help="Only these of the stages, separated by commas.")] = ",".join(PLACES),
    keep: Annotated[Path | None, typer.Option(help="Folder to keep the data in, and to go on from.")] = None,
    results: Annotated[Path | None, typer.Option("--json", help="JSON file to write the figures to.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to draw the figures into.")] = None,
) -> None:
    """Print for each stage and number of posts: seconds, and the most memory that one process held."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    sizes = [int(size) for size in posts.split(",")]
    print("| stage | posts | wall seconds | CPU seconds | peak MiB | own MiB | time / linear |", flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            folder = (keep or Path(scratch)) / str(size)
            folder.mkdir(parents=True, exist_ok=True)
            apart(_prepare, folder, size)
            left_out = (*DRAWN[0] * (size > PICTURES), *DRAWN[1] * (size > ENCODED))
            for stage in stages.split(","):
                if stage in left_out:
                    continue
                if stage == "split":  # after the filter, which may have dropped a few
                    apart(draw_features, folder)
                figures = measured(stage, folder)
                of_stage = found.setdefault(stage, {}) | {size: figures}
                found[stage] = of_stage
                print(line(stage, of_stage), flush=True)
    if results is not None:
        write_json(results, {"posts": sizes, "stages": {name: _keys(one) for name, one in found.items()}}, exact=True)
    if plot is not None:
        draw_plot(found, plot)


def _keys(figures: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {str(size): one for size, one in figures.items()}


def line(stage: str, figures: dict[int, dict[str, float]]) -> str:
    """A row of the table: the last figures of a stage, and how they compare with those before them times the posts."""
    (size, last), ratio = list(figures.items())[-1], ""
    if len(figures) > 1:
        before, earlier = list(figures.items())[-2]
        ratio = f"{last['cpu'] / earlier['cpu'] / (size / before):.2f}"
    return (
        f"| {stage} | {size:,} | {last['wall']:,.1f} | {last['cpu']:,.1f} | {last['peak']:,.0f} | {last['own']:,.0f} "
        f"| {ratio} |"
    )


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Do work in a new process: what this one holds would count as the memory of all that it starts."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def measured(stage: str, folder: Path) -> dict[str, float]:
    """Run a stage: `wall` and `cpu` seconds, and of the process that held most, itself or one that it started, MiB.

    peak: with pages of mapped files, which the system takes back at will. own: without them, seen every 20 ms.
    """
    root = Path.cwd()
    words = PLACES[stage].split()
    if stage in ("text", "suggest"):
        command = [sys.executable, "-c", f"from benchmarks.growth import {stage}; {stage}(*{words!r})"]
    else:
        module = {"remembered": "featurize", "neighbours": "suggester"}.get(stage, stage)
        params = "neighbours.yaml" if stage == "neighbours" else "params.yaml"
        command = [sys.executable, "-m", f"stages.{module}", *words, "--params", params, "--quiet"]
    environment = dict(os.environ) | {
        "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}",
        "OMP_NUM_THREADS": "2",
    }
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment)
    own = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        own = max(own, *(_own(one) for one in _family(process.pid)))
        time.sleep(0.02)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage}: ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": usage.ru_maxrss * unit / MIB, "own": own}


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _own(pid: int) -> float:
    """Memory of a process in MiB without mapped files; 0 where /proc does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) / 1024


def text(raw: str) -> None:
    """Judge the texts of all posts in this process."""
    from hashgen.corpus.posts import read_shard, shard_paths
    from hashgen.filtering.judging import read_text
    from hashgen.params import read_section
    from hashgen.params.filter import Filter

    section = read_section(Path("params.yaml"), Filter)
    for shard in shard_paths(Path(raw)):
        for _, record in read_shard(shard, ["caption", "hashtags"]):
            read_text(record["caption"], None, section)  # type: ignore[arg-type]


def suggest(model: str, manifest: str, features: str) -> None:
    """Load a model with its index, and rank and find the most similar posts, one post after the other."""
    import torch

    from hashgen.features.store import FeatureStore, read_labelled
    from hashgen.models.folder import Trained
    from hashgen.suggesting.index import Index

    trained = Trained.load(Path(model), torch.device("cpu"))
    index = Index.load(Path(model), trained.model, DIM)
    assert index is not None
    posts = read_labelled(Path(manifest), "test", FeatureStore.open(Path(features))).posts
    begin = time.process_time()
    for place in range(SUGGESTIONS):
        one = posts.pair([place], [place])
        trained.model.rank(one, 5)
        index.nearest(one, None)
    print(f"suggest: {1000 * (time.process_time() - begin) / SUGGESTIONS:.1f} ms each", flush=True)


def _prepare(folder: Path, size: int) -> None:
    """Write the table that the source reads, or the posts that the filter would keep, and both parameter files."""
    if (folder / "params.yaml").exists():
        return
    if size <= PICTURES:
        draw_table(folder / "posts-table.parquet", size)
    else:
        draw_posts(folder / "posts.parquet", size)
        write_table(TRUTH_SCHEMA.empty_table(), folder / "truth.parquet", TRUTH_SCHEMA)
        write_table(REJECTS_SCHEMA.empty_table(), folder / "rejects.parquet", REJECTS_SCHEMA)
    yaml = YAML()
    params = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    params["scrape"]["source"] = "table"
    params["scrape"]["table"]["path"] = "posts-table.parquet"
    params["scrape"]["table"]["columns"] |= {"id": "id", "author": "author"}
    params["featurize"] |= {"backbone": "squeezenet1_1", "image_size": 32, "allow_random": True}
    params["train"]["epochs"] = 1
    for name in ("neighbours", "params"):
        params["suggester"]["model"] = "neighbours" if name == "neighbours" else "ranker"
        with (folder / f"{name}.yaml").open("w", encoding="utf-8") as stream:
            yaml.dump(params, stream)


def texts(size: int) -> Iterator[tuple[list[str], list[list[str]], list[int]]]:
    """Captions, hashtags and authors, `AT_ONCE` posts at a time; the same first posts whatever the size."""
    from hashgen.text.words import word_costs

    costs = word_costs("large")
    words = sorted(costs, key=lambda word: (costs[word], word))[:WORDS]
    hashtags = [word for word in words if len(word) > 4][:HASHTAGS]
    for start in range(0, size, AT_ONCE):
        rng = np.random.default_rng([1, start])
        count = min(AT_ONCE, size - start)
        lengths = 1 + rng.poisson(11, count)
        spoken = zipf(rng, WORDS, lengths.sum())
        ends = np.cumsum(lengths)
        topics, numbers = zipf(rng, HASHTAGS, count), 2 + rng.poisson(2, count)
        others, coins = zipf(rng, HASHTAGS, numbers.sum()), rng.random(count)
        other_ends = np.cumsum(numbers)
        captions, tags = [], []
        for post in range(count):
            said = [words[word] for word in spoken[ends[post] - lengths[post] : ends[post]]]
            topic = int(topics[post])
            mine = [topic] + [
                # Half of them go with the first.
                (topic + 1 + int(other) % 5) % HASHTAGS if place % 2 else int(other)
                for place, other in enumerate(others[other_ends[post] - numbers[post] : other_ends[post]])
            ]
            if coins[post] < 0.5:
                said.insert(len(said) // 2, hashtags[topic])
            captions.append(" ".join(said))
            tags.append(list(dict.fromkeys(hashtags[tag] for tag in mine)))
        yield captions, tags, rng.integers(0, max(1, size // 3), count).tolist()


def zipf(rng: np.random.Generator, most: int, count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Numbers below `most` (count,), each with a chance of about 1 / (number + 1)."""
    return ((most + 1) ** rng.random(count) - 1).astype(np.int64)


def draw_table(path: Path, size: int) -> None:
    """A Parquet table of posts with their pictures."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([(name, pa.string()) for name in ("id", "caption", "author")] + [("image", image)])
    number = 0
    with pq.ParquetWriter(path, schema) as writer:
        for captions, tags, authors in texts(size):
            rows = []
            for caption, one, author in zip(captions, tags, authors, strict=True):
                whole = f"{caption} {' '.join(f'#{tag}' for tag in one)}"
                picture = {"bytes": draw_picture(number), "path": None}
                rows.append({"id": f"p{number}", "caption": whole, "author": f"a{author}", "image": picture})
                number += 1
            for start in range(0, len(rows), 1000):
                writer.write_table(pa.Table.from_pylist(rows[start : start + 1000], schema=schema))


def draw_picture(number: int) -> bytes:
    """A JPEG file of coloured blots, no two alike."""
    blots = np.random.default_rng([2, number]).integers(0, 256, (10, 10, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blots).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG")
    return stream.getvalue()


def draw_posts(path: Path, size: int) -> None:
    """The posts as the filter writes them."""
    number = 0
    with pq.ParquetWriter(path, POSTS_SCHEMA, compression="zstd") as writer:
        for captions, tags, authors in texts(size):
            rng = np.random.default_rng([3, number])
            digits = HASH_BITS // 4 * len(HASH_INSETS)
            ids = [f"p{number + place}" for place in range(len(captions))]
            drawn = {
                "id": ids,
                "post": ids,
                "caption": captions,
                "hashtags": tags,
                "seed_hashtags": [[]] * len(ids),
                "author": [f"a{author}" for author in authors],
                "source": ["table"] * len(ids),
                "shard": ["posts-00000.parquet"] * len(ids),
                "row": range(number, number + len(ids)),
                "image_sha256": [rng.bytes(32).hex() for _ in ids],
                "image_phash": [rng.bytes(digits // 2).hex() for _ in ids],
            }
            columns = [
                pa.array(drawn[field.name], field.type) if field.name in drawn else pa.nulls(len(ids), field.type)
                for field in POSTS_SCHEMA
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=POSTS_SCHEMA))
            number += len(ids)


def draw_features(folder: Path) -> None:
    """Features of the posts in posts.parquet: a direction for each first hashtag, and noise."""
    out = folder / "features"
    table = pq.read_table(folder / "posts.parquet", columns=["id", "hashtags"])
    if (out / "features.json").exists() and pq.read_metadata(out / "ids.parquet").num_rows == table.num_rows:
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    first = [tags[0] for tags in table.column("hashtags").to_pylist()]
    names = sorted(set(first))
    numbers = {name: number for number, name in enumerate(names)}
    centres = np.random.default_rng(4).normal(size=(len(names), DIM)).astype(np.float32)
    plain = np.lib.format.open_memmap(out / "plain.npy", "w+", np.float16, (len(first), DIM))
    views = np.lib.format.open_memmap(out / "views.npy", "w+", np.float16, (len(first), VIEWS, DIM))
    for start in range(0, len(first), AT_ONCE):
        rng = np.random.default_rng([5, start])
        part = centres[[numbers[tag] for tag in first[start : start + AT_ONCE]]]
        for target in (plain, views[:, 0]):
            target[start : start + len(part)] = part + rng.standard_normal(part.shape, np.float32) * np.float32(1.5)
    plain.flush()
    views.flush()
    pq.write_table(table.select(["id"]), out / "ids.parquet")
    recipe = {"backbone": "none", "weights": "random", "weights_sha256": "0" * 64, "file_sha256": None, "dim": DIM}
    recipe |= {"views": VIEWS, "image_size": 224, "precision": "float32", "seed": 1, "encoder_version": 1}
    (out / "features.json").write_text(json.dumps(recipe), encoding="utf-8")


def draw_plot(found: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Seconds and memory by posts, both axes logarithmic; a grey line is linear growth."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    styles = ("-", "--", ":")
    for panel, key, label in zip(panels, ("cpu", "own"), ("CPU seconds", "MiB of memory"), strict=True):
        for number, (stage, one) in enumerate(found.items()):
            values = [figures[key] for figures in one.values()]
            panel.loglog(list(one), values, styles[number // 10], marker="o", markersize=3, label=stage)
        panel.set(xlabel="posts", ylabel=label)
        panel.grid(alpha=0.3)
    sizes = sorted({size for one in found.values() for size in one})
    for low, high in pairwise(sizes[:1] + sizes[-1:]):
        panels[0].loglog([low, high], [1, high / low], color="grey", linewidth=3, alpha=0.4, label="linear")
    panels[0].legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    typer.run(main)
