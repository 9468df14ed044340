"""The stage filter on the sample and on absurd pictures: what it writes, says and leaves behind."""

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post, row_groups, write_shards
from hashgen.corpus.tables import POSTS_SCHEMA, REJECTS_SCHEMA
from hashgen.filtering.judging import judge_all
from hashgen.params import read_params
from hashgen.sources.sample.source import SampleSource
from stages.filter import main
from tests import ROOT
from tests.filtering.test_judging import many, section

CAPTION = "a quiet morning walk along the river with my old camera #walk #river"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    names = {"raw": "raw", "posts": "posts.parquet", "rejects": "rejects.parquet", "metrics": "filter.json"}
    (tmp_path / "raw").mkdir()
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["filter"]["min_side"] = 32
    YAML().dump(params, tmp_path / "params.yaml")
    return {option: tmp_path / name for option, name in names.items()} | {"params": tmp_path / "params.yaml"}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(colour: int) -> bytes:
    return encoded(Image.new("RGB", (48, 40), (colour, 100, 50)), "PNG")


def outputs(options: dict[str, Any]) -> dict[str, bytes]:
    return {name: options[name].read_bytes() for name in ("posts", "rejects", "metrics") if options[name].exists()}


def test_the_sample_is_judged_as_its_truth_says(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    section = read_params(options["params"]).scrape.sample.model_copy(update={"posts": 260, "image_size": 64})
    source = SampleSource(section)
    write_shards(source.posts(), options["raw"])
    main(**options)
    dirt = {row["id"]: row["dirt"] for row in source.truth().to_pylist()}
    rejects = {row["id"]: row["reason"] for row in pq.read_table(options["rejects"]).to_pylist()}
    assert rejects == {post: reason for post, reason in dirt.items() if reason}
    assert pq.read_table(options["posts"]).column("id").to_pylist() == [
        post for post, reason in dirt.items() if not reason
    ]
    metrics = json.loads(options["metrics"].read_text())
    assert metrics["raw"] == metrics["merged"] + metrics["kept"] + sum(metrics["dropped"].values()) == 260
    assert capsys.readouterr().out.startswith(f"filter: {metrics['kept']:,} of ")
    first = outputs(options)
    main(**options, workers=2)
    assert outputs(options) == first


def test_absurd_pictures_end_as_counted_reasons(options: dict[str, Any]) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = Image.new("RGB", (60, 40), "teal")
    grey16 = Image.new("I;16", (40, 40), 40_000)
    palette = Image.new("P", (40, 40), 3)
    pictures = {
        "pixel": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "bomb": encoded(Image.new("1", (30_000, 30_000)), "PNG"),
        "cmyk": encoded(Image.new("CMYK", (40, 40), (1, 2, 3, 4)), "JPEG"),
        "grey16": encoded(grey16, "PNG"),
        "palette": encoded(palette, "PNG", transparency=0),
        "animated": encoded(wide, "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40), "red")]),
        "turned": encoded(wide, "JPEG", exif=turned),
        "text": b"not a picture",
    }
    write_shards(
        [Post(id=name, source="s", caption=CAPTION, image=data) for name, data in pictures.items()], options["raw"]
    )
    main(**options)
    kept = {row["id"]: (row["width"], row["height"]) for row in pq.read_table(options["posts"]).to_pylist()}
    assert kept == {"cmyk": (40, 40), "grey16": (40, 40), "palette": (40, 40), "animated": (60, 40), "turned": (40, 60)}
    details = {row["id"]: row["detail"] for row in pq.read_table(options["rejects"]).to_pylist()}
    assert details == {"pixel": "too_small", "bomb": "too_large", "text": "not_an_image"}
    assert json.loads(options["metrics"].read_text())["bad_images"] == {
        "not_an_image": 1,
        "too_large": 1,
        "too_small": 1,
    }


def test_files_have_their_schemas_when_nothing_is_dropped(options: dict[str, Any]) -> None:
    write_shards([Post(id="1", source="s", caption=CAPTION, image=picture(1))], options["raw"])
    main(**options)
    assert pq.read_schema(options["posts"]).equals(POSTS_SCHEMA)
    assert pq.read_schema(options["rejects"]).equals(REJECTS_SCHEMA)
    assert pq.read_metadata(options["rejects"]).num_rows == 0


def test_nothing_kept_leaves_the_old_outputs(options: dict[str, Any]) -> None:
    write_shards([Post(id="1", source="s", caption=CAPTION, image=picture(1))], options["raw"])
    main(**options)
    before = outputs(options)
    write_shards([Post(id="1", source="s", caption="no tags here")], options["raw"])
    with pytest.raises(HashgenError, match=r"none of the 1 posts was kept \(no_hashtags 1\); add"):
        main(**options)
    assert outputs(options) == before


def test_an_unknown_language_is_one_line(options: dict[str, Any]) -> None:
    write_shards([Post(id="1", source="s", caption=CAPTION, image=picture(1))], options["raw"])
    params = YAML().load(options["params"].read_text())
    params["filter"]["languages"] = ["en", "qq"]
    YAML().dump(params, options["params"])
    with pytest.raises(HashgenError, match=r"filter\.languages: qq"):
        main(**options)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_at_either_write_leaves_both_old_files(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write_shards([Post(id="1", source="s", caption=CAPTION, image=picture(1))], options["raw"])
    main(**options)
    before = outputs(options)
    write_shards([Post(id=str(n), source="s", caption=CAPTION, image=picture(n)) for n in range(3)], options["raw"])
    write, calls = pq.write_table, []

    def fail(*args: Any, **named: Any) -> None:
        calls.append(args)
        if len(calls) > failing:
            raise OSError("disk full")
        write(*args, **named)

    monkeypatch.setattr("hashgen.corpus.tables.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        main(**options)
    assert outputs(options) == before
    assert not list(options["raw"].parent.glob(".*"))


STAGE = """
import time
import hashgen.corpus.tables
import stages.filter
from stages.command import run

def write(table, path, **named):
    path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)

hashgen.corpus.tables.pq.write_table = write
run(stages.filter.main)
"""


def test_a_kill_leaves_the_old_outputs(options: dict[str, Any]) -> None:
    write_shards([Post(id="1", source="s", caption=CAPTION, image=picture(1))], options["raw"])
    main(**options)
    before = outputs(options)
    words = [word for name, path in options.items() for word in (f"--{name}", str(path))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", STAGE, *words], stdout=subprocess.PIPE, env=environment) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == b"writing\n"
        stage.send_signal(signal.SIGKILL)
    assert outputs(options) == before
    main(**options)
    assert outputs(options) == before and not list(options["raw"].parent.glob(".*"))


JUDGE = """
import signal
import sys
from pathlib import Path
from hashgen.filtering import judging as filtering
from hashgen.corpus.posts import row_groups
from tests.filtering.test_judging import section

if __name__ == "__main__":
    # A shell's background jobs start with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, judged in enumerate(filtering.judge_all(row_groups(Path(sys.argv[1])), section(), 2)):
        if number == 0:
            print("running", flush=True)
            sys.stdin.read()
"""


def children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found |= {int(child) for child in task.read_text().split()}
    return found | {grandchild for child in found for grandchild in children(child)}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    many(tmp_path, monkeypatch)
    script = tmp_path / "stage.py"
    script.write_text(JUDGE)
    stage = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert stage.stdout is not None and stage.stdin is not None
    try:
        assert stage.stdout.readline() == b"running\n"
        workers = children(stage.pid)
        assert len(workers) >= 2
        # Ctrl-C reaches the whole group of processes, a kill only the stage.
        if number == signal.SIGINT:
            os.killpg(stage.pid, number)
        else:
            stage.send_signal(number)
        stage.wait(timeout=30)
        deadline = time.monotonic() + 30
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(is_running, workers))
    finally:
        stage.kill()
        stage.wait()
        stage.stdin.close()
        stage.stdout.close()


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, monkeypatch)
    judged = judge_all(row_groups(tmp_path), section(), 2)
    next(judged)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(HashgenError, match="a worker process died"):
        list(judged)


def test_a_missing_or_broken_input_names_itself(options: dict[str, Any]) -> None:
    with pytest.raises(HashgenError, match=r"raw: no shards of posts; the stage scrape creates them"):
        main(**options)
    (options["raw"] / "posts-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(HashgenError, match=r"posts-00000\.parquet: not a readable"):
        main(**options)
    with pytest.raises(HashgenError, match="the stage scrape creates it"):
        main(**options | {"raw": options["raw"] / "nowhere"})


def test_scrape_filter_and_split_never_import_torch() -> None:
    code = "import sys, stages.scrape, stages.filter, stages.split; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
