"""Training speed: the project's training against a plain loop, an older checkout, and two trainings side by side.

    python -m benchmarks.train
    python -m benchmarks.train --against ../older-checkout --json train.json

Each rival is a process of its own that learns the posts of data/ (made-up ones where that is missing) with the settings
of params.yaml. They take turns, an epoch each, so that what else the machine does falls on all; medians are compared.
Seconds are those of the training steps: scores and the checkpoint after an epoch do not count.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from hashgen.models import Data
    from hashgen.params.train import Train

ROOT = Path(__file__).resolve().parent.parent
DIM = 2048


def main(
    data: Annotated[Path, typer.Option(help="Folder of manifest/, vocab/ and features/.")] = Path("data"),
    against: Annotated[Path | None, typer.Option(help="Another checkout of this project to compare with.")] = None,
    model: Annotated[str, typer.Option(help="lstm or attention; the plain loop is always the paper's model.")] = "lstm",
    rounds: Annotated[int, typer.Option(min=1, help="Epochs that count; one more goes before.")] = 3,
    posts: Annotated[int | None, typer.Option(min=100, help="Training posts an epoch; else all.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Posts a batch; else that of params.yaml.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print posts a second, and how many times as many as the first rival."""
    if worker is not None:
        return work(worker, data, model, posts, batch, device, rounds + 1)
    cores = os.cpu_count() or 1
    rivals = {"plain loop": [Rival("plain", ROOT, cores)]}
    if against is not None:
        rivals["older checkout"] = [Rival("hashgen", against.resolve(), cores)]
    rivals["today"] = [Rival("hashgen", ROOT, cores)]
    if device != "cuda" and cores > 1:
        rivals["today, half of the cores"] = [Rival("hashgen", ROOT, max(1, cores // 2))]
        rivals["today, two side by side"] = [Rival("hashgen", ROOT, max(1, cores // 2)) for _ in range(2)]
    options = ["--data", str(data.resolve()), "--model", model, "--device", device, "--rounds", str(rounds)]
    options += [] if batch is None else ["--batch", str(batch)]
    options += [] if posts is None else ["--posts", str(posts)]
    for rival in (one for several in rivals.values() for one in several):
        rival.start(options)
    rates = race(rivals, rounds)
    first = statistics.median(rates["plain loop"])
    print("| training | posts a second | least to most | × plain loop |\n|---|---|---|---|")
    for name, found in rates.items():
        median = statistics.median(found)
        print(f"| {name} | {median:.0f} | {min(found):.0f} to {max(found):.0f} | {median / first:.2f} |")
    if out is not None:
        out.write_text(json.dumps({"posts a second": rates, "cores": cores, "options": options}, indent=2))


def race(rivals: dict[str, list["Rival"]], rounds: int) -> dict[str, list[float]]:
    """Posts a second of each rival in each round; several processes of one rival train at once, and add up."""
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, several in rivals.items():
            for one in several:
                one.go()
            epochs = [one.wait() for one in several]
            if number:  # the first warms up
                rates[name].append(sum(epoch["posts"] / epoch["seconds"] for epoch in epochs))
    return rates


class Rival:
    """A process that trains an epoch each time that it is told to."""

    def __init__(self, kind: str, checkout: Path, threads: int) -> None:
        self.kind, self.checkout, self.threads = kind, checkout, threads

    def start(self, options: list[str]) -> None:
        """Start the process and wait until its data is read."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self.checkout), os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": str(self.threads),
            "GOMP_SPINCOUNT": "10000",  # as `hashgen.commands.user_errors` sets it
            "HASHGEN_QUIET": "1",
        }
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", self.kind, *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=self.checkout
        )
        self.wait()

    def go(self) -> None:
        """Let it train an epoch."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait(self) -> Any:
        """What it says next."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self.kind} in {self.checkout} has ended")
        return json.loads(line)


def work(kind: str, folder: Path, name: str, posts: int | None, batch: int | None, device: str, epochs: int) -> None:
    """Train an epoch for each line of the standard input; a line of JSON for each to the standard output."""
    import numpy as np

    from hashgen.base.devices import choose_device
    from hashgen.features.posts import Labelled
    from hashgen.models import Data
    from hashgen.params import read_section
    from hashgen.params.train import Train
    from hashgen.training.similarity import take

    section = read_section(Path("params.yaml"), Train)
    changes = {"model": name, "epochs": epochs, "patience": None}
    section = Train(**dict(section) | changes | ({} if batch is None else {"batch_size": batch}))
    data = read(folder, section) if (folder / "manifest").exists() else drawn()
    if posts is not None and posts < len(data.train):
        part = Labelled(take(data.train.posts, np.arange(posts)), data.train.hashtags[:posts])
        data = Data(part, data.val, data.vocabularies)
    say({})
    (plain if kind == "plain" else whole)(data, section, choose_device(device))


def say(what: dict[str, float]) -> None:
    """Print a line for the process that started this one, and wait for its answer."""
    print(json.dumps(what), flush=True)
    if not sys.stdin.readline():
        sys.exit()


def read(folder: Path, section: "Train") -> "Data":
    """The posts that the stages have made."""
    from hashgen.features.store import FeatureStore, read_labelled
    from hashgen.models import Data
    from hashgen.text.vocabulary import Vocabularies

    store = FeatureStore.open(folder / "features")
    train, val = (read_labelled(folder / "manifest", split, store, section.sentiment) for split in ("train", "val"))
    return Data(train, val, Vocabularies.load(folder / "vocab"))


def drawn() -> "Data":
    """Posts of noise: about the sample's number, captions of up to 60 words, up to 14 hashtags."""
    import numpy as np

    from hashgen.features.posts import Features, Labelled, Posts
    from hashgen.models import Data
    from hashgen.text.vocabulary import Vocabularies, build_vocabulary, embed
    from hashgen.text.words import tokenise

    rng, parts = np.random.default_rng(1), []
    names = ["".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, 7)) for _ in range(1500)]
    for posts in (1800, 200):
        captions = [" ".join(rng.choice(names, rng.integers(5, 60))) for _ in range(posts)]
        hashtags = [list(rng.choice(names[:300], rng.integers(2, 15), replace=False)) for _ in range(posts)]
        vectors = rng.normal(size=(posts, 2, DIM)).astype(np.float16)
        features = Features(vectors[:, 0], vectors[:, 1:])
        parts.append(Labelled(Posts(features, np.arange(posts), captions), hashtags))
    words = build_vocabulary([tokenise(caption) for caption in parts[0].posts.captions], 2)
    tags = build_vocabulary(parts[0].hashtags, 3)
    embedded = [embed(known, 300, None, 1, split_words=False).vectors for known in (words, tags)]
    # Both parts must have their pictures in one store.
    both = Features(
        *(np.concatenate([getattr(one.posts.features, kind) for one in parts]) for kind in ("plain", "views"))
    )
    train, val = (
        Labelled(Posts(both, one.posts.rows + start, one.posts.captions), one.hashtags)
        for one, start in zip(parts, (0, 1800), strict=True)
    )
    return Data(train, val, Vocabularies(words, tags, *embedded))


def whole(data: "Data", section: "Train", device: "torch.device") -> None:
    """The project's training, its steps timed."""
    from hashgen.models import Place, model_class
    from hashgen.training import fit

    # Older checkouts have a function for an epoch.
    owner, name = (fit._Training, "learn") if hasattr(fit, "_Training") else (fit, "_train_epoch")
    steps, seconds = getattr(owner, name), [0.0]

    def timed(*arguments: Any) -> float:
        begin = time.perf_counter()
        loss = steps(*arguments)  # a number on the CPU: the device has ended its work
        seconds.append(time.perf_counter() - begin)
        return loss

    setattr(owner, name, timed)
    posts = sum(bool(data.vocabularies.hashtags.encode_known(hashtags)) for hashtags in data.train.hashtags)
    with TemporaryDirectory() as folder:
        place = Place(
            device,
            Path(folder) / "checkpoint",
            lambda epoch: say(
                {
                    "posts": posts,
                    "seconds": seconds[-1],
                    "train_loss": epoch.train_loss,
                    "val_loss": epoch.val_loss,
                    "val_f1": epoch.val_f1,
                }
            ),
        )
        model_class(section.model).fit(data, section, place)


def plain(data: "Data", section: "Train", device: "torch.device") -> None:
    """The loop that one would write first: Python objects, packed captions, cell by cell with the gradient through it.

    The recipe is that of the project: sizes, dropout, forcing by coins, clipping, Adam, cosine annealing.
    """
    import random

    import numpy as np
    import torch
    from torch import Tensor, nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
    from torch.utils.data import DataLoader

    from hashgen.training.dataset import make_examples

    assert section.lstm is not None
    sizes, known = section.lstm, data.vocabularies
    examples = make_examples(
        data.train.posts, known, section.caption_length, section.hashtag_length, data.train.hashtags
    ).learnable()

    class Network(nn.Module):
        def __init__(self, feature: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(feature, momentum=sizes.batch_norm_momentum)
            self.picture = nn.Linear(feature, sizes.hidden)
            self.words = nn.Embedding.from_pretrained(torch.tensor(known.word_vectors), freeze=False, padding_idx=0)
            self.hashtags = nn.Embedding.from_pretrained(
                torch.tensor(known.hashtag_vectors), freeze=False, padding_idx=0
            )
            dimension = known.word_vectors.shape[1]
            self.reader = nn.LSTM(dimension, sizes.hidden, batch_first=True)
            self.join = nn.Linear(2 * sizes.hidden, sizes.hidden)
            self.first = nn.Linear(sizes.hidden, 2 * sizes.hidden)
            self.writer = nn.LSTMCell(dimension + sizes.hidden, sizes.hidden)
            self.output = nn.Linear(sizes.hidden, len(known.hashtags))
            self.dropout = nn.Dropout(sizes.dropout)

        def forward(self, picture: Tensor, words: Tensor, lengths: Tensor, inputs: Tensor) -> Tensor:
            seen = torch.tanh(self.picture(nn.functional.normalize(self.norm(picture), dim=1)))
            embedded = self.dropout(self.words(words))
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            read = self.reader(packed)[1][0][-1]
            joined = self.dropout(torch.tanh(self.join(torch.cat([seen, read], dim=1))))
            hidden, cell = self.first(joined).chunk(2, dim=1)
            hidden, token, logits = torch.tanh(hidden), inputs[:, 0], []
            for step in range(inputs.shape[1]):
                given = torch.cat([self.dropout(self.hashtags(token)), joined], dim=1)
                hidden, cell = self.writer(given, (hidden, cell))
                logits.append(self.output(self.dropout(hidden)))
                if step + 1 < inputs.shape[1]:
                    true = torch.rand(len(inputs), device=inputs.device) < section.teacher_forcing
                    token = torch.where(true, inputs[:, step + 1], logits[-1].argmax(1))
            return torch.stack(logits, dim=1)

    class Posts(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(examples)

        def __getitem__(self, index: int) -> Any:
            row, features = examples.rows[index], data.train.posts.features
            view = random.randint(-1, features.views.shape[1] - 1)
            picture = features.plain[row] if view < 0 else features.views[row, view]
            hashtags = examples.hashtags[index]
            ends = torch.tensor([2, *hashtags]), torch.tensor([*hashtags, 3])
            return torch.tensor(np.asarray(picture, np.float32)), torch.tensor(examples.words[index]), *ends

    def collate(posts: list[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        pictures, words, inputs, targets = zip(*posts, strict=True)
        lengths = torch.tensor([len(one) for one in words])
        padded = (pad_sequence(list(part), batch_first=True) for part in (words, inputs, targets))
        return torch.stack(pictures), next(padded), lengths, *padded

    torch.manual_seed(section.seed)
    network = Network(data.train.posts.features.dim).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), section.learning_rate, weight_decay=section.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, section.restart_epochs)
    loader = DataLoader(Posts(), section.batch_size, shuffle=True, collate_fn=collate, drop_last=False)
    for epoch in range(section.epochs):
        begin, total = time.perf_counter(), 0.0
        for step, (picture, words, lengths, inputs, targets) in enumerate(loader):
            optimiser.zero_grad()
            logits = network(picture.to(device), words.to(device), lengths, inputs.to(device))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=0)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), section.clip_norm or float("inf"))
            optimiser.step()
            schedule.step(epoch + step / len(loader))
            total += loss.item()
        seconds = time.perf_counter() - begin
        say({"posts": len(examples), "seconds": seconds, "train_loss": total / len(loader)})


if __name__ == "__main__":
    typer.run(main)
