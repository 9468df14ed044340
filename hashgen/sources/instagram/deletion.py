"""Deletes posts collected from Instagram, so that nothing of their content is left in the database."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked
from hashgen.sources.instagram.state import (
    DATABASE,
    DELETED,
    DELETED_UNKEPT,
    Damaged,
    InstagramState,
    errors_of,
    in_words,
)
from hashgen.sources.stops import ExitCode, disk_full


def delete_posts(folder: Path, posts: Sequence[str]) -> int:
    """Delete posts under all policies; returns how many. Their ids, and the hashtags they were found under, are kept.

    folder: of the state. posts: their ids; `id/1`, as the filter names further pictures of a post, means the whole
    post. One transaction, under the lock that collecting holds; then the file is rewritten, which needs its size again
    beside it and in SQLite's folder for temporary files. Posts may be deleted twice. Raises HashgenError, and deletes
    nothing, if the database is missing or damaged, or lacks a post; also raises it if the file cannot be written.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise HashgenError(f"{path}: no such file, so there is nothing to delete; name its folder with --state")
    ids = list(dict.fromkeys(post.partition("/")[0] for post in posts))
    with locked(path, "delete"):
        InstagramState(path, policy="").close()  # checks that it is a sound database of this version
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
                with errors_of(path):
                    _check_indexes(database)
                _delete(database, path, ids)
                # Moving a row within the file can leave a copy of its old bytes, which deleting does not overwrite.
                database.execute("VACUUM")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            exit_code = ExitCode.DISK if disk_full(error) else 1
            what = "the posts, or traces of them, are still there"
            raise HashgenError(f"{path}: {in_words(error)}: {what}; fix that and run again", exit_code) from error
    return len(ids)


def _check_indexes(database: sqlite3.Connection) -> None:
    """Raise Damaged unless every row is found by every index: what is not found would not be deleted."""
    (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise Damaged(found)


def _delete(database: sqlite3.Connection, path: Path, ids: Sequence[str]) -> None:
    database.execute("PRAGMA secure_delete = ON")
    if unknown := [post for post in ids if not _is_known(database, post)]:
        raise HashgenError(f"{path}: no post {', '.join(unknown)}; nothing was deleted, correct the ids and run again")
    with database:
        for post in ids:
            # A post may have pictures and still be undecided.
            database.execute(
                "INSERT OR IGNORE INTO posts (policy, id, reason) SELECT DISTINCT policy, id, '' FROM pictures"
                " WHERE id = ?",
                (post,),
            )
            database.execute(
                "UPDATE posts SET reason = CASE WHEN coalesce(reason, ?1) = ?1 THEN ?1 ELSE ?2 END,"
                " caption = NULL, author = NULL, date = NULL WHERE id = ?3",
                (DELETED, DELETED_UNKEPT, post),
            )
            database.execute("DELETE FROM pictures WHERE id = ?", (post,))


def _is_known(database: sqlite3.Connection, post: str) -> bool:
    query = "SELECT 1 FROM posts WHERE id = ? UNION ALL SELECT 1 FROM pictures WHERE id = ?"
    return database.execute(query, (post, post)).fetchone() is not None
