"""Encoding speed: the stage by each runtime and precision, against the plain loop, and against the network alone.

Run as `python -m benchmarks.encode`. All see the same JPEG files and network, one after the other, in each of several
rounds; medians and their ratios are printed. A rate of one run means little on a shared machine. The stage's rate is
from raw shards to the feature store, its decoding processes' start included; the encoder is ready before (its time to
start is a column of its own).
"""

import dataclasses
import hashlib
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

from hashgen.corpus.posts import POSTS_PER_SHARD, Post, write_shards
from hashgen.features.encoding import Pictures, decode_views, first_plain, write_features
from hashgen.params.featurize import Featurize
from hashgen.pictures.crops import Preparation, crops

# As in the stage, torch is imported late: the decoding processes import this module and have no use for it.
if TYPE_CHECKING:
    import torch

    from hashgen.features.backbone import Encoder

KINDS = {
    "bfloat16": {"precision": "bfloat16", "runtime": "torch"},
    "float16": {"precision": "float16", "runtime": "torch"},
    "float32": {"precision": "float32", "runtime": "torch"},
    "openvino": {"precision": "bfloat16", "runtime": "openvino"},
    "int8": {"precision": "int8", "runtime": "openvino"},
}
Features = npt.NDArray[np.float32]


@dataclasses.dataclass
class Way:
    """One way to encode: how, the encoder, seconds to build and first use it, and what it measured."""

    name: str
    section: Featurize
    encoder: "Encoder"
    start: float
    stage: list[float] = dataclasses.field(default_factory=list)
    alone: list[float] = dataclasses.field(default_factory=list)


# Pictures whose features are compared with those in float32, and files that are drawn; more are the same, told apart by
# bytes after their end.
COMPARED = DRAWN = 1000


def draw(count: int, side: int) -> list[bytes]:
    """JPEG files of `side` × `side` pixels: soft coloured blots."""
    files = []
    for number in range(min(count, DRAWN)):
        colours = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    return repeated(files, count)


def repeated(files: list[bytes], count: int) -> list[bytes]:
    """So many files, no two alike, though their pictures may be."""
    return [files[number % len(files)] + number.to_bytes(4, "big") for number in range(count)]


class Files:
    """The files through torchvision's evaluation transform, as its documentation shows."""

    def __init__(self, files: list[bytes]) -> None:
        from torchvision import transforms

        self.files = files
        normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> "torch.Tensor":
        tensor: torch.Tensor = self.transform(Image.open(io.BytesIO(self.files[index])).convert("RGB"))
        return tensor


def plain_loop(files: list[bytes], backbone: str, workers: int, device: "torch.device") -> None:
    """The loop a user would write: float32, torch's own memory format, batches of 32."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import models

    model = models.get_model(backbone, weights=None).eval().to(device)
    setattr(model, list(dict(model.named_children()))[-1], torch.nn.Identity())
    loader: DataLoader[torch.Tensor] = DataLoader(Files(files), 32, num_workers=workers)  # type: ignore[arg-type]
    with torch.inference_mode():
        features = [model(batch.to(device)).cpu() for batch in loader]
    assert len(torch.cat(features)) == len(files)


def pictures_of(files: list[bytes]) -> Pictures:
    """The files as pictures of posts."""
    numbers = range(len(files))
    return Pictures(
        ids=[str(i) for i in numbers],
        shards=[f"posts-{i // POSTS_PER_SHARD:05d}.parquet" for i in numbers],
        rows=[i % POSTS_PER_SHARD for i in numbers],
        sha256=[hashlib.sha256(data).hexdigest() for data in files],
        sources=frozenset({"sample"}),
    )


def decoding_alone(files: list[bytes], way: Way, raw: Path, workers: int) -> None:
    """The other limit: read and decode as the stage does, by processes, and throw away."""
    from hashgen.features.backbone import recipe_of

    views, recipe = first_plain(pictures_of(files), len(files)), recipe_of(way.section, way.encoder)
    for _ in decode_views(views, raw, recipe, way.encoder.preparation, (workers, True)):
        pass


def stage_path(files: list[bytes], way: Way, raw: Path, workers: int) -> None:
    """What the stage does, from raw shards to the store, with an empty memo."""
    from hashgen.features.backbone import recipe_of

    pictures = pictures_of(files)
    recipe = recipe_of(way.section, way.encoder)
    with tempfile.TemporaryDirectory() as name:
        write_features(
            pictures,
            raw,
            Path(name) / "out",
            recipe,
            way.encoder,
            batch_size=way.encoder.batch_size,
            home=Path(name) / "home",
            workers=workers,
            ahead=way.encoder.device.type != "cpu",
        )


def rate(count: int, work: Callable[[], Any]) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def forward_only(encoder: "Encoder", count: int) -> float:
    """The machine's limit: pictures a second of the same network on one batch that is ready, again and again."""
    import torch

    batch = torch.randn(encoder.batch_size, 3, encoder.size, encoder.size).to(encoder.device, encoder.dtype)
    batch = batch.to(memory_format=torch.channels_last)

    def run() -> None:
        for _ in range(0, count, encoder.batch_size):
            encoder.model(batch)
        if encoder.device.type == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode():
        encoder.model(batch)
        return rate(-(-count // encoder.batch_size) * encoder.batch_size, run)


def features(encoder: "Encoder", pixels: npt.NDArray[np.uint8]) -> Features:
    """Features (n, dim) of all pictures (n, size, size, 3), batch by batch."""
    size = encoder.batch_size
    parts = [encoder(pixels[start : start + size]) for start in range(0, len(pixels), size)]
    return np.concatenate(parts).astype(np.float32)


def neighbours(vectors: Features, count: int = 10) -> npt.NDArray[np.int64]:
    """The `count` nearest (n, count) of each vector (n, dim) by cosine, the mean taken out."""
    centred = vectors - vectors.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    np.fill_diagonal(cosines, -2)
    return np.argsort(-cosines, axis=1)[:, :count]


def agreement(found: Features, exact: Features) -> tuple[float, float]:
    """How far features (n, dim) are from exact ones, over these' length; and the share of ten neighbours kept."""
    pairs = zip(neighbours(found), neighbours(exact), strict=True)
    kept = float(np.mean([len(set(some) & set(others)) / 10 for some, others in pairs]))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact)), kept


def ways(sections: dict[str, Featurize], weights: str | Path, files: list[bytes], device: str) -> Iterator[Way]:
    """The encoders, ready: each has encoded a batch."""
    from hashgen.base.devices import choose_device
    from hashgen.features.backbone import load_encoder

    def first(size: int, preparation: Preparation) -> npt.NDArray[np.uint8]:
        return np.concatenate([crops(data, size, [0], 1, preparation) for data in files[:64]])

    for name, section in sections.items():
        start = time.perf_counter()
        place = choose_device(device)
        encoder = load_encoder(section, weights, place, runtime=section.runtime, first_pictures=first)
        encoder(first(encoder.size, encoder.preparation)[: encoder.batch_size])
        yield Way(name, section, encoder, time.perf_counter() - start)


def main(
    pictures: Annotated[int, typer.Option(min=64, help="Pictures a round.")] = 400,
    side: Annotated[int, typer.Option(min=32, help="Width and height of drawn files, pixels.")] = 320,
    photos: Annotated[Path | None, typer.Option(help="Folder of JPEG files to encode, not drawn ones.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    backbone: str = "resnet50",
    weights: Annotated[str, typer.Option(help="random, or a file of weights.")] = "random",
    device: str = "auto",
    workers: Annotated[int, typer.Option(min=0)] = min(os.cpu_count() or 1, 16),
    also: Annotated[str, typer.Option(help="Runtimes beside torch's bfloat16, by commas.")] = "float32,openvino,int8",
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write the figures to.")] = None,
) -> None:
    """Print rates of the plain loop and of the stage by each runtime, ratios, and how far features are from float32."""
    from hashgen.base.devices import choose_device

    values = {"backbone": backbone, "weights": "random", "allow_random": True, "image_size": 224, "views": 0, "seed": 1}
    values |= {"captions": "tfidf", "caption_weights": None, "grid": False}
    names = [name for name in ["bfloat16", *also.split(",")] if name]
    chosen = {name: Featurize.model_validate(values | KINDS[name]) for name in names}
    files = draw(pictures, side) if photos is None else repeated(read(photos), pictures)
    place, named = choose_device(device), weights if weights == "random" else Path(weights)
    found = list(ways(chosen, named, files, device))
    preparation = found[0].encoder.preparation
    pixels = np.concatenate([crops(data, 224, [0], 1, preparation) for data in files[:COMPARED]])
    plain: list[float] = []
    decoding: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        write_shards((Post(id=str(i), source="sample", image=data) for i, data in enumerate(files)), Path(name))
        for _ in range(rounds):
            plain.append(rate(len(files), lambda: plain_loop(files, backbone, workers, place)))
            decoding.append(rate(len(files), lambda: decoding_alone(files, found[0], Path(name), workers)))
            for way in found:
                way.alone.append(forward_only(way.encoder, len(files)))
                way.stage.append(rate(len(files), lambda way=way: stage_path(files, way, Path(name), workers)))  # type: ignore[misc]
    reference = {"float32": Featurize.model_validate(values | KINDS["float32"])}
    exact = features(next(ways(reference, named, files, "cpu")).encoder, pixels)
    loop, decoded = statistics.median(plain), statistics.median(decoding)
    print(f"{backbone}, {len(files)} pictures, {workers} decoding processes, {platform.processor() or place}")
    print(f"plain loop {loop:.1f} pictures/s; decoding alone {decoded:.1f}, its processes' start included")
    rows = []
    for way in found:
        stage, alone = statistics.median(way.stage), statistics.median(way.alone)
        error, kept = agreement(features(way.encoder, pixels), exact)
        row = {"way": way.name, "stage": stage, "of_plain_loop": stage / loop, "network_alone": alone}
        row |= {"of_network": stage / alone, "of_decoding": stage / decoded}
        rows.append(row | {"start_seconds": way.start, "error": error, "kept": kept})
        print(
            f"{way.name:9} {stage:7.1f} pictures/s = {stage / loop:5.2f} x plain loop, {stage / alone:4.0%} of the "
            f"network alone ({alone:.1f}), {stage / decoded:4.0%} of decoding alone; start {way.start:.1f} s; "
            f"error {error:.4f}; ten neighbours kept {kept:.3f}"
        )
    if json_file is not None:
        figures = {"plain_loop": loop, "decoding": decoded, "backbone": backbone, "ways": rows}
        json_file.write_text(json.dumps(figures, indent=1) + "\n")


def read(folder: Path) -> list[bytes]:
    """The files of a folder, by name."""
    return [file.read_bytes() for file in sorted(folder.iterdir())]


if __name__ == "__main__":
    typer.run(main)
