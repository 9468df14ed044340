"""filter and featurize with the workers of a Ray cluster on this machine, on its disk and on a stand-in for S3."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.base.files import sha256_of_folder
from hashgen.base.places import Remote
from hashgen.corpus.posts import write_shards
from hashgen.features.store import FeatureStore
from hashgen.params import read_params
from hashgen.sources.sample.source import SampleSource
from stages import featurize
from stages import filter as filter_stage
from tests import ROOT
from tests.stages.test_featurize import encoded, make_world, set_params

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BUCKET = "posts"
HEAD = """
import sys, ray
ray.init("local", num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two workers and a stand-in for S3, on this machine alone; the address of the cluster."""
    pytest.importorskip("flask_cors")
    moto, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    store = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        # The workers of the cluster have the environment in which it is started.
        for name, value in {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_BACKEND_LOG_LEVEL": "fatal",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        ray = pytest.importorskip("ray")  # only now, as it reads the environment when it is imported
        # In a process of its own, as Ray leaves the processes that it starts to the garbage collector.
        head = subprocess.Popen([sys.executable, "-c", HEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert head.stdin and head.stdout
        try:
            address = head.stdout.readline().strip()
            patch.setenv("RAY_ADDRESS", address)
            yield address
        finally:
            ray.shutdown()
            head.communicate()  # its standard input ends, and with it the cluster
            store.stop()


@pytest.fixture
def s3(cluster: str, request: pytest.FixtureRequest) -> Remote:
    """A folder of its own in the stand-in for S3."""
    return Remote(f"s3://{BUCKET}/{request.node.name}")


def send(folder: Path, place: Remote) -> None:
    for path in folder.iterdir():
        (place / path.name).put(path)


def fetched(place: Remote) -> dict[str, bytes]:
    return {name: (place / name).open().read() for name in place.names()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def raw_of_sample(folder: Path) -> dict[str, Any]:
    """Raw shards with every kind of dirt, and the arguments of the stage filter for them."""
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["filter"]["min_side"] = 32
    YAML().dump(params, folder / "params.yaml")
    section = read_params(folder / "params.yaml").scrape.sample.model_copy(update={"posts": 160, "image_size": 64})
    (folder / "raw").mkdir()
    write_shards(SampleSource(section).posts(), folder / "raw", posts_per_shard=40)
    return {"raw": folder / "raw", "params": folder / "params.yaml"}


def filtered(folder: Path, **options: Any) -> dict[str, bytes]:
    """What the stage filter writes into a folder."""
    files = {"posts": "posts.parquet", "rejects": "rejects.parquet", "metrics": "filter.json"}
    filter_stage.main(**options | {name: folder / file for name, file in files.items()})
    return contents(folder)


def test_filter_writes_what_it_writes_on_one_machine(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = raw_of_sample(tmp_path)
    here = filtered(tmp_path / "local", **options)
    assert [pq.read_metadata(tmp_path / f"local/{name}.parquet").num_rows for name in ("posts", "rejects")] == [136, 22]
    monkeypatch.chdir(tmp_path)  # a relative path means the same to the workers, which start elsewhere
    assert filtered(tmp_path / "ray", **options | {"raw": Path("raw")}, engine="ray") == here


def test_filter_reads_and_writes_s3(s3: Remote, tmp_path: Path) -> None:
    options = raw_of_sample(tmp_path)
    here = filtered(tmp_path / "local", **options)
    send(tmp_path / "raw", s3 / "raw")
    out = s3 / "out"
    for _ in range(2):  # the second run replaces what the first one wrote
        filter_stage.main(
            raw=s3 / "raw",
            posts=out / "posts.parquet",
            rejects=out / "rejects.parquet",
            metrics=out / "filter.json",
            params=options["params"],
            engine="ray",
        )
        assert fetched(out) == here


def test_featurize_writes_what_it_writes_on_one_machine(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = split_into_shards(make_world(tmp_path, 22, image_size=64, grid=True), 6)
    featurize.main(**world, device="cpu", workers=0)
    monkeypatch.chdir(tmp_path)
    there = world | {"raw": Path("raw"), "out": Path("ray/features"), "home": tmp_path / "other"}
    capsys.readouterr()
    featurize.main(**there, device="cpu", engine="ray")
    line = capsys.readouterr().out.strip()
    assert line.startswith("featurize: 22 pictures, 66 encoded, 0 already known, 512-d, ")
    assert line.endswith(" pictures/s; 7 x 7 places")
    assert contents(there["out"]) == contents(world["out"])
    assert (tmp_path / "ray/features.memo/.gitignore").read_text() == "*\n"
    # Another machine, which has no memo of its own, goes on from the files beside the features; so with more views.
    featurize.main(**there | {"home": tmp_path / "third"}, device="cpu", engine="ray")
    assert capsys.readouterr().out.startswith("featurize: 22 pictures, 0 encoded, 66 already known, 512-d")
    set_params(world["params"], image_size=64, views=2)
    featurize.main(**there | {"home": tmp_path / "fourth"}, device="cpu", engine="ray")
    assert capsys.readouterr().out.startswith("featurize: 22 pictures, 22 encoded, 44 already known, 512-d")
    assert FeatureStore.open(there["out"]).views.shape == (22, 2, 512)


def split_into_shards(world: dict[str, Any], size: int) -> dict[str, Any]:
    """The same world with its posts in shards of `size`, so that there is work for several."""
    pictures = pq.read_table(world["raw"] / "posts-00000.parquet")
    posts = pq.read_table(world["posts"])
    for number, start in enumerate(range(0, len(pictures), size)):
        pq.write_table(pictures.slice(start, size), world["raw"] / f"posts-{number:05d}.parquet")
    rows = posts.to_pylist()
    for index, row in enumerate(rows):
        row |= {"shard": f"posts-{index // size:05d}.parquet", "row": index % size}
    pq.write_table(type(posts).from_pylist(rows, posts.schema), world["posts"])
    return world


def test_featurize_reads_and_writes_s3(s3: Remote, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = split_into_shards(make_world(tmp_path, 10, image_size=64, grid=True), 4)
    featurize.main(**world, device="cpu", workers=0)
    send(world["raw"], s3 / "raw")
    (s3 / "posts.parquet").put(world["posts"])
    there = world | {"raw": s3 / "raw", "posts": s3 / "posts.parquet", "out": s3 / "features"}
    capsys.readouterr()
    featurize.main(**there | {"home": tmp_path / "second"}, device="cpu", engine="ray", workers=1)
    assert "30 encoded, 0 already known" in capsys.readouterr().out
    assert fetched(s3 / "features") == contents(world["out"])
    # Without a grid: the same folder holds none, and nothing is encoded again, though the memo on this machine is new.
    set_params(world["params"], image_size=64)
    featurize.main(**world, device="cpu", workers=0)
    featurize.main(**there | {"home": tmp_path / "third"}, device="cpu", engine="ray")
    assert "0 encoded, 20 already known" in capsys.readouterr().out
    assert fetched(s3 / "features") == contents(world["out"])
    assert "grid.npy" not in (s3 / "features").names()


def workers() -> list[int]:
    """The processes of the cluster that encode: those with its token whose name says so."""
    token = os.environ["RAY_AUTH_TOKEN"].encode()
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and b"ray::MapWorker" in (folder / "cmdline").read_bytes():
                found += [int(folder.name)] if token in (folder / "environ").read_bytes() else []
    return found


def wait(until: Callable[[], object], running: Callable[[], bool], seconds: int = 120) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert running(), "ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the workers in /proc")


@needs_proc
def test_a_worker_that_is_killed_is_replaced(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashgen.cluster.encoding._SECONDS", 0.0)
    world = split_into_shards(make_world(tmp_path, 120, image_size=96), 10)
    featurize.main(**world, device="cpu", workers=0)
    capsys.readouterr()
    there = world | {"out": tmp_path / "ray", "home": tmp_path / "other"}
    faults: list[BaseException] = []

    def run() -> None:
        try:
            featurize.main(**there, device="cpu", engine="ray")
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait(lambda: encoded(there["home"]) >= 16, thread.is_alive)
    victims = workers()
    os.kill(victims[0], signal.SIGKILL)
    assert encoded(there["home"]) < 200, "killed too late to matter"
    thread.join()
    assert faults == []
    assert "120 pictures, 240 encoded, 0 already known" in capsys.readouterr().out
    assert sha256_of_folder(there["out"]) == sha256_of_folder(world["out"])


@needs_proc
def test_a_stage_that_is_killed_goes_on_where_it_was(cluster: str, tmp_path: Path) -> None:
    world = split_into_shards(make_world(tmp_path, 120, image_size=96), 10)
    featurize.main(**world, device="cpu", workers=0)
    out = tmp_path / "ray"

    def command(home: str) -> list[str]:
        options = [f"--{name}={path}" for name, path in (world | {"out": out, "home": tmp_path / home}).items()]
        # Files of the memo are written at once, not every few seconds.
        code = "import hashgen.cluster.encoding as e; e._SECONDS = 0; import stages.command as c, stages.featurize as f"
        return [sys.executable, "-c", f"{code}; c.run(f.main)", *options, "--device=cpu"]

    environment = os.environ | {"HASHGEN_ENGINE": "ray"}
    killed = subprocess.Popen(command("first"), cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        wait(lambda: len(list(out.with_name("ray.memo").rglob("*.parquet"))) > 3, lambda: killed.poll() is None)
        killed.kill()
    finally:
        killed.kill()
        killed.communicate()
    assert not out.exists()
    kept = sum(pq.read_metadata(path).num_rows for path in out.with_name("ray.memo").rglob("*.parquet"))
    assert 3 < kept < 240
    again = subprocess.run(command("second"), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{240 - kept} encoded, {kept} already known" in again.stdout
    assert sha256_of_folder(out) == sha256_of_folder(world["out"])


def test_a_damaged_file_of_the_memo_is_encoded_again(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = split_into_shards(make_world(tmp_path, 8), 4)
    featurize.main(**world, device="cpu", engine="ray", workers=1)
    first = contents(world["out"])
    (part,) = (tmp_path / "features.memo").rglob("*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1  # in a feature: what else is in the file is small
    part.write_bytes(data)
    capsys.readouterr()
    featurize.main(**world | {"home": tmp_path / "other"}, device="cpu", engine="ray", workers=1)
    said = capsys.readouterr()
    assert "16 encoded, 0 already known" in said.out
    assert f"featurize: {part} is damaged (" in said.err
    assert contents(world["out"]) == first


def test_what_a_worker_finds_wrong_ends_the_stage_in_one_line(cluster: str, tmp_path: Path) -> None:
    world = split_into_shards(make_world(tmp_path, 8), 4)
    shards = sorted(world["raw"].iterdir())
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(HashgenError) as caught:
        featurize.main(**world, device="cpu", engine="ray", workers=1)
    assert str(caught.value) == (
        f"{shards[1]} row 0: the picture has changed since the filter ran (changed); run the stage filter again"
    )
    assert caught.value.stage == "filter"
    shards[1].unlink()
    with pytest.raises(HashgenError, match=r"posts-00001\.parquet: no such file; the stage scrape creates it"):
        featurize.main(**world, device="cpu", engine="ray", workers=1)
    with pytest.raises(HashgenError, match=r"^--device cuda: no machine of the Ray cluster has a GPU"):
        featurize.main(**world, device="cuda", engine="ray")
    assert not world["out"].exists()


def die(job: int) -> list[int]:
    if job == 1:
        os._exit(1)
    return [job]


def test_a_job_that_kills_every_worker_ends_the_stage(cluster: str) -> None:
    from hashgen.cluster.session import over_cluster

    with pytest.raises(HashgenError, match=r"^filter: 5 workers died over the same job"):
        Counter(over_cluster(lambda: die, [0, 1, 2], stage="filter", ordered=True))


def test_nothing_to_do_is_done(cluster: str) -> None:
    from hashgen.cluster.session import over_cluster

    assert list(over_cluster(lambda: die, [], stage="filter", ordered=True)) == []
    assert list(over_cluster(lambda: die, [0, 3, 2, 5], stage="filter", ordered=True)) == [0, 3, 2, 5]


def test_buckets_that_are_not_there_are_named(s3: Remote, tmp_path: Path) -> None:
    options = raw_of_sample(tmp_path)
    gone = Remote("s3://nowhere/raw")
    with pytest.raises(HashgenError, match=r"^s3://nowhere/raw: no such file; the stage scrape creates it"):
        filtered(tmp_path / "out", raw=gone, params=options["params"], engine="ray")
    with pytest.raises(HashgenError, match=r"^s3://nowhere/raw/posts\.parquet: .*check the path"):
        filter_stage.main(
            raw=tmp_path / "raw",
            posts=gone / "posts.parquet",
            rejects=tmp_path / "rejects.parquet",
            metrics=tmp_path / "filter.json",
            params=options["params"],
            engine="ray",
        )
    assert not (tmp_path / "filter.json").exists()
    assert json.loads(json.dumps(s3.names())) == []
