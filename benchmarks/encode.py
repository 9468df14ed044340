"""Encoding speed: the stage's path against the plain loop a user would write, and against the machine's limit.

Run as `python -m benchmarks.encode`. All three see the same drawn JPEG files and network, one after the other, in
each of several rounds; the medians and their ratios are printed. A rate of one run means little on a shared machine.
"""

import hashlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from PIL import Image

from hashgen.corpus.posts import POSTS_PER_SHARD, Post, write_shards
from hashgen.features.encoding import Pictures, write_features
from hashgen.features.recipe import Recipe
from hashgen.params.featurize import Featurize

# As in the stage, torch is imported late: the decoding processes import this module and have no use for it.
if TYPE_CHECKING:
    import torch

    from hashgen.features.backbone import Encoder


def draw(count: int, side: int) -> list[bytes]:
    """JPEG files of `side` × `side` pixels: soft coloured blots."""
    files = []
    for number in range(count):
        colours = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    return files


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


def stage_path(files: list[bytes], section: Featurize, encoder: "Encoder", workers: int) -> None:
    """What the stage does, from raw shards to the store, with an empty memo."""
    from hashgen.features.backbone import ENCODER_VERSION

    recipe = Recipe(
        **section.model_dump(exclude={"allow_random"}),
        weights_sha256=encoder.digest,
        file_sha256=None,
        dim=encoder.dim,
        encoder_version=ENCODER_VERSION,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards((Post(id=str(i), source="sample", image=data) for i, data in enumerate(files)), folder)
        numbers = range(len(files))
        pictures = Pictures(
            ids=[str(i) for i in numbers],
            shards=[f"posts-{i // POSTS_PER_SHARD:05d}.parquet" for i in numbers],
            rows=[i % POSTS_PER_SHARD for i in numbers],
            sha256=[hashlib.sha256(data).hexdigest() for data in files],
            sources=frozenset({"sample"}),
        )
        write_features(
            pictures,
            folder,
            folder / "out",
            recipe,
            encoder,
            batch_size=encoder.batch_size,
            home=folder / "home",
            workers=workers,
        )


def forward_only(count: int, section: Featurize, encoder: "Encoder") -> None:
    """The machine's limit: the same network on one batch that is ready, again and again."""
    import torch

    side = section.image_size
    batch = torch.zeros(encoder.batch_size, 3, side, side, dtype=encoder.dtype, device=encoder.device)
    batch = batch.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(0, count, encoder.batch_size):
            encoder.model(batch)
    if encoder.device.type == "cuda":
        torch.cuda.synchronize()


def rate(count: int, work: Callable[[], None]) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def main(
    pictures: Annotated[int, typer.Option(min=8, help="Pictures a round.")] = 400,
    side: Annotated[int, typer.Option(min=32, help="Width and height of the drawn files, pixels.")] = 320,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    backbone: str = "resnet50",
    precision: str = "bfloat16",
    device: str = "auto",
    workers: Annotated[int, typer.Option(min=0)] = 2,
) -> None:
    """Print the rates of the plain loop, the stage's path and the bare network, and their ratios."""
    from hashgen.base.devices import choose_device
    from hashgen.features.backbone import load_encoder

    values = {"backbone": backbone, "weights": "random", "allow_random": True, "image_size": 224, "views": 0, "seed": 1}
    section = Featurize.model_validate(values | {"precision": precision})
    place, files = choose_device(device), draw(pictures, side)
    encoder = load_encoder(section, "random", place)
    work: dict[str, Callable[[], None]] = {
        "plain loop": lambda: plain_loop(files, backbone, workers, place),
        "stage": lambda: stage_path(files, section, encoder, workers),
        "network alone": lambda: forward_only(pictures, section, encoder),
    }
    work["network alone"]()  # the first pass chooses kernels
    rates: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            rates[name].append(rate(pictures, call))
    plain, stage, limit = (statistics.median(rates[name]) for name in work)
    for name, values_of in rates.items():
        print(f"{name:14} {statistics.median(values_of):8.1f} images/s  ({min(values_of):.1f} to {max(values_of):.1f})")
    print(f"stage against plain loop: {stage / plain:.2f}×; of the machine's limit: {stage / limit:.0%}")


if __name__ == "__main__":
    typer.run(main)
