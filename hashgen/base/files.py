"""Atomic writes, content hashes, and JSON as the metrics files have it."""

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hashgen.base.errors import HashgenError
from hashgen.base.faults import fault_of_output, system_fault

_PARTIAL = ".partial"
# Two letters or more: C:/ is a drive. A Path has kept only one of the slashes.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def is_uri(path: Path | str) -> bool:
    """Whether a path is a URI such as s3://bucket/key, and so not one of this machine."""
    return bool(_SCHEME.match(str(path)))


def refuse_uri(value: Path | str, option: str = "") -> None:
    """Raise HashgenError for a URI (s3://, https://, …) where a path of this machine belongs.

    option: the option or parameter that it was given with, to be named in the message.
    """
    if is_uri(value):
        uri = str(value) if "://" in str(value) else str(value).replace(":/", "://", 1)
        raise HashgenError(
            f"{option}{' ' if option else ''}{uri}: must be a path on this machine; only the stages filter and "
            "featurize, with --engine ray, read and write elsewhere; copy it here first"
        )


def local_path(value: Path | str) -> Path:
    """The path on this machine that a user typed, `~` written out. Raises HashgenError as `refuse_uri`."""
    refuse_uri(value)
    return Path(value).expanduser()


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it replaces `path` when the block ends without an error.

    A kill leaves either the old file or the new one, never half of one. Raises HashgenError if a folder is there, and
    for faults of the system such as a full disk.
    """
    partial = _partial(path)
    try:
        with _faults_of(path, partial):
            if path.is_dir():
                raise HashgenError(f"{path}: is a folder, but must be a file; remove it or choose another path")
            _prepare(path)
            yield partial
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_file` for a folder: yields an empty folder that takes the place of `path` as a whole.

    A kill leaves the old folder, the new one, or in the instant between two renames none; never half of one.
    """
    partial, old = _partial(path), _partial(path, ".old")
    try:
        with _faults_of(path, partial):
            if path.exists() and not path.is_dir():
                raise HashgenError(f"{path}: is a file, but must be a folder; remove it or choose another path")
            _prepare(path)
            partial.mkdir()
            yield partial
            if path.exists():
                path.replace(old)
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _faults_of(path: Path, partial: Path) -> Iterator[None]:
    """Turn faults of the system into a HashgenError that names `path`, not the partial output that becomes it."""
    try:
        yield
    except Exception as error:
        # A file of a folder that is partial itself: the folder's own block names that.
        inside = any(parent.name.endswith(_PARTIAL) for parent in path.parents)
        if not inside and (fault := fault_of_output(error, path, partial)):
            raise fault from error
        raise


def _partial(path: Path, suffix: str = "") -> Path:
    """A path beside `path` for this process."""
    return path.with_name(f".{path.name}{suffix}.{os.getpid()}{_PARTIAL}")


def _prepare(path: Path) -> None:
    """Create the folder of `path`, and clean it of orphans."""
    refuse_uri(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(path)


def _remove_orphans(path: Path) -> None:
    """Remove partial outputs of processes that no longer run, or that had the same process id as this one."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        pid = partial.name.removesuffix(_PARTIAL).rpartition(".")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not _is_running(int(pid))):
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_json(path: Path, value: Any, *, exact: bool = False) -> None:
    """Write metrics or metadata, indented. Floats are rounded to 4 decimals (metrics live in git) unless `exact`.

    Raises ValueError for NaN and infinities: leave out a metric that cannot be computed, or set it to None.
    """
    text = json_text(value, exact=exact)
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def json_text(value: Any, *, exact: bool = False) -> str:
    """What `write_json` writes."""
    return json.dumps(value if exact else _rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file that the stage `made_by` writes. Raises HashgenError when missing or broken."""
    require(path, made_by)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise system_fault(error, path) or error from error
    except (ValueError, RecursionError) as error:
        raise HashgenError(f"{path}: not valid JSON ({error}); run the stage {made_by} again", stage=made_by) from error


def require(path: Path, made_by: str) -> Path:
    """Return `path` if it exists; else raise a HashgenError that names the stage `made_by` that creates it.

    Raises HashgenError for one that may not be read, too: some libraries say of such a file that there is none.
    """
    refuse_uri(path)
    if not path.exists():
        raise HashgenError(f"{path}: no such file; the stage {made_by} creates it", stage=made_by)
    if not os.access(path, os.R_OK) and (fault := system_fault(OSError(errno.EACCES, ""), path)):
        raise fault
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, 4)
    return value


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_folder(path: Path) -> str:
    """Hex SHA-256 over the names and bytes of all files below a folder, in sorted order."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}\n".encode())
    return digest.hexdigest()
