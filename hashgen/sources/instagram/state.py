"""What was collected from Instagram, in SQLite: it survives a kill at any time, and posts are exported from it.

A post is decided in one transaction: kept with its picture, or rejected with a reason. Addresses of pictures are never
written: after a kill the current page is requested again. Everything is stored by policy, the settings that decide the
content of a post, so that runs with other numbers, pauses or hashtags build on what is there. A deleted post keeps its
row without content, so that no policy collects it again.
"""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.sources.stops import ExitCode, disk_full

DATABASE = "instagram.sqlite"
DELETED, DELETED_UNKEPT = "deleted", "deleted_unkept"  # reasons of posts deleted by hand: kept before, or not
# Reasons that are true of the post itself. Posts rejected for any other may be had at another time.
_LASTING = (DELETED, DELETED_UNKEPT, "video", "too_small", "too_large")
RETRIED = "retried"  # the mark of a rejected post that was asked for again, in vain
_IS_DELETED = f"reason IN ('{DELETED}', '{DELETED_UNKEPT}')"
_IS_NOT_DELETED = f"id NOT IN (SELECT id FROM posts WHERE {_IS_DELETED})"
_VERSION = 2
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS posts (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    policy TEXT NOT NULL,
    id TEXT NOT NULL,
    reason TEXT,        -- why it was rejected; NULL if it is kept
    caption TEXT,
    author TEXT,        -- a hash
    date REAL,          -- epoch seconds
    UNIQUE (policy, id)
);
CREATE INDEX IF NOT EXISTS deleted_posts ON posts (id) WHERE {_IS_DELETED};
CREATE TABLE IF NOT EXISTS pictures (
    policy TEXT NOT NULL,
    id TEXT NOT NULL,
    media_index INTEGER NOT NULL,
    n_media INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT,        -- why there are no bytes; NULL if there are
    bytes BLOB,
    PRIMARY KEY (policy, id, media_index)
);
CREATE TABLE IF NOT EXISTS sightings (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    policy TEXT NOT NULL,
    id TEXT NOT NULL,
    hashtag TEXT NOT NULL,
    UNIQUE (policy, id, hashtag)
);
CREATE INDEX IF NOT EXISTS sightings_of_hashtag ON sightings (policy, hashtag);
CREATE TABLE IF NOT EXISTS listings (
    policy TEXT NOT NULL,
    hashtag TEXT NOT NULL,
    status TEXT NOT NULL,
    cursor TEXT,            -- of the current page; NULL for the first
    refresh_from INTEGER,   -- while new posts are looked for: the last sighting before that began
    refresh_cursor TEXT,    -- of its current page
    PRIMARY KEY (policy, hashtag)
);
CREATE TABLE IF NOT EXISTS broken_nodes (
    policy TEXT NOT NULL,
    hashtag TEXT NOT NULL,
    cursor TEXT NOT NULL,   -- of their page; empty for the first
    number INTEGER NOT NULL,
    PRIMARY KEY (policy, hashtag, cursor)
);
CREATE TABLE IF NOT EXISTS marks (
    policy TEXT NOT NULL,
    id TEXT NOT NULL,
    mark TEXT NOT NULL,     -- see InstagramState.mark
    PRIMARY KEY (policy, id, mark)
);
CREATE TABLE IF NOT EXISTS requests (at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS requests_by_time ON requests (at);
CREATE TABLE IF NOT EXISTS refusals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    until REAL NOT NULL,
    what TEXT NOT NULL,
    exit_code INTEGER NOT NULL DEFAULT 3,
    over INTEGER NOT NULL DEFAULT 0
);
CREATE TEMP TABLE wanted (hashtag TEXT PRIMARY KEY);
"""
_END_OF_TIME = 1e11  # epoch seconds
_OUT_OF_REACH = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_PERM", "SQLITE_IOERR")
_STATUSES = ("open", "ended_early", "repeating", "not_found")
_FROM_VERSION_1 = "ALTER TABLE refusals ADD COLUMN exit_code INTEGER NOT NULL DEFAULT 3;"


class Damaged(Exception):
    """The database can be read, but not all that is in it was written by this program."""


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Turn what a damaged, unreadable or unwritable database raises, and a full disk, into HashgenError."""
    try:
        yield
    # The last is what sqlite3 raises where it cannot even decode SQLite's message.
    except (sqlite3.Error, Damaged, UnicodeDecodeError) as error:
        if full := disk_full(error):
            raise HashgenError(f"{path}: {full.what}; {full.advice()}", full.exit_code) from error
        if _is_out_of_reach(error):
            raise HashgenError(f"{path}: cannot be opened ({error}); choose another folder with --state") from error
        remedy = "nothing was deleted; restore it from a copy, or choose another folder with --state"
        raise HashgenError(f"{path}: damaged ({in_words(error)}); {remedy}") from error


def in_words(error: Exception) -> str:
    """What an error of SQLite says, in one line: in a damaged file it may quote any bytes."""
    if isinstance(error, UnicodeDecodeError):
        return "not text"
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(error).split()))


def _is_out_of_reach(error: Exception) -> bool:
    """Whether the file could not be opened or written to, whatever is in it."""
    return isinstance(error.__cause__, OSError) or getattr(error, "sqlite_errorname", "").startswith(_OUT_OF_REACH)


def _moment(date: float) -> datetime:
    try:
        return datetime.fromtimestamp(date, tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise Damaged("an impossible date") from None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """How far a hashtag's listing was read.

    status: "open", or how it ended ("ended_early", "repeating", "not_found"). cursor, refresh_cursor: of the current
    page, None for the first; the second while looking for new posts. refresh_from: then the number of the last sighting
    before that began, otherwise None.
    """

    status: str = "open"
    cursor: str | None = None
    refresh_from: int | None = None
    refresh_cursor: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a post, whole and checked, or the reason why there is none.

    media_index of n_media in its carousel. kind: "image" or "video".
    """

    media_index: int
    n_media: int
    kind: str
    data: bytes | None
    reason: str | None = None


class InstagramState:
    """The database of one state folder, seen under one policy. Each method is one transaction.

    Raises HashgenError when the file cannot be opened or is not such a database. Methods raise sqlite3.Error or
    Damaged: use them within `errors_of`.
    """

    def __init__(self, path: Path, policy: str) -> None:
        self._policy = policy
        with errors_of(path):
            try:
                path.touch(mode=0o600)  # readable by its owner only
            except OSError as error:
                raise sqlite3.OperationalError(str(error)) from error
            self._db = sqlite3.connect(path, timeout=60)
            try:
                self._open(path)
            except BaseException:
                self._db.close()
                raise

    def _open(self, path: Path) -> None:
        # Whoever writes to a damaged file may lose what is left of it.
        if (found := self._value("PRAGMA quick_check(1)")) != "ok":
            raise Damaged(found)
        version = self._value("PRAGMA user_version")
        if version not in (0, 1, _VERSION):
            raise HashgenError(f"{path}: created by another version of hashgen; choose another folder with --state")
        self._db.execute("PRAGMA temp_store = MEMORY")
        if version == 1:
            self._db.executescript(f"BEGIN; {_FROM_VERSION_1} PRAGMA user_version = {_VERSION}; COMMIT;")
        self._db.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")

    def close(self) -> None:
        """Close the database; nothing can be read or written after."""
        self._db.close()

    def _value(self, query: str, *values: Any) -> Any:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _rows(self, kinds: tuple[type | UnionType, ...], query: str, *values: Any) -> Iterator[Any]:
        """The rows of a query. kinds: of the columns. SQLite gives what a damaged file holds, of any kind."""
        for row in self._db.execute(query, values):
            if not all(map(isinstance, row, kinds)):
                raise Damaged("a value of a wrong kind")
            yield row

    def listing(self, hashtag: str) -> Listing:
        """How far the listing of a hashtag was read."""
        query = "SELECT status, cursor, refresh_from, refresh_cursor FROM listings WHERE policy = ? AND hashtag = ?"
        kinds = (str, str | None, int | None, str | None)
        found = next((Listing(*row) for row in self._rows(kinds, query, self._policy, hashtag)), Listing())
        if found.status not in _STATUSES:
            raise Damaged("an unknown status of a listing")
        return found

    def set_listing(self, hashtag: str, listing: Listing) -> None:
        """Remember how far the listing of a hashtag was read."""
        values = (listing.status, listing.cursor, listing.refresh_from, listing.refresh_cursor)
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?, ?)", (self._policy, hashtag, *values)
            )

    def is_decided(self, post: str) -> bool:
        """Whether a post was kept or rejected, or deleted under any policy."""
        query = (
            "SELECT 1 FROM posts WHERE policy = ? AND id = ?"
            f" UNION ALL SELECT 1 FROM posts WHERE id = ? AND {_IS_DELETED}"
        )
        return bool(self._value(query, self._policy, post, post))

    def is_sighted(self, hashtag: str, post: str) -> bool:
        """Whether a post was seen in the listing of a hashtag."""
        query = "SELECT 1 FROM sightings WHERE policy = ? AND id = ? AND hashtag = ?"
        return bool(self._value(query, self._policy, post, hashtag))

    def last_sighting(self) -> int:
        """The number of the last sighting, 0 before the first."""
        return int(self._value("SELECT coalesce(max(number), 0) FROM sightings"))

    def sighted_before(self, hashtag: str, number: int) -> set[str]:
        """The posts seen under a hashtag up to sighting `number`."""
        query = "SELECT id FROM sightings WHERE policy = ? AND hashtag = ? AND number <= ?"
        return {post for (post,) in self._rows((str,), query, self._policy, hashtag, number)}

    def retriable(self) -> set[str]:
        """The posts that were rejected, or lack one of their pictures, for what may be different another time."""
        query = (
            f"SELECT id FROM posts WHERE policy = ? AND reason NOT IN {_LASTING} AND {_IS_NOT_DELETED}"
            " UNION SELECT id FROM pictures WHERE policy = ?"
            f" AND reason NOT IN {_LASTING} AND {_IS_NOT_DELETED}"
            " AND EXISTS (SELECT 1 FROM posts WHERE policy = pictures.policy AND id = pictures.id AND reason IS NULL)"
        )
        return {post for (post,) in self._rows((str,), query, self._policy, self._policy)}

    def mark(self, posts: Iterable[str], mark: str) -> None:
        """Remember something of posts: RETRIED, or in which row of failures they were set aside (see `outages`)."""
        with self._db:
            rows = ((self._policy, post, mark) for post in posts)
            self._db.executemany("INSERT OR IGNORE INTO marks VALUES (?, ?, ?)", rows)

    def marked(self) -> list[tuple[str, str]]:
        """The marked posts, each with its mark."""
        query = "SELECT id, mark FROM marks WHERE policy = ?"
        return [(post, mark) for post, mark in self._rows((str, str), query, self._policy)]

    def latest_hashtag(self) -> str | None:
        """The hashtag under which a kept post was seen last; None if no post is kept."""
        query = (
            "SELECT hashtag FROM sightings JOIN posts USING (policy, id) WHERE policy = ? AND reason IS NULL"
            " ORDER BY number DESC LIMIT 1"
        )
        return next((hashtag for (hashtag,) in self._rows((str,), query, self._policy)), None)

    def is_kept(self, post: str) -> bool:
        """Whether a post is kept."""
        query = "SELECT 1 FROM posts WHERE policy = ? AND id = ? AND reason IS NULL"
        return bool(self._value(query, self._policy, post))

    def kept(self, hashtag: str) -> int:
        """Number of distinct kept posts seen under a hashtag."""
        return int(self._value(f"{_MET} AND reason IS NULL", self._policy, hashtag))

    def collected(self, hashtag: str) -> int:
        """Number of distinct posts seen under a hashtag that are kept or were deleted (and are not replaced)."""
        return int(self._value(f"{_MET} AND {_IS_COLLECTED}", self._policy, hashtag))

    def is_collected(self, post: str) -> bool:
        """Whether a post counts as `collected` for the hashtags it is seen under."""
        query = f"SELECT 1 FROM posts WHERE policy = ? AND id = ? AND {_IS_COLLECTED}"
        return bool(self._value(query, self._policy, post))

    def sight(self, hashtag: str, post: str) -> None:
        """Remember that an already decided post was seen in the listing of a hashtag."""
        with self._db:
            self._sight(hashtag, post)

    def _sight(self, hashtag: str, post: str) -> None:
        values = (self._policy, post, hashtag)
        self._db.execute("INSERT OR IGNORE INTO sightings (policy, id, hashtag) VALUES (?, ?, ?)", values)

    def pictures(self, post: str) -> dict[int, str | None]:
        """The stored pictures of an undecided post: media_index to None, or to the reason why there are no bytes."""
        query = "SELECT media_index, reason FROM pictures WHERE policy = ? AND id = ?"
        return dict(self._rows((int, str | None), query, self._policy, post))

    def add_picture(self, post: str, picture: Picture) -> None:
        """Keep one picture of several of a post; it counts once the post is decided."""
        with self._db:
            self._add_picture(post, picture)

    def _add_picture(self, post: str, picture: Picture) -> None:
        fields = (picture.media_index, picture.n_media, picture.kind, picture.reason, picture.data)
        self._db.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)", (self._policy, post, *fields))

    def decide(self, hashtag: str, post: Post, picture: Picture | None, reason: str | None) -> None:
        """Keep a post, or reject it for `reason`, with its last picture and its sighting; this replaces a rejection.

        post: of which id, caption, author and date are taken.
        """
        date = None if post.date is None else post.date.timestamp()
        with self._db:
            if picture is not None:
                self._add_picture(post.id, picture)
            self._db.execute(
                "INSERT OR REPLACE INTO posts (policy, id, reason, caption, author, date) VALUES (?, ?, ?, ?, ?, ?)",
                (self._policy, post.id, reason, post.caption, post.author, date),
            )
            self._sight(hashtag, post.id)

    def want(self, hashtags: Iterable[str]) -> None:
        """Set the hashtags that `posts`, `total` and `rejected` refer to."""
        with self._db:
            self._db.execute("DELETE FROM wanted")
            self._db.executemany("INSERT INTO wanted VALUES (?)", ((hashtag,) for hashtag in hashtags))

    def posts(self, keep_author: bool) -> Iterator[Post]:
        """The kept posts of the wanted hashtags in order of arrival, those of one carousel one after another."""
        rows = self._rows(
            (str, str | None, str | None, float | None),
            "SELECT id, caption, author, date FROM posts WHERE policy = ? AND reason IS NULL"
            f" AND {_IS_WANTED} ORDER BY arrival",
            self._policy,
        )
        given = set()
        for post, caption, author, date in rows:
            if post in given:
                raise Damaged("a post that is there twice")
            given.add(post)
            shared = {
                "id": post,
                "source": "instagram",
                "caption": caption,
                "seed_hashtags": self._seeds(post),
                "author": author if keep_author else None,
                "date": None if date is None else _moment(date),
            }
            pictures = self._rows(
                (int, int, str, bytes),
                "SELECT media_index, n_media, kind, bytes FROM pictures"
                " WHERE policy = ? AND id = ? AND reason IS NULL ORDER BY media_index",
                self._policy,
                post,
            )
            last = -1
            for media_index, n_media, kind, data in pictures:
                if not last < media_index < n_media < 2**31 or kind not in ("image", "video"):
                    raise Damaged("an impossible picture")
                last = media_index
                yield Post(**shared, media_index=media_index, n_media=n_media, kind=kind, image=data)

    def _seeds(self, post: str) -> list[str]:
        query = "SELECT hashtag FROM sightings JOIN wanted USING (hashtag) WHERE policy = ? AND id = ? ORDER BY number"
        return [hashtag for (hashtag,) in self._rows((str,), query, self._policy, post)]

    def total(self) -> int:
        """How many posts of the wanted hashtags are kept."""
        query = f"SELECT count(*) FROM posts WHERE policy = ? AND reason IS NULL AND {_IS_WANTED}"
        return int(self._value(query, self._policy))

    def rejected(self) -> dict[str, int]:
        """How many posts of the wanted hashtags were rejected or deleted, by reason."""
        query = (
            "SELECT reason, count(*) FROM posts WHERE policy = ? AND reason IS NOT NULL"
            f" AND {_IS_WANTED} GROUP BY reason ORDER BY reason"
        )
        found = dict(self._rows((str, int), query, self._policy))
        if not all(reason.isidentifier() for reason in found):
            raise Damaged("an impossible reason")
        return found

    def missing_pictures(self) -> int:
        """How many pictures the kept posts of the wanted hashtags lack for what may be different another time."""
        query = (
            f"SELECT count(*) FROM pictures JOIN posts USING (policy, id) WHERE policy = ? AND posts.reason IS NULL"
            f" AND pictures.reason NOT IN {_LASTING} AND {_IS_WANTED}"
        )
        return int(self._value(query, self._policy))

    def set_broken_nodes(self, hashtag: str, cursor: str | None, number: int) -> None:
        """Remember how many nodes of a page contain no post. cursor: of the page, None for the first."""
        with self._db:
            values = (self._policy, hashtag, cursor or "", number)
            self._db.execute("INSERT OR REPLACE INTO broken_nodes VALUES (?, ?, ?, ?)", values)

    def broken_nodes(self) -> int:
        """How many nodes on the pages of the wanted hashtags contain no post."""
        query = "SELECT coalesce(sum(number), 0) FROM broken_nodes JOIN wanted USING (hashtag) WHERE policy = ?"
        return int(self._value(query, self._policy))

    def add_request(self, at: float) -> None:
        """Count a request that is about to be sent, at epoch seconds `at`; forgets those older than two days."""
        with self._db:
            self._db.execute("DELETE FROM requests WHERE at < ?", (at - 2 * 86400,))
            self._db.execute("INSERT INTO requests VALUES (?)", (at,))

    def request_times(self, since: float) -> list[float]:
        """Epoch seconds of the requests after `since`, ascending."""
        return [at for (at,) in self._rows((float,), "SELECT at FROM requests WHERE at > ? ORDER BY at", since)]

    def last_request(self) -> float | None:
        """Epoch seconds of the latest request."""
        times = [at for (at,) in self._rows((float,), "SELECT at FROM requests ORDER BY at DESC LIMIT 1")]
        return times[0] if times else None

    def add_refusal(self, at: float, until: float, what: str, exit_code: int) -> None:
        """Remember a refusal at epoch seconds `at`, and the time before which no request may be made."""
        values = (at, until, what, exit_code)
        with self._db:
            self._db.execute("INSERT INTO refusals (at, until, what, exit_code) VALUES (?, ?, ?, ?)", values)

    def refusals(self) -> list[tuple[float, float, str, int]]:
        """(at, until, what, exit code) of the refusals since the last post was collected, ascending."""
        query = "SELECT at, until, what, exit_code FROM refusals WHERE over = 0 ORDER BY number"
        found = [(at, until, what, code) for at, until, what, code in self._rows((float, float, str, int), query)]
        if not all(0 <= at < _END_OF_TIME and 0 <= until < _END_OF_TIME for at, until, _, _ in found):
            raise Damaged("a refusal at an impossible time")
        if not all(what.isprintable() and code in list(ExitCode) for _, _, what, code in found):
            raise Damaged("an impossible refusal")
        return found

    def end_refusals(self) -> None:
        """Remember that a post was collected."""
        if self.refusals():
            with self._db:
                self._db.execute("UPDATE refusals SET over = 1")


_MET = "SELECT count(*) FROM sightings JOIN posts USING (policy, id) WHERE policy = ? AND hashtag = ?"
_IS_COLLECTED = f"(reason IS NULL OR reason = '{DELETED}')"
_IS_WANTED = (
    "EXISTS (SELECT 1 FROM sightings JOIN wanted USING (hashtag)"
    " WHERE sightings.policy = posts.policy AND sightings.id = posts.id)"
)
