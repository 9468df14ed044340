"""Answers that are known: one SQLite file, kept between runs, so that nothing is asked twice."""

import contextlib
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked
from hashgen.features.memo import set_aside

Result = TypeVar("Result")


class Answers:
    """Answers by the key of their question (`Question.key`). Neither captions nor pictures are kept.

    Raises sqlite3.DatabaseError for a damaged file, and its subclass OperationalError for faults of the system.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=60)
        try:
            # WAL without a sync at each commit: a killed process loses nothing that it committed.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (question BLOB NOT NULL PRIMARY KEY, answer TEXT NOT NULL)"
            )
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, key: str) -> str | None:
        """The answer to a question; None if it is not known."""
        row = self._database.execute("SELECT answer FROM answers WHERE question = ?", (bytes.fromhex(key),)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Remember one answer, at once."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (bytes.fromhex(key), answer))


def with_answers(home: Path, work: Callable[[Answers], Result]) -> Result:
    """`work` with the answers known below `home`. Processes take turns; a damaged file is renamed and started anew.

    Raises HashgenError when the file cannot be used.
    """
    path = home / "vlm" / "answers.sqlite"

    def run() -> Result:
        with contextlib.closing(Answers(path)) as answers:
            return work(answers)

    with locked(path, "baselines"):
        try:
            return run()
        except sqlite3.OperationalError as error:
            raise HashgenError(
                f"{path}: the remembered answers cannot be used ({error}); free some space, or choose another folder "
                "with --home"
            ) from error
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            print(f"baselines: {path} is damaged ({error}); renamed to {aside.name}; asking again", file=sys.stderr)
            return run()
