"""The feature memo: one SQLite file, kept between runs, so that no picture and no caption is encoded twice."""

import contextlib
import errno
import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.locks import locked

# Part of the file's name: raise it whenever rows are laid out in another way.
MEMO_VERSION = 2

Key = tuple[str, int]  # SHA-256 of the picture's bytes or of the caption, view: 0 is the plain one
T = TypeVar("T")


class Memo:
    """Features by picture and view in one SQLite file; whatever else a feature depends on is part of the file's name.

    Behind each feature stand 8 bytes of a hash of key and feature: SQLite notices a damaged page, not a damaged value.
    Raises sqlite3.Error for a damaged file and for faults of the system (see `is_damage`).
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._bytes = 2 * dim + _CHECK_BYTES
        self._database = sqlite3.connect(path, timeout=60)
        try:
            # WAL without a sync at each commit: a killed process loses nothing that it committed.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS features "
                "(image BLOB NOT NULL, view INTEGER NOT NULL, feature BLOB NOT NULL, PRIMARY KEY (image, view))"
            )
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def views(self, sha256: str) -> set[int]:
        """The views of a picture that are known."""
        found = self._database.execute("SELECT view FROM features WHERE image = ?", (bytes.fromhex(sha256),))
        return {view for (view,) in found}

    def put(self, keys: Sequence[Key], features: npt.NDArray[np.float16]) -> None:
        """Remember features (len(keys), dim) in one transaction."""
        rows = [
            (bytes.fromhex(sha), view, row.tobytes() + _check(sha, view, row.tobytes()))
            for (sha, view), row in zip(keys, features, strict=True)
        ]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    def get(self, sha256: str, views: int) -> npt.NDArray[np.float16]:
        """Features (1 + views, dim) of a picture: the plain view and the augmented ones. All must be known."""
        found = self._database.execute(
            "SELECT view, feature FROM features WHERE image = ? AND view <= ? ORDER BY view",
            (bytes.fromhex(sha256), views),
        ).fetchall()
        if [view for view, _ in found] != list(range(1 + views)):
            raise sqlite3.DatabaseError(f"features of picture {sha256[:16]} are incomplete")
        rows = [self._checked(sha256, view, value) for view, value in found]
        return np.frombuffer(b"".join(rows), np.float16).reshape(1 + views, -1)

    def _checked(self, sha256: str, view: int, value: object) -> bytes:
        if isinstance(value, bytes) and len(value) == self._bytes:
            feature, check = value[:-_CHECK_BYTES], value[-_CHECK_BYTES:]
            if check == _check(sha256, view, feature):
                return feature
        raise sqlite3.DatabaseError(f"view {view} of picture {sha256[:16]} is not what was written")


_CHECK_BYTES = 8


def _check(sha256: str, view: int, feature: bytes) -> bytes:
    return hashlib.blake2b(f"{sha256} {view} ".encode() + feature, digest_size=_CHECK_BYTES).digest()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is damaged; else the system is at fault: no space, no permission, another process."""
    if not isinstance(error, sqlite3.OperationalError):
        return True
    # Without a code it is Python that could not read a value; with SQLITE_ERROR the layout of the file is another.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR


def with_memo(path: Path, dim: int, work: Callable[[Memo], T]) -> T:
    """What `work` makes of the memo in a file; a damaged one is renamed and rebuilt.

    Processes that share it take turns. Raises HashgenError when the memo cannot be written.
    """

    def run() -> T:
        with contextlib.closing(Memo(path, dim)) as memo:
            return work(memo)

    with locked(path, "featurize"):
        try:
            return run()
        except sqlite3.Error as error:
            if not is_damage(error):
                # Where SQLite cannot make room for its index, it says no more than "disk I/O error".
                full = shutil.disk_usage(path.parent).free < 2**20
                raise system_fault(OSError(errno.ENOSPC, "") if full else error, path) or HashgenError(
                    f"{path}: the feature memo cannot be used ({error}); free some space, or choose another folder "
                    "with --home"
                ) from error
            aside = set_aside(path)
            print(f"featurize: {path} is damaged ({error}); renamed to {aside.name}; encoding again", file=sys.stderr)
            return run()


def set_aside(path: Path) -> Path:
    """Rename a damaged memo to .damaged, so that a new one can be started; returns the new path."""
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
