"""The stage scrape: both sources, what it counts and warns of, and that outputs are all there or none."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post, read_shard, shard_paths
from hashgen.corpus.tables import TRUTH_SCHEMA
from hashgen.sources.sample.source import SampleSource
from stages.scrape import main
from tests import ROOT


def paths(folder: Path, source: str, path: str = "photos", posts: int = 30) -> dict[str, Any]:
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["scrape"]["source"] = source
    params["scrape"]["folder"]["path"] = path
    params["scrape"]["sample"] |= {"posts": posts, "image_size": 64}
    YAML().dump(params, folder / "params.yaml")
    names = {"out": "data/raw", "truth": "data/truth.parquet", "metrics": "metrics/scrape.json"}
    return {option: folder / name for option, name in names.items()} | {
        "params": folder / "params.yaml",
        "home": folder / "home",
    }


def make_photos(folder: Path, rows: list[Any], files: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"{number}.jpg").write_bytes(b"picture %d" % number)
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def outputs(options: dict[str, Path]) -> dict[str, bytes]:
    root = options["params"].parent
    files = (path for part in ("data", "metrics") for path in (root / part).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = paths(tmp_path, "sample")
    main(**options)
    ids = [record["id"] for shard in shard_paths(options["out"]) for _, record in read_shard(shard, ["id"])]
    truth = pq.read_table(options["truth"])
    metrics = json.loads(options["metrics"].read_text())
    assert len(ids) == metrics["posts"] == 30 and metrics["source"] == "sample" and metrics["shards"] == 1
    assert truth.schema.equals(TRUTH_SCHEMA) and set(truth.column("id").to_pylist()) == set(ids)
    captured = capsys.readouterr()
    assert captured.out.startswith("scrape: 30 posts from sample") and captured.err == ""
    assert not options["home"].exists()
    first = outputs(options)
    main(**options)
    assert outputs(options) == first


def test_a_folder_with_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"file_name": "0.jpg", "text": "one #a", "author": "ann", "date": "2019-01-01", "seed_hashtags": ["a"]},
        {"file_name": "gone.jpg", "text": "two #a", "date": "some day"},
        ["no row"],
    ]
    make_photos(tmp_path / "photos", rows)
    options = paths(tmp_path, "folder", str(tmp_path / "photos"))
    main(**options)
    assert json.loads(options["metrics"].read_text()) == {
        "source": "folder",
        "posts": 2,
        "with_image": 1,
        "with_author": 1,
        "with_date": 1,
        "with_seed_hashtags": 1,
        "shards": 1,
        "broken_rows": 1,
        "rows_without_file": 1,
        "files_without_rows": 2,
        "unread_dates": 1,
        "unread_hashtags": 0,
        "decoded_captions": 0,
        "mended_rows": 0,
        "doubtful_rows": 0,
        "shared_ids": 0,
        "linked_folders": 0,
        "unread_files": 0,
    }
    errors = capsys.readouterr().err.splitlines()
    assert "1 broken rows skipped (metadata.jsonl line 3: not a JSON object)" in errors[0]
    assert len(errors) == 4 and all(line.startswith("warning: ") for line in errors)
    truth = pq.read_table(options["truth"])
    assert truth.num_rows == 0 and truth.schema.equals(TRUTH_SCHEMA)
    assert "ann" not in str(pd.read_parquet(options["out"])["author"].tolist())


def test_a_relative_path_starts_at_the_repository_in_experiments_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(tmp_path / "photos", [{"file_name": "0.jpg", "text": "x"}])
    for place in ("repository", "repository/.dvc/tmp/exps/tmp1234"):
        here = tmp_path / place
        here.mkdir(parents=True)
        monkeypatch.chdir(here)
        options = paths(here, "folder", "../photos")
        main(**options)
        assert json.loads(options["metrics"].read_text())["posts"] == 1


@pytest.mark.parametrize("rows", [[], [["broken"]]])
def test_a_folder_without_posts_leaves_the_old_outputs(tmp_path: Path, rows: list[Any]) -> None:
    make_photos(tmp_path / "photos", [{"file_name": "0.jpg", "text": "x"}])
    options = paths(tmp_path, "folder", str(tmp_path / "photos"))
    main(**options)
    before = outputs(options)
    make_photos(tmp_path / "photos", rows)
    with pytest.raises(HashgenError, match=r"metadata\.jsonl"):
        main(**options)
    assert outputs(options) == before


def test_a_source_without_posts_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SampleSource, "posts", lambda self: iter(()))
    options = paths(tmp_path, "sample")
    with pytest.raises(HashgenError, match=r"scrape\.source: sample gave no posts"):
        main(**options)
    assert outputs(options) == {}


@pytest.mark.parametrize(
    "failing", ["stages.scrape.write_shards", "hashgen.corpus.tables.pq.write_table", "stages.scrape.shard_paths"]
)
def test_an_error_at_any_write_leaves_the_old_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    options = paths(tmp_path, "sample")
    main(**options)
    before = outputs(options)
    paths(tmp_path, "sample", posts=40)

    def fail(*args: object, **named: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="disk full"):
        main(**options)
    assert outputs(options) == before


STAGE = """
import sys, time
from hashgen.sources.sample.source import SampleSource
from stages.command import run
from stages.scrape import main

def posts(self, read=SampleSource.posts):
    for number, post in enumerate(read(self)):
        yield post
        if number == 5:
            print("writing", flush=True)
            time.sleep(60)

SampleSource.posts = posts
run(main)
"""


def test_a_kill_leaves_the_old_outputs_and_the_next_run_sweeps_up(tmp_path: Path) -> None:
    options = paths(tmp_path, "sample")
    main(**options)
    before = outputs(options)
    words = [word for name, path in options.items() for word in (f"--{name}", str(path))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", STAGE, *words], stdout=subprocess.PIPE, env=environment) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == b"writing\n"
        stage.send_signal(signal.SIGKILL)
    assert {name: data for name, data in outputs(options).items() if ".partial" not in name} == before
    main(**options)
    assert outputs(options) == before


def test_posts_pass_through_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage must not gather the posts of a source before it writes them."""
    pulled: list[int] = []

    def endless(self: SampleSource) -> Any:
        for number in range(10):
            pulled.append(number)
            yield Post(id=str(number), source="sample")

    def write(posts: Any, folder: Path) -> int:
        next(iter(posts))
        assert pulled == [0]
        raise OSError("seen enough")

    monkeypatch.setattr(SampleSource, "posts", endless)
    monkeypatch.setattr("stages.scrape.write_shards", write)
    with pytest.raises(OSError, match="seen enough"):
        main(**paths(tmp_path, "sample"))
