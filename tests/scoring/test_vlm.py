"""The user's own model as a baseline: what it is told, what is remembered, and how what it says is scored."""

import base64
import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from ruamel.yaml import YAML

from hashgen.base import progress
from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post, shard_paths, write_shards
from hashgen.metrics.scores import scores
from hashgen.models.habits import Habits
from hashgen.params import read_section
from hashgen.params.baselines import PROMPT, Baselines, Vlm
from hashgen.pictures.decode import BadPicture
from hashgen.scoring.baselines import best_baseline
from hashgen.scoring.vlm.asking import write
from hashgen.scoring.vlm.question import SIDE, sent_picture
from stages.baselines import main
from tests import ROOT
from tests.doubles.small_world import write_features
from tests.doubles.tls_double import Answer, Request, TlsDouble

TRAIN, VAL, TEST = 8, 3, 4
# Of the first post; nothing of it may leave.
SECRETS = ("trueword", "seedword", "author", "secretid", "secretfile", "camera", "Photographer")


def picture(number: int, side: int = 40) -> bytes:
    """A JPEG with as much metadata as one can hold."""
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x013B] = f"camera{number}", f"Photographer {number}"
    image = Image.new("RGB", (side, side), (number * 10, 255 - number * 10, 77))
    image.save(stream, "JPEG", exif=exif, comment=f"trueword{number}", icc_profile=f"Photographer{number}".encode())
    return stream.getvalue()


class World:
    """Inputs of the stage. Post n has the caption `caption number n` and the hashtags truewordN, love, sea."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        raw = root / "data" / "raw"
        raw.mkdir(parents=True)
        count = TRAIN + VAL + TEST
        pictures = [picture(number) for number in range(count)]
        write_shards(
            (
                Post(
                    id=f"secretid{number}", source="table", image=pictures[number],
                    caption=f"caption number {number} #trueword{number}", author=f"author{number}",
                    image_path=f"secretfile{number}.jpg",
                )
                for number in range(count)
            ),
            raw,
            posts_per_shard=6,
        )  # fmt: skip
        posts = pd.DataFrame(
            {
                "id": [f"secretid{number}" for number in range(count)],
                "caption": [f"caption number {number}" for number in range(count)],
                "hashtags": [[f"trueword{number}", "love", "sea"] for number in range(count)],
                "seed_hashtags": [[f"seedword{number}"] for number in range(count)],
                "author": [f"author{number}" for number in range(count)],
                "shard": [f"posts-{number // 6:05d}.parquet" for number in range(count)],
                "row": [number % 6 for number in range(count)],
                "image_sha256": [hashlib.sha256(one).hexdigest() for one in pictures],
            }
        )
        self.posts = posts
        write_features(root / "data" / "features", posts)
        (root / "data" / "manifest").mkdir()
        for name, part in self.parts().items():
            part.to_parquet(root / "data" / "manifest" / f"{name}.parquet", index=False)

    def parts(self) -> dict[str, pd.DataFrame]:
        bounds = {"train": (0, TRAIN), "val": (TRAIN, TRAIN + VAL), "test": (TRAIN + VAL, TRAIN + VAL + TEST)}
        return {name: self.posts[start:stop].reset_index(drop=True) for name, (start, stop) in bounds.items()}

    def set(self, **vlm: Any) -> None:
        """Write params.yaml with these keys of `baselines.vlm`; none: off."""
        yaml = YAML()
        document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        values = {"model": "gemma", "budget": 100, "timeout_seconds": 30.0, "remote": False}
        document["baselines"].update({"neighbours": 3, "bootstrap": 10, "vlm": (values | vlm) if vlm else None})
        with (self.root / "params.yaml").open("w", encoding="utf-8") as stream:
            yaml.dump(document, stream)

    @property
    def options(self) -> dict[str, Path]:
        data = self.root / "data"
        paths = {name: data / name for name in ("manifest", "features", "raw")}
        paths["predictions"] = self.root / "b.parquet"
        return paths | {"metrics": self.root / "b.json", "params": self.root / "params.yaml", "home": self.home}

    def run(self, **vlm: Any) -> Any:
        self.set(**vlm)
        main(**self.options)
        return json.loads((self.root / "b.json").read_text())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def text_of(request: Request) -> str:
    return str(json.loads(request.body)["messages"][0]["content"][0]["text"])


def number_of(request: Request) -> int:
    """Which post is asked about."""
    return int(re.findall(r"caption number (\d+)", text_of(request))[0])


def said(content: str) -> Answer:
    return Answer(body=json.dumps({"choices": [{"message": {"content": content}}]}).encode())


def knowing(request: Request) -> Answer:
    number = number_of(request)
    return said("I cannot tell." if number == TRAIN else f"#trueword{number} #unheard #sea #love")


Handler = Callable[[Request], Answer]


def asked(world: World, handler: Handler = knowing, **vlm: Any) -> tuple[Any, list[Request]]:
    """Metrics of a run against a server, and what it was sent."""
    with TlsDouble(handler) as double:
        metrics = world.run(url=f"{double.url}/v1", **vlm)
    return metrics, double.requests


def test_without_a_model_nothing_is_asked_and_raw_is_not_needed(world: World) -> None:
    world.set()
    main(**{name: path for name, path in world.options.items() if name not in ("raw", "home")})
    got = json.loads((world.root / "b.json").read_text())
    assert "vlm" not in got["val"] and "vlm" not in got["test"]
    assert not world.home.exists()


def test_each_post_of_validation_and_test_is_asked_once(world: World) -> None:
    _, requests = asked(world)
    assert [number_of(request) for request in requests] == list(range(TRAIN, TRAIN + VAL + TEST))
    body = json.loads(requests[0].body)
    assert body["model"] == "gemma" and body["temperature"] == 0
    assert text_of(requests[0]) == PROMPT.format(caption="caption number 8", count=10)


def test_nothing_but_picture_and_caption_leaves(world: World) -> None:
    _, requests = asked(world)
    assert len(requests) == VAL + TEST
    for request in requests:
        url = json.loads(request.body)["messages"][0]["content"][1]["image_url"]["url"]
        head, _, data = url.partition(",")
        assert head == "data:image/jpeg;base64"
        jpeg = base64.b64decode(data, validate=True)
        image = Image.open(io.BytesIO(jpeg))
        assert image.format == "JPEG" and set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        sent = request.body.decode() + str(request.headers) + request.path + request.query + jpeg.decode("latin-1")
        assert [secret for secret in SECRETS if secret.lower() in sent.lower()] == []
        # The only hashtags in it would be those of the prompt, and it has none.
        assert "#" not in text_of(request)


def test_hashtags_left_in_a_manifests_caption_do_not_leave(world: World) -> None:
    path = world.root / "data" / "manifest" / "test.parquet"
    frame = pd.read_parquet(path)
    frame.assign(caption=frame["caption"] + " #truewordleft #seedwordleft #other").to_parquet(path, index=False)
    _, requests = asked(world)
    assert not [request for request in requests if b"wordleft" in request.body]


def test_answers_are_scored_as_every_baseline_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    metrics, _ = asked(world)
    train, test = world.parts()["train"], world.parts()["test"]
    habits = Habits(list(train["hashtags"]))
    rankings = [
        habits.fill([f"trueword{number}", "unheard", "sea", "love"], 10)
        for number in range(TRAIN + VAL, TRAIN + VAL + TEST)
    ]
    got = metrics["test"]["vlm"]
    figures = scores([write(one, habits) for one in rankings], list(test["hashtags"]), rankings=rankings)
    for name in ("p_at_1", "r_at_5", "f1_at_5", "f1", "bleu1"):
        assert got[name] == round(figures[name], 4)
    assert got["p_at_1"] == 1 and got["posts"] == TEST and got["unusable"] == 0 and got["model"] == "gemma"
    assert got.keys() == metrics["test"]["popularity"].keys() | {"unusable", "model"}
    # One answer of three holds no hashtag: it gets what is popular.
    assert metrics["val"]["vlm"]["unusable"] == 1
    assert metrics["val"]["vlm"]["p_at_1"] == 1  # love, which is popular, is true too
    assert best_baseline(metrics["test"]) == "vlm"
    table = pd.read_parquet(world.root / "b.parquet")
    rows = table[(table["name"] == "vlm") & (table["split"] == "test")]
    assert list(rows["id"]) == list(test["id"]) and [list(one) for one in rows["ranked"]] == rankings
    assert [list(one) for one in rows["written"]] == [write(one, habits) for one in rankings]
    junk = table[(table["name"] == "vlm") & (table["split"] == "val")].iloc[0]
    assert list(junk["ranked"]) == habits.fill([], 10)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "baselines: vlm: 1 of 7 answers hold no hashtag"
    assert out[1].startswith("baselines: best by validation F1@5: vlm; on test P@1 1.000")


def test_junk_gets_what_popularity_gets(world: World) -> None:
    metrics, _ = asked(world, lambda _: said("No idea, sorry!"))
    for split in ("val", "test"):
        vlm, popular = metrics[split]["vlm"], metrics[split]["popularity"]
        assert vlm == popular | {"unusable": vlm["posts"], "model": "gemma"}


def test_hashtags_that_training_has_not_are_written_in_the_middle() -> None:
    habits = Habits([["first", "mid", "last"], ["first", "mid", "last"]])
    assert write(["unheard", "last", "first", "mid"], habits) == ["first", "unheard", "last"]


def test_what_is_known_is_not_asked_again(world: World) -> None:
    first, _ = asked(world)
    again, requests = asked(world)  # at another address
    assert requests == [] and again == first
    # Nor is a server needed.
    assert world.run(url="http://127.0.0.1:1/v1") == first
    assert len(asked(world, model="other")[1]) == VAL + TEST
    assert len(asked(world, prompt="{caption}, in {count} words. {")[1]) == VAL + TEST


def test_the_prompt_is_filled_in_once(world: World) -> None:
    world.posts["caption"] = [f"caption number {number} {{count}}" for number in range(len(world.posts))]
    world.parts()["test"].to_parquet(world.root / "data" / "manifest" / "test.parquet", index=False)
    _, requests = asked(world, prompt='{count}: {caption} {"a": 1}')
    assert text_of(requests[-1]) == '10: caption number 14 {count} {"a": 1}'


def test_the_same_picture_and_caption_are_one_question(world: World) -> None:
    path = world.root / "data" / "manifest" / "test.parquet"
    frame = pd.read_parquet(path)
    for name in ("caption", "shard", "row", "image_sha256"):
        frame[name] = frame[name].iloc[0]
    frame.to_parquet(path, index=False)
    metrics, requests = asked(world, budget=VAL + 1)
    assert len(requests) == VAL + 1 and metrics["test"]["vlm"]["posts"] == TEST


def test_a_spent_budget_scores_nothing_and_the_next_run_goes_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for left in (4, 1):
        metrics, requests = asked(world, budget=3)
        assert len(requests) == 3
        assert "vlm" not in metrics["val"] and "vlm" not in metrics["test"] and "popularity" in metrics["test"]
        assert "vlm" not in set(pd.read_parquet(world.root / "b.parquet")["name"])
        assert capsys.readouterr().err == (
            f"baselines: vlm is not scored: {left} of 7 posts are not answered, and baselines.vlm.budget is spent; "
            "to go on, run: dvc repro -f -s baselines\n"
        )
    metrics, requests = asked(world, budget=3)
    assert len(requests) == 1
    assert metrics == asked(world)[0] and "vlm" in metrics["test"]


def test_asking_shows_how_far_it_is(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    monkeypatch.setenv(progress.QUIET, "0")
    asked(world)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("baselines: vlm: ")]
    assert [line.split(" answers, ")[0] for line in lines] == [f"baselines: vlm: {done} of 7" for done in range(1, 8)]
    assert all(re.search(r" answers, [\d.]+ answers/s, \d+ s left$", line) for line in lines)


def test_an_error_keeps_the_answers_before_it_and_the_old_metrics(world: World) -> None:
    (world.root / "b.json").write_text("old")

    def failing(request: Request) -> Answer:
        return knowing(request) if number_of(request) < TRAIN + 4 else Answer(404)

    with pytest.raises(HashgenError, match="no model 'gemma'"):
        asked(world, failing)
    assert (world.root / "b.json").read_text() == "old"
    assert len(asked(world)[1]) == VAL + TEST - 4


def test_a_kill_loses_no_more_than_the_answer_in_flight(world: World) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def killing(request: Request) -> Answer:
        if number_of(request) == TRAIN + 3:
            os.kill(processes[0].pid, signal.SIGKILL)
        return knowing(request)

    with TlsDouble(killing) as double:
        world.set(url=f"{double.url}/v1")
        command = [sys.executable, "-m", "stages.baselines"]
        for name, path in world.options.items():
            if name != "home":
                command += [f"--{name}", str(path)]
        environment = os.environ | {"HASHGEN_HOME": str(world.home), "PYTHONPATH": str(ROOT)}
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        assert processes[0].wait() == -signal.SIGKILL
    assert not (world.root / "b.json").exists()
    assert [number_of(request) for request in asked(world)[1]] == [11, 12, 13, 14]


def test_remembered_are_answers_alone(world: World) -> None:
    asked(world)
    path = world.home / "vlm" / "answers.sqlite"
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT question, answer FROM answers").fetchall()
    database.close()
    assert {len(question) for question, _ in rows} == {32}
    assert sorted(answer for _, answer in rows)[0] == "#trueword10 #unheard #sea #love"
    assert b"caption number" not in path.read_bytes()


def test_a_damaged_memory_is_set_aside(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = world.home / "vlm" / "answers.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 1000)
    metrics, requests = asked(world)
    assert len(requests) == VAL + TEST and "vlm" in metrics["test"]
    assert path.with_suffix(".damaged").is_file()
    assert "is damaged" in capsys.readouterr().err


def test_a_memory_that_cannot_be_written_is_said(world: World) -> None:
    (world.home / "vlm" / "answers.sqlite").mkdir(parents=True)
    with pytest.raises(HashgenError, match="the remembered answers cannot be used"):
        asked(world)


def test_pictures_that_changed_or_are_gone_are_named(world: World) -> None:
    path = world.root / "data" / "manifest" / "test.parquet"
    good = pd.read_parquet(path)
    good.assign(image_sha256="0" * 64).to_parquet(path, index=False)
    with pytest.raises(HashgenError, match=r"posts-00001\.parquet row 5: the picture has changed since the filter ran"):
        asked(world)
    good.assign(row=99).to_parquet(path, index=False)
    with pytest.raises(HashgenError, match="has fewer rows than when the filter ran; run the stage filter again"):
        asked(world)
    good.drop(columns=["row", "shard"]).to_parquet(path, index=False)
    with pytest.raises(HashgenError, match="manifest: no column shard, row; run the stage split again"):
        asked(world)
    good.to_parquet(path, index=False)
    shard_paths(world.root / "data" / "raw")[1].unlink()
    with pytest.raises(HashgenError, match=r"posts-00001\.parquet: no such file; the stage scrape creates it"):
        asked(world)


def test_the_stage_says_that_it_needs_the_pictures(world: World) -> None:
    world.set(url="http://127.0.0.1:1/v1")
    with pytest.raises(HashgenError, match=r"^--raw: baselines\.vlm needs the pictures; name the folder"):
        main(**{name: path for name, path in world.options.items() if name != "raw"})


def test_an_address_elsewhere_is_refused_before_a_picture_is_read(world: World) -> None:
    for path in shard_paths(world.root / "data" / "raw"):
        path.unlink()
    with pytest.raises(HashgenError, match=r"10\.0\.0\.1 is not this machine"):
        world.run(url="http://10.0.0.1/v1")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def formats() -> Iterator[tuple[bytes, tuple[int, int]]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Photographer")
    wide = Image.new("RGB", (1000, 300), "red")
    yield encoded(wide, "JPEG", exif=exif), (154, SIDE)  # turned by its EXIF
    yield encoded(wide, "PNG", pnginfo=text), (SIDE, 154)
    yield encoded(wide.convert("RGBA"), "WEBP", xmp=b"Photographer"), (SIDE, 154)
    yield encoded(wide.convert("P"), "GIF", comment=b"Photographer"), (SIDE, 154)
    yield encoded(wide.resize((40, 40)), "PNG", pnginfo=text, icc_profile=b"Photographer"), (40, 40)
    yield encoded(wide.resize((5000, 1)), "PNG"), (SIDE, 1)


@pytest.mark.parametrize(("data", "size"), list(formats()))
def test_pictures_are_sent_small_upright_and_bare(data: bytes, size: tuple[int, int]) -> None:
    sent = sent_picture(data)
    image = Image.open(io.BytesIO(sent))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", size)
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"} and not image.getexif()
    assert b"Photographer" not in sent
    assert np.abs(np.asarray(image, np.int64)[0, 0] - (254, 0, 0)).max() < 4


def test_what_is_no_picture_is_not_sent() -> None:
    with pytest.raises(BadPicture, match="not_an_image"):
        sent_picture(b"no picture")


def test_the_default_prompt_names_no_hashtag() -> None:
    assert "#" not in PROMPT
    vlm = Vlm(url="http://127.0.0.1", model="m", budget=1, timeout_seconds=1.0)
    assert vlm.fill("a {count} b", 7) == PROMPT.replace("{count}", "7").replace("{caption}", "a {count} b")


def read(folder: Path, **vlm: Any) -> Baselines:
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values = {"url": "http://127.0.0.1:11434/v1", "model": "m", "prompt": None, "budget": 9, "timeout_seconds": 9}
    document["baselines"]["vlm"] = values | vlm
    with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)
    return read_section(folder / "params.yaml", Baselines)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434/v1",
        "http://localhost",
        "https://vlm.example/api/v1/",
        "http://[::1]:8080/v1",
        "HTTP://My_Host:1/~x",
    ],
)
def test_addresses_that_may_be(tmp_path: Path, url: str) -> None:
    vlm = read(tmp_path, url=url).vlm
    assert vlm is not None and vlm.url == url and not vlm.remote and vlm.prompt is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("url", url) for url in ("", "127.0.0.1:11434", "ftp://127.0.0.1/v1", "http://", "http:///v1", "file:///x")),
        *(
            ("url", f"http://{odd}/v1")
            for odd in ("a@127.0.0.1", "a:b@127.0.0.1", "x.example\\@127.0.0.1", "ä.example")
        ),
        *(("url", f"http://127.0.0.1/v1{odd}") for odd in ("?key=a", "#a", " ", "\n", "%2e", "\\")),
        *(("url", f"http://127.0.0.1{odd}") for odd in (":", ":x", ":123456", ".evil.example@x")),
        ("url", None),
        ("model", ""),
        ("prompt", ""),
        ("prompt", "tags for {captoin}"),
        ("budget", 0),
        ("budget", 1.5),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("inf")),
        ("remote", "yes"),
        ("key", "sk-1"),
    ],
)
def test_values_that_may_not_be(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(HashgenError, match=rf": baselines\.vlm\.{key}: "):
        read(tmp_path, **{key: value})


def test_labels_are_of_no_use_to_the_question(world: World) -> None:
    """Other hashtags, seeds, ids and authors: the same requests, to the byte."""
    _, before = asked(world)
    for name in ("val", "test"):
        path = world.root / "data" / "manifest" / f"{name}.parquet"
        table = pq.read_table(path)
        other = pa.array([["leak"]] * table.num_rows)
        for column in ("hashtags", "seed_hashtags"):
            table = table.set_column(table.column_names.index(column), column, other)
        table = table.set_column(table.column_names.index("author"), "author", pa.array(["leak"] * table.num_rows))
        pq.write_table(table, path)
    world.home = world.root / "other"
    _, after = asked(world)
    assert [request.body for request in after] == [request.body for request in before]
