"""The stage scrape with a table: what it writes and counts, that it repeats itself, and how much memory it takes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from stages.scrape import main
from tests import ROOT


def options(folder: Path, path: str, **columns: str | None) -> dict[str, Any]:
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["scrape"]["source"] = "table"
    params["scrape"]["table"]["path"] = path
    params["scrape"]["table"]["columns"] |= columns
    folder.mkdir(parents=True, exist_ok=True)
    YAML().dump(params, folder / "params.yaml")
    names = {"out": "data/raw", "truth": "data/truth.parquet", "metrics": "metrics/scrape.json"}
    return {option: folder / name for option, name in (names | {"params": "params.yaml", "home": "home"}).items()}


def outputs(folder: Path) -> dict[str, bytes]:
    files = (path for part in ("data", "metrics") for path in (folder / part).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_table_with_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"caption": "one #a", "image": "0.jpg", "who": "ann", "when": "2019-01-01"},
        {"caption": "two #a", "image": "gone.jpg", "when": "some day"},
        ["no row"],
    ]
    (tmp_path / "0.jpg").write_bytes(b"picture")
    (tmp_path / "posts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    given = options(tmp_path / "run", str(tmp_path / "posts.jsonl"), author="who", date="when")
    main(**given)
    assert json.loads(given["metrics"].read_text()) == {
        "source": "table",
        "posts": 2,
        "with_image": 1,
        "with_author": 1,
        "with_date": 1,
        "with_seed_hashtags": 0,
        "shards": 1,
        "broken_rows": 1,
        "rows_without_file": 1,
        "files_without_rows": 0,
        "unread_dates": 1,
        "unread_hashtags": 0,
        "decoded_captions": 0,
        "mended_rows": 0,
        "doubtful_rows": 0,
        "shared_ids": 0,
        "linked_folders": 0,
        "unread_files": 0,
    }
    captured = capsys.readouterr()
    assert captured.out == "scrape: 2 posts from table, 1 with a picture\n"
    assert "broken rows skipped (posts.jsonl line 3: not a JSON object)" in captured.err
    raw = pd.read_parquet(given["out"])
    assert raw["source"].tolist() == ["table"] * 2 and "ann" not in str(raw["author"].tolist())
    first = outputs(tmp_path / "run")
    main(**given)
    assert outputs(tmp_path / "run") == first


def test_a_relative_path_starts_at_the_repository_in_experiments_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "posts.csv").write_text("caption,image\nx,a.jpg\n")
    (tmp_path / "a.jpg").write_bytes(b"picture")
    for place in ("repository", "repository/.dvc/tmp/exps/tmp1234"):
        given = options(tmp_path / place, "../posts.csv")
        monkeypatch.chdir(tmp_path / place)
        main(**given)
        assert json.loads(given["metrics"].read_text())["with_image"] == 1


def test_a_table_that_breaks_off_leaves_the_old_outputs(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pictures = [os.urandom(100) for _ in range(5000)]
    pq.write_table(pa.table({"caption": ["x"] * 5000, "image": pictures}), path, row_group_size=1000)
    given = options(tmp_path / "run", str(path))
    main(**given)
    before = outputs(tmp_path / "run")
    place = pq.read_metadata(path).row_group(3).column(1).data_page_offset
    data = path.read_bytes()
    path.write_bytes(data[:place] + b"\xff" * 1000 + data[place + 1000 :])
    with pytest.raises(HashgenError, match=r"p\.parquet: not a readable Parquet file"):
        main(**given)
    assert outputs(tmp_path / "run") == before


def test_columns_that_few_tables_have_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("caption,image,licence\nx,a.jpg,CC0\n")
    given = options(tmp_path, str(tmp_path / "posts.csv"))
    params = YAML().load(given["params"].read_text())
    del params["scrape"]["table"]["columns"]["licence"], params["scrape"]["table"]["columns"]["seed_hashtags"]
    YAML().dump(params, given["params"])
    main(**given)
    assert pd.read_parquet(given["out"])["licence"].isna().all()


STAGE = """
from pathlib import Path
from stages.command import run
from stages.scrape import main

def peak():  # MiB; getrusage would count what the parent process had
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) // 1024

start = peak()
try:
    run(main)
finally:
    print("peak", peak() - start)
"""


def pictures_in_one_row_group(path: Path, rows: int, kind: pa.DataType) -> None:
    """Rows of 100 kB each, no two alike."""
    noise = os.urandom(100_000 + rows)
    chunks = []
    for start in range(0, rows, 100):
        chunk = pa.array([noise[place : place + 100_000] for place in range(start, start + 100)])
        if pa.types.is_struct(kind):
            chunk = pa.StructArray.from_arrays([chunk, pa.nulls(100, pa.string())], ["bytes", "path"])
        chunks.append(chunk.cast(kind))
    columns: dict[str, Any] = {"caption": ["some words #food"] * rows, "image": pa.chunked_array(chunks)}
    pq.write_table(pa.table(columns), path, row_group_size=rows, use_dictionary=False, compression="none")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
@pytest.mark.parametrize(
    "kind",
    [pa.struct([("bytes", pa.binary()), ("path", pa.string())]), pa.dictionary(pa.int32(), pa.binary())],
    ids=["struct", "dictionary"],
)
def test_one_great_row_group_takes_little_memory(tmp_path: Path, kind: pa.DataType) -> None:
    pictures_in_one_row_group(tmp_path / "p.parquet", 4000, kind)
    given = options(tmp_path / "run", str(tmp_path / "p.parquet"))
    words = [word for name, path in given.items() for word in (f"--{name}", str(path))]
    stage = subprocess.run(
        [sys.executable, "-c", STAGE, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert stage.returncode == 0, stage.stderr
    assert json.loads(given["metrics"].read_text())["with_image"] == 4000
    # The group alone has 400 MB; read as a whole it takes 650. What is written at a time takes most of the rest.
    assert int(stage.stdout.split()[-1]) < 480
