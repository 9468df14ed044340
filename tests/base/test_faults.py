"""Faults of the system: a full disk and the like are one line, with exit code, wherever they happen."""

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hashgen.base.errors import HashgenError
from hashgen.base.faults import is_disk_full, system_fault
from hashgen.base.files import atomic_file, atomic_folder, read_json, require, write_json
from hashgen.base.locks import locked
from hashgen.commands import user_errors
from hashgen.corpus.tables import TRUTH_SCHEMA, write_table
from hashgen.text.words import make_tokenizer
from tests import ROOT

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    RuntimeError("PytorchStreamWriter failed: No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    Exception("Disk quota exceeded (os error 122)"),
    pa.ArrowException("Detail: [errno 28] No space left on device"),
    sqlite3.OperationalError("database or disk is full"),
]


@pytest.mark.parametrize("error", FULL, ids=repr)
def test_a_full_disk_is_known_however_it_is_told(error: Exception) -> None:
    fault = system_fault(error, Path("out"))
    assert is_disk_full(error) and fault is not None and fault.exit_code == 8
    assert str(fault) == "out: the disk is full; free some space, then run the same command again"


@pytest.mark.parametrize(
    "error",
    [
        OSError("disk"),
        OSError(errno.ENOENT, "No such file"),
        ValueError("28"),
        KeyError("errno"),
        sqlite3.OperationalError("database is locked"),
        HashgenError("x: No space left on device"),
    ],
    ids=repr,
)
def test_what_no_user_can_fix_is_no_fault(error: Exception) -> None:
    assert system_fault(error, Path("out")) is None and not is_disk_full(error)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "move the file away"),
        (errno.ENAMETOOLONG, "choose a shorter one"),
        (errno.EIO, "check the disk"),
    ],
)
def test_other_faults_name_their_file_and_end_with_1(
    number: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, user_errors():
        raise OSError(number, os.strerror(number), "data/x")
    line = capsys.readouterr().err
    assert ended.value.code == 1 and line.startswith("error: data/x: ") and words in line and line.count("\n") == 1


def test_a_full_disk_ends_a_command_with_8(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, user_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert ended.value.code == 8
    assert capsys.readouterr().err == "error: the disk is full; free some space, then run the same command again\n"


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=repr,
)
def test_a_full_gpu_is_one_line(error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, user_errors(), atomic_folder(tmp_path / "model"):
        raise error
    assert ended.value.code == 1 and leftovers(tmp_path) == []
    assert capsys.readouterr().err == (
        "error: the memory of the GPU is full; free some of it (nvidia-smi shows what uses it), lower train.batch_size"
        " if this is a training, or use --device cpu\n"
    )


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(FileNotFoundError), user_errors():
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_cannot_be_printed_ends_with_8() -> None:
    code = "from hashgen.commands import user_errors\nwith user_errors():\n    print('x')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (8, 1) and "the disk is full" in done.stderr
        code = code.replace("print('x')", "raise OSError(28, 'full')")
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=full).returncode == 8


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if "partial" in path.name]


def test_a_full_disk_names_the_output_and_leaves_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "out", 1)
    (tmp_path / "folder").mkdir()
    message = rf"^{tmp_path}/out: the disk is full"
    with pytest.raises(HashgenError, match=message) as raised, atomic_file(tmp_path / "out") as partial:
        partial.touch()
        full()
    assert raised.value.exit_code == 8 and read_json(tmp_path / "out", "x") == 1
    message = rf"^{tmp_path}/folder: the disk is full"
    with pytest.raises(HashgenError, match=message), atomic_folder(tmp_path / "folder"):
        full()
    # A file of a folder that is not there yet: the user knows the folder.
    with (
        pytest.raises(HashgenError, match=message),
        atomic_folder(tmp_path / "folder") as folder,
        atomic_file(folder / "x.json") as inner,
    ):
        inner.touch()
        full()
    assert leftovers(tmp_path) == []


def test_of_two_outputs_the_one_that_is_being_written_is_named(tmp_path: Path) -> None:
    for failing in ("one", "two"):
        with (
            pytest.raises(HashgenError, match=rf"^{tmp_path}/{failing}: the disk is full"),
            atomic_file(tmp_path / "one") as one,
            atomic_file(tmp_path / "two") as two,
        ):
            one.touch()
            if failing == "two":
                two.touch()
            full()


def test_an_input_that_fails_while_an_output_is_written_is_named_itself(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied", "photos/a.jpg")


def test_a_file_in_the_way_and_a_long_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HashgenError, match=r"file: a file is where a folder must be"), atomic_file(tmp_path / "file/x"):
        pass
    with pytest.raises(HashgenError, match=r"file/x: a file is where"), atomic_folder(tmp_path / "file/x/y"):
        pass
    for context in (atomic_file, atomic_folder):
        with pytest.raises(HashgenError, match=r"xxx: the name is too long"), context(tmp_path / ("x" * 300)):
            pass
    with pytest.raises(HashgenError, match=r"folder: a folder is where a file must be"):
        (tmp_path / "folder").mkdir()
        read_json(tmp_path / "folder", "x")


def test_an_input_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(HashgenError, match="x: no permission to read or write it"):
        require(tmp_path / "x", "filter")


def test_a_lock_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashgen.base.locks.FileLock", full)
    with pytest.raises(HashgenError, match="the disk is full") as raised, locked(tmp_path / "memo", "featurize"):
        pass
    assert raised.value.exit_code == 8


def write_arrow(path: Path) -> None:
    write_table(pa.table({"id": [os.urandom(8).hex() for _ in range(30_000)]}).cast(pa.schema([TRUTH_SCHEMA[0]])),
                path, pa.schema([TRUTH_SCHEMA[0]]))  # fmt: skip


WRITERS: dict[str, Callable[[Path], object]] = {
    "python": lambda path: path.write_bytes(bytes(200_000)),
    "text": lambda path: path.write_text("x" * 200_000),
    "arrow": write_arrow,
    "safetensors": lambda path: save_file({"x": np.zeros(100_000, np.float32)}, path),
    "tokenizers": lambda path: make_tokenizer([f"word{n}" for n in range(9_000)] + ["?"], "?").save(str(path)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_library_that_cannot_go_on_writing_is_one_error(tmp_path: Path, writer: str) -> None:
    """A limit on the size of a file, as any user can set one, fails in the middle of a write, as a full disk does."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.base.test_faults import write_limited\n"
        f"write_limited({writer!r}, Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr == f"error: {tmp_path}/out: larger than a file may be; raise the limit (ulimit -f), " + (
        "then run the same command again\n"
    )
    assert list(tmp_path.iterdir()) == []


def write_limited(writer: str, path: Path) -> None:
    with user_errors(), atomic_folder(path) as partial:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
        WRITERS[writer](partial / "file")
