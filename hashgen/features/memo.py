"""The feature memo: one SQLite file, kept between runs, so that no picture and no caption is encoded twice."""

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked

Key = tuple[str, int]  # SHA-256 of the picture's bytes or of the caption, view: 0 is the plain one
T = TypeVar("T")


class Memo:
    """Features by picture and view in one SQLite file; whatever else a feature depends on is part of the file's name.

    Raises sqlite3.DatabaseError for a damaged file, and its subclass OperationalError for faults of the system.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._bytes = 2 * dim
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
        rows = [(bytes.fromhex(sha), view, row.tobytes()) for (sha, view), row in zip(keys, features, strict=True)]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    def get(self, sha256: str, views: int) -> npt.NDArray[np.float16]:
        """Features (1 + views, dim) of a picture: the plain view and the augmented ones. All must be known."""
        found = self._database.execute(
            "SELECT feature FROM features WHERE image = ? AND view <= ? ORDER BY view", (bytes.fromhex(sha256), views)
        ).fetchall()
        if len(found) != 1 + views or any(len(feature) != self._bytes for (feature,) in found):
            raise sqlite3.DatabaseError(f"features of picture {sha256[:16]} are incomplete")
        return np.frombuffer(b"".join(feature for (feature,) in found), np.float16).reshape(1 + views, -1)


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
        except sqlite3.OperationalError as error:
            raise HashgenError(
                f"{path}: the feature memo cannot be used ({error}); free some space, or choose another folder "
                "with --home"
            ) from error
        except sqlite3.DatabaseError as error:
            aside = _set_aside(path)
            print(f"featurize: {path} is damaged ({error}); renamed to {aside.name}; encoding again", file=sys.stderr)
            return run()


def _set_aside(path: Path) -> Path:
    """Rename a damaged memo to .damaged, so that a new one can be started; returns the new path."""
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
