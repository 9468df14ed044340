"""Outputs are whole or not there: at every exception and every kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hashgen.base.errors import HashgenError
from hashgen.base.files import (
    atomic_file,
    atomic_folder,
    read_json,
    require,
    sha256_of_file,
    sha256_of_folder,
    write_json,
)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/out.txt"
    with atomic_file(path) as partial:
        partial.write_text("one")
        assert not path.exists() and partial.parent == path.parent
    assert path.read_text() == "one" and leftovers(path.parent) == []


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and leftovers(tmp_path) == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    with atomic_folder(path) as partial:
        (partial / "new").touch()
        assert [file.name for file in path.iterdir()] == ["old"]
    assert [file.name for file in path.iterdir()] == ["new"] and leftovers(tmp_path) == []


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as partial:
        (partial / "new").touch()
        raise KeyboardInterrupt
    assert [file.name for file in path.iterdir()] == ["old"] and leftovers(tmp_path) == []


def test_an_output_of_the_other_kind_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(HashgenError, match="folder: is a folder, but must be a file"), atomic_file(tmp_path / "folder"):
        pass
    with pytest.raises(HashgenError, match="file: is a file, but must be a folder"), atomic_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "folder").is_dir() and (tmp_path / "file").read_text() == "kept" and leftovers(tmp_path) == []


def test_a_rename_that_fails_leaves_a_whole_folder_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace
    for failing in (1, 2):
        path = tmp_path / f"out{failing}"
        path.mkdir()
        (path / "old").touch()
        calls: list[Path] = []

        def fail(self: Path, target: Path, failing: int = failing, calls: list[Path] = calls) -> Path:
            calls.append(self)
            if len(calls) == failing:
                raise OSError("disk")
            return replace(self, target)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="disk"), atomic_folder(path):
            patch.setattr(Path, "replace", fail)
        assert not path.exists() or [file.name for file in path.iterdir()] == ["old"]
        assert path.exists() == (failing == 1) and leftovers(tmp_path) == []


WRITER = """
import sys, time
from pathlib import Path
from hashgen.base.files import atomic_file, atomic_folder
path = Path(sys.argv[1])
if sys.argv[2] == "file":
    with atomic_file(path) as partial:
        partial.write_text("half")
        print("writing", flush=True)
        time.sleep(60)
else:
    with atomic_folder(path) as partial:
        (partial / "half").touch()
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_leaves_the_old_output_and_the_next_run_sweeps_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    # A second run beside a living one must not take its half away.
    with atomic_file(path) as partial:
        partial.write_text("old")
    assert len(leftovers(tmp_path)) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text() == "old" and len(leftovers(tmp_path)) == 1
    with atomic_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and leftovers(tmp_path) == []


def test_partial_outputs_of_others_and_foreign_files_are_left(tmp_path: Path) -> None:
    living, foreign = f".out.{os.getppid()}.partial", ".out.notes.partial"
    for name in (living, foreign):
        (tmp_path / name).touch()
    with atomic_file(tmp_path / "out") as partial:
        partial.touch()
    assert sorted(leftovers(tmp_path)) == sorted([living, foreign])


def test_no_reader_ever_misses_a_file(tmp_path: Path) -> None:
    """A reader in another process sees the old or the new content, never none and never half."""
    path = tmp_path / "out.json"
    write_json(path, [0] * 1000)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdout=subprocess.PIPE, text=True, stdin=subprocess.PIPE
    )
    assert reader.stdout is not None and reader.stdin is not None
    assert reader.stdout.readline() == "reading\n"
    for number in range(200):
        write_json(path, [number] * 1000)
    output, _ = reader.communicate("stop\n")
    assert output == "fine\n" and reader.returncode == 0


READER = """
import json, select, sys
print("reading", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    values = json.load(open(sys.argv[1]))
    assert len(values) == 1000 and len(set(values)) == 1, values
print("fine", flush=True)
"""


def test_json_is_rounded_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1 / 3, "b": [2 / 3, (1, None)], "c": "ü", 5: True})
    assert json.loads(path.read_text()) == {"a": 0.3333, "b": [0.6667, [1, None]], "c": "ü", "5": True}
    assert "ü" in path.read_text() and path.read_text().endswith("}\n")
    write_json(path, 1 / 3, exact=True)
    assert read_json(path, "x") == 1 / 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("nan")]}])
def test_what_is_no_number_is_refused_and_the_old_file_stays(tmp_path: Path, value: object) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, value)
    assert read_json(path, "x") == 1 and leftovers(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", b"\xff"])
def test_broken_json_names_file_and_stage(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(HashgenError, match=r"metrics\.json: not valid JSON .*run the stage filter again"):
        read_json(path, "filter")


def test_a_missing_input_names_its_stage(tmp_path: Path) -> None:
    assert require(tmp_path, "x") == tmp_path
    with pytest.raises(HashgenError, match=r"posts\.parquet: no such file; the stage filter creates it$") as raised:
        require(tmp_path / "posts.parquet", "filter")
    assert raised.value.stage == "filter"


def test_hashes_are_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert sha256_of_file(tmp_path / "a") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    first = sha256_of_folder(tmp_path)
    os.utime(tmp_path / "a", (time.time(), 0))
    assert sha256_of_folder(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_of_folder(tmp_path) != first
