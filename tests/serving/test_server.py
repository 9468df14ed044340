"""`hashgen serve` as a process: its port, its end, its workers, and what it says."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from hashgen.base.errors import HashgenError
from hashgen.cli import app
from hashgen.serving.examples import read_samples
from hashgen.serving.server import Settings, _address, serve
from tests import ROOT
from tests.doubles.suggester_double import load_double
from tests.serving.conftest import picture

# As the command runs it, around the double.
SCRIPT = """
import sys
import hashgen.serving.server
from hashgen.__main__ import main
from tests.doubles.suggester_double import load_double

def load(folder, **_):
    return load_double(folder)

if __name__ == "__main__":
    hashgen.serving.server.load_model = load
    sys.argv[1:] = ["serve", "--port", "0", "--model", sys.argv[1], "--workers", sys.argv[2]]
    main()
"""


@contextmanager
def serving(model: Path, workers: int = 1) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server in a process group of its own, as a terminal starts it, and its address."""
    script = model.parent / "run.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(model), str(workers)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"hashgen: (http://127\.0\.0\.1:\d+)/ \(Ctrl-C ends it\)\n", line)
        if found is None:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError((line, process.communicate()))
        yield process, found[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_it_without_a_word(model: Path, workers: int) -> None:
    with serving(model, workers) as (process, address):
        with httpx.Client() as client:
            assert client.post(f"{address}/api/suggest", json={"caption": "train", "max": 1}).status_code == 200
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_workers_share_the_memory_of_pictures_and_are_replaced(model: Path) -> None:
    with serving(model, 2) as (process, address):
        header = {"Content-Type": "image/jpeg", "Connection": "close"}
        name = httpx.post(f"{address}/api/pictures", content=picture(), headers=header).json()["picture"]

        def ask() -> int:
            # A connection of its own each time, so that either worker may take it.
            ask = {"picture": name}
            return httpx.post(f"{address}/api/suggest", json=ask, headers={"Connection": "close"}).status_code

        assert [ask() for _ in range(20)] == [200] * 20
        assert 'hashgen_requests_total{path="/api/suggest",status="200"} 20.0' in httpx.get(f"{address}/metrics").text
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("no /proc that lists a process's children")
        before = children.read_text().split()
        listening = [pid for pid in before if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        # The first is the memory, the others are workers.
        os.kill(int(listening[-1]), signal.SIGKILL)
        for _ in range(300):
            time.sleep(0.1)
            now = children.read_text().split()
            if len(now) == len(before) and now != before:
                break
        assert [ask() for _ in range(5)] == [200] * 5
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "WARNING: a worker ended (-9); another begins\n")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_leaves_the_port_free(model: Path, workers: int) -> None:
    with serving(model, workers) as (process, address):
        port = httpx.URL(address).port or 0
        os.kill(process.pid, signal.SIGKILL)
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) != 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{address} still answers")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_cannot_be_loaded_ends_it(model: Path, workers: int) -> None:
    (model / "model.json").write_text("broken")
    with pytest.raises(AssertionError, match=re.escape(f"{model}: damaged; train again")), serving(model, workers):
        pass


def test_a_broken_model_is_the_error_of_serve(model: Path) -> None:
    (model / "model.json").write_text("broken")
    with pytest.raises(HashgenError, match="damaged; train again"):
        serve(Settings(model, port=0), load_double)


def test_a_port_in_use_is_one_line(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(HashgenError) as raised:
            serve(Settings(model, port=port), load_double)
    assert str(raised.value) == f"port {port} of 127.0.0.1: address already in use; give another with --port"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"host": "0.0.0.0"},
            "--host 0.0.0.0: others could reach this server, which has no login; if that is meant, add --allow-host "
            "with the name under which they call it",
        ),
        ({"hosts": ("http://a",)}, "--allow-host http://a: not a host's name; give it without http:// and port"),
        ({"hosts": ("*",)}, "--allow-host *: not a host's name; give it without http:// and port"),
        ({"hosts": ("a:8000",)}, "--allow-host a:8000: not a host's name; give it without http:// and port"),
    ],
)
def test_hosts_that_are_refused(model: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(HashgenError) as raised:
        serve(Settings(model, port=0, **settings), load_double)  # type: ignore[arg-type]
    assert str(raised.value) == message


def test_an_address_of_another_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(HashgenError) as raised:
        serve(Settings(model, "192.0.2.7", 8000, ("tags.example",)), load_double)
    assert str(raised.value) == (
        "port 8000 of 192.0.2.7: cannot assign requested address; give an address of this machine with --host"
    )


def test_beyond_loopback_it_says_that_there_is_no_login(model: Path) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("hashgen: "):
            os.kill(os.getpid(), signal.SIGINT)

    serve(Settings(model, "0.0.0.0", 0, ("tags.example",)), load_double, say)
    assert said[0] == "anyone who reaches 0.0.0.0 can use this server: it has no login"
    assert re.fullmatch(r"hashgen: http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)", said[1])


def test_addresses() -> None:
    assert _address("::1", 80) == "http://[::1]:80/"
    assert _address("::", 80) == "http://[::1]:80/"
    assert _address("localhost", 80) == "http://localhost:80/"


def test_the_command_without_a_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--model", str(tmp_path)])
    assert str(result.exception).startswith(f"{tmp_path}: no trained model here; give its folder with --model")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_the_command_without_its_packages(model: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in list(sys.modules):
        if name.startswith(("hashgen.serving.", f"{package}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = CliRunner().invoke(app, ["serve", "--model", str(model)])
    assert str(result.exception) == f"hashgen serve: needs the package {package}: pip install '.[serve]'"


def test_no_run_no_examples(tmp_path: Path) -> None:
    assert read_samples(tmp_path, only_drawn=False) == []
