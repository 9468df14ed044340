"""Every figure of a GPU: `benchmarks/gpu.sh`, or `python -m benchmarks.gpu --device cpu --pictures 64` to try it.

First whether two epochs of the paper's model give the same losses on the GPU as on the CPU; then `benchmarks.encode`
and `benchmarks.train`, each with its own limit of time, so that one that hangs takes nothing from the other.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

NEEDED = ["PIL", "filelock", "huggingface_hub", "numpy", "pandas", "platformdirs", "pyarrow", "pydantic", "regex"]
NEEDED += ["ruamel.yaml", "sacrebleu", "safetensors", "scipy", "tokenizers", "torch", "torchvision", "tqdm"]


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the script.")] = "cuda",
    pictures: Annotated[int, typer.Option(min=64, help="Pictures to encode in a round.")] = 8_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path, typer.Option(help="Folder for all figures as JSON.")] = Path("gpu"),
) -> None:
    """Print all figures; exit code 1 if a part failed or the device is not there."""
    if missing := [name for name in NEEDED if not is_there(name)]:
        raise SystemExit(f"error: packages that are not here: {', '.join(missing)}")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: no CUDA device")
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    print(f"torch {torch.__version__}, {name}, {os.cpu_count()} cores", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    losses = agreement(torch.device(device))
    (out / "agreement.json").write_text(json.dumps(losses, indent=1) + "\n")
    also = "float32,float16" if device == "cuda" else "float32"
    made_up = ["--data", str(out / "none")]
    parts = {
        "encode": (["--pictures", str(pictures), "--also", also], 210),
        "train": (made_up, 100),
        "train-256": ([*made_up, "--batch", "256"], 60),
    }
    failed = []
    for part, (options, limit) in parts.items():
        common = ["--device", device, "--rounds", str(rounds), "--json", str(out / f"{part}.json")]
        if not is_done(part, [f"benchmarks.{part.partition('-')[0]}", *common, *options], limit):
            failed.append(part)
    if failed:
        raise SystemExit(f"error: failed: {', '.join(failed)}")


def is_there(package: str) -> bool:
    """Whether a package can be imported; it is not."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def is_done(label: str, command: list[str], limit: float) -> bool:
    """Run a module of the benchmarks for at most `limit` seconds; whether it ended well."""
    print(f"\n== {label}", flush=True)
    start = time.monotonic()
    try:
        code = subprocess.run([sys.executable, "-m", *command], timeout=limit).returncode
    except subprocess.TimeoutExpired:
        code = 124
    print(f"({time.monotonic() - start:.0f} s{f', exit code {code}' if code else ''})", flush=True)
    return code == 0


def agreement(device: "torch.device") -> dict[str, Any]:
    """Losses of two epochs on the CPU and on the device, from the same weights; no dropout, no coins."""
    import torch

    found = {place.type: losses(place) for place in (torch.device("cpu"), device)}
    pairs = list(zip(found["cpu"], found[device.type], strict=True))
    apart = max(abs(one - other) / one for one, other in pairs)
    for number, (one, other) in enumerate(pairs):
        kind = "training" if number % 2 == 0 else "validation"
        print(f"epoch {number // 2 + 1}, {kind} loss: CPU {one:.6f}, {device.type} {other:.6f}")
    print(f"at most {apart:.1e} apart", flush=True)
    return {"losses": found, "apart": apart}


def losses(device: "torch.device") -> list[float]:
    """Training and validation loss of each of two epochs on made-up posts."""
    from benchmarks.train import drawn
    from hashgen.models import Place, model_class
    from hashgen.params import read_section
    from hashgen.params.train import Train

    section = read_section(Path("params.yaml"), Train)
    assert section.lstm is not None
    lstm = section.lstm.model_copy(update={"dropout": 0.0})
    section = section.model_copy(update={"lstm": lstm, "epochs": 2, "batch_size": 64, "teacher_forcing": 1.0})
    found: list[float] = []
    with TemporaryDirectory() as folder:
        place = Place(
            device, Path(folder) / "checkpoint", lambda epoch: found.extend((epoch.train_loss, epoch.val_loss))
        )
        model_class("lstm").fit(drawn(), section, place)
    return found


if __name__ == "__main__":
    typer.run(main)
