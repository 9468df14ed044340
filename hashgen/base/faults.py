"""Faults of the system that a user can fix: a full disk, a missing permission, a full GPU."""

import errno
import os
import re
import sqlite3
from pathlib import Path

from hashgen.base.errors import HashgenError

# The exit code of a command that a full disk has stopped.
DISK_FULL = 8
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_WRITE = 778  # SQLITE_IOERR_WRITE: what SQLite makes of a quota that is used up
_NO_PERMISSION = ("no permission to read or write it", "give it to your user")
_FILE_IN_THE_WAY = ("a file is where a folder must be", "move the file away")
# What happened, and what to do. Any other fault of the system is a bug of ours.
_FAULTS = {
    **dict.fromkeys(_FULL, ("the disk is full", "free some space")),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: ("the file system is read-only", "make it writable"),
    errno.ENOTDIR: _FILE_IN_THE_WAY,
    errno.EEXIST: _FILE_IN_THE_WAY,
    errno.EISDIR: ("a folder is where a file must be", "move the folder away"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ELOOP: ("a symbolic link leads to itself", "correct the link"),
    errno.EFBIG: ("larger than a file may be", "raise the limit (ulimit -f)"),
    errno.EIO: ("the disk cannot be read or written", "check the disk"),
}
# How libraries in C++ and Rust (Arrow, safetensors, tokenizers) name the number of an error of the system.
_NUMBER = re.compile(r"\b(?:os error|errno) (\d+)\b", re.IGNORECASE)
# torch has a class of its own for this, and hands on what CUDA and its libraries say.
_GPU_FULL = re.compile(r"CUDA(?: error)?: out of memory|CUDA out of memory|\bCU[A-Z]+_STATUS_ALLOC_FAILED")


def system_fault(error: BaseException, where: Path | None = None) -> HashgenError | None:
    """The error for the user if `error` is a fault of the system that a user can fix; None for any other.

    where: what it befell; by default the file that the error names. Exit code 8 for a full disk, else 1.
    """
    if full := _gpu_fault(error):
        return full
    number = _number(error)
    if number not in _FAULTS:
        return None
    what, remedy = _FAULTS[number]
    named = where or _named(error)
    # What names no file may do so in its text, except for a full disk: there the text only says the same again.
    place = named or (None if number in _FULL else " ".join(str(error).split()))
    text = f"{what}; {remedy}, then run the same command again"
    return HashgenError(f"{place}: {text}" if place else text, DISK_FULL if number in _FULL else 1)


def _gpu_fault(error: BaseException) -> HashgenError | None:
    """The error for the user if the memory of the GPU is too small; no file is at fault then. Needs no torch."""
    is_full = isinstance(error, RuntimeError) and _GPU_FULL.search(str(error))
    if not is_full and type(error).__name__ != "OutOfMemoryError":
        return None
    what = "the memory of the GPU is full; free some of it (nvidia-smi shows what uses it), lower train.batch_size"
    return HashgenError(f"{what} if this is a training, or use --device cpu")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full, or a quota used up: of the system, SQLite or another library."""
    return _number(error) in _FULL


def fault_of_output(error: Exception, path: Path, partial: Path) -> HashgenError | None:
    """`system_fault` while `path` is written as `partial`, a name that users do not know.

    None also for a fault of something else than this output, such as an input that is read meanwhile.
    """
    place = _named(error)
    if place is None:
        return system_fault(error, path) if partial.exists() else None
    if place.is_relative_to(partial):
        return system_fault(error, path)
    return system_fault(error, place) if path.is_relative_to(place) else None


def _named(error: BaseException) -> Path | None:
    name = error.filename if isinstance(error, OSError) else None
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) and name else None


def _number(error: BaseException) -> int | None:
    """The system's number of an error, however a library hands it on."""
    if isinstance(error, HashgenError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        full = code & 0xFF == sqlite3.SQLITE_FULL or code == _SQLITE_WRITE or "disk is full" in text
        return errno.ENOSPC if full else None
    if found := _NUMBER.search(text):
        return int(found[1])
    return next((number for number in _FULL if os.strerror(number) in text), None)
