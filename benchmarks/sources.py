"""Speed of the sources: posts from a source into shards, against a plain loop that reads and decodes the same pictures.

Run as `python -m benchmarks.sources`. Both see the same drawn JPEG files, one after the other, in each of several
rounds; the medians and their ratios are printed. A source decodes nothing: that is left to the filter.
"""

import csv
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import instaloader
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from PIL import Image

from hashgen.corpus.posts import write_shards
from hashgen.params import scrape
from hashgen.sources import Source
from hashgen.sources.instaloader.source import InstaloaderSource
from hashgen.sources.table.source import TableSource

T = TypeVar("T")

GOAL = 0.5
_SALT = bytes(32)


def draw(count: int, side: int) -> list[bytes]:
    """JPEG files of `side` × `side` pixels: soft coloured blots with some grain, at 640 pixels of about 100 kB."""
    files = []
    for number in range(count):
        drawing = np.random.default_rng(number)
        colours = drawing.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = drawing.integers(-12, 13, (side, side, 1), dtype=np.int16)
        stream = io.BytesIO()
        Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
        files.append(stream.getvalue())
    return files


def table_source(path: Path) -> TableSource:
    """The source of a table with an id, a caption and an image."""
    absent = dict.fromkeys(("hashtags", "author", "date"))
    columns = scrape.TableColumns.model_validate({"id": "id", "caption": "caption", "image": "image"} | absent)
    return TableSource(scrape.Table(path=str(path), columns=columns), path, _SALT)


def in_csv(files: list[bytes], folder: Path) -> tuple[Source, Callable[[], Iterable[bytes]]]:
    """Pictures as files beside a CSV; the plain loop opens them by the same names."""
    with (folder / "posts.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "caption", "image"])
        for number, data in enumerate(files):
            (folder / f"{number}.jpg").write_bytes(data)
            writer.writerow([number, f"words of post {number} #some #tags", f"{number}.jpg"])
    return table_source(folder / "posts.csv"), lambda: (path.read_bytes() for path in sorted(folder.glob("*.jpg")))


def in_parquet(files: list[bytes], folder: Path) -> tuple[Source, Callable[[], Iterable[bytes]]]:
    """Pictures as bytes in Parquet, in the struct of Hugging Face; the plain loop reads them batch by batch."""
    numbers = range(len(files))
    columns = {
        "id": list(numbers),
        "caption": [f"words of post {number} #some #tags" for number in numbers],
        "image": [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(files)],
    }
    path = folder / "posts.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1000)

    def pictures() -> Iterable[bytes]:
        for batch in pq.ParquetFile(path).iter_batches(100, columns=["image"]):
            yield from (row["image"]["bytes"] for row in batch.to_pylist())

    return table_source(path), pictures


def in_a_dump(files: list[bytes], folder: Path) -> tuple[Source, Callable[[], Iterable[bytes]]]:
    """A download folder of instaloader; its own loader writes the JSON."""
    target = folder / "#some"
    target.mkdir()
    context = instaloader.Instaloader(quiet=True).context
    for number, data in enumerate(files):
        width, height = Image.open(io.BytesIO(data)).size
        node = {
            "__typename": "GraphImage",
            "shortcode": f"CODE{number}",
            "id": str(number),
            "is_video": False,
            "dimensions": {"width": width, "height": height},
            "owner": {"id": str(number % 100)},
            "taken_at_timestamp": 1_500_000_000 + number,
            "edge_media_to_caption": {"edges": [{"node": {"text": f"words of post {number} #some #tags"}}]},
        }
        (target / f"{number}.jpg").write_bytes(data)
        instaloader.save_structure_to_file(instaloader.Post(context, node), str(target / f"{number}.json.xz"))
    section = scrape.Instaloader(path=str(folder), carousel="first", video="skip")
    return InstaloaderSource(section, folder, _SALT), lambda: (path.read_bytes() for path in target.glob("*.jpg"))


# A source of another kind needs a function here that lays out the pictures for it.
LAYOUTS = {
    "table, CSV with files": in_csv,
    "table, Parquet with bytes": in_parquet,
    "instaloader folder": in_a_dump,
}


def decode_all(pictures: Iterable[bytes]) -> int:
    """Decode each once with Pillow, as whoever uses them must; how many there were."""
    return sum(Image.open(io.BytesIO(data)).convert("RGB").width > 0 for data in pictures)


def write_all(source: Source) -> int:
    """What the stage scrape does with a source; how many posts there were."""
    with tempfile.TemporaryDirectory() as folder:
        return write_shards(source.posts(), Path(folder))


def rate(count: int, work: Callable[[T], int], given: T) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    if work(given) != count:
        raise AssertionError("pictures were lost")
    return count / (time.perf_counter() - start)


def main(
    pictures: Annotated[int, typer.Option(min=8, help="Pictures a round.")] = 1000,
    side: Annotated[int, typer.Option(min=32, help="Width and height of the drawn files, pixels.")] = 640,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print for each source its rate, that of the plain loop, and their ratio."""
    files = draw(pictures, side)
    print(f"{pictures:,} pictures of {statistics.mean(map(len, files)) / 1000:.0f} kB on average")
    for name, lay_out in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as folder:
            source, read = lay_out(files, Path(folder))
            plain, ours = [], []
            for _ in range(rounds):
                plain.append(rate(pictures, decode_all, read()))
                ours.append(rate(pictures, write_all, source))
        ratios = sorted(mine / its for mine, its in zip(ours, plain, strict=True))
        print(
            f"{name:26} {statistics.median(ours):8.1f} posts/s, plain loop {statistics.median(plain):8.1f}: "
            f"{statistics.median(ratios):.2f}× ({ratios[0]:.2f} to {ratios[-1]:.2f}), goal {GOAL}×"
        )


if __name__ == "__main__":
    typer.run(main)
