"""Source `instagram`: posts of hashtags, collected with instaloader into a state that is kept between runs.

Each run collects what is missing, then gives everything there is, in order of arrival: same state, same posts.
How a run can end, and with which exit code, stands in `hashgen.sources.stops`.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from hashgen.base.errors import HashgenError
from hashgen.base.locks import locked
from hashgen.base.progress import Collecting
from hashgen.corpus.posts import Post
from hashgen.params.scrape import Instagram as Settings
from hashgen.params.scrape import Scrape
from hashgen.sources import Opening, Source
from hashgen.sources.instagram.client import InstagramClient
from hashgen.sources.instagram.collector import Collector
from hashgen.sources.instagram.fetching import PictureFetcher
from hashgen.sources.instagram.login import Login, read_login
from hashgen.sources.instagram.politeness import Limits, Politeness, Signals
from hashgen.sources.instagram.state import DATABASE, InstagramState, errors_of
from hashgen.sources.stops import ExitCode, Refusal, Stop, disk_full
from hashgen.text.captions import hashtags_of

# Looser than any useful filter setting: what the filter would drop anyway is not worth the disk space.
_MIN_SIDE = 32
_MAX_PIXELS = 100_000_000
_PERMISSION = (
    "scrape.instagram.i_have_permission: false, so no request is sent to Instagram. Its terms of service forbid"
    " automated collection without its permission, and posts are personal data (see README.md). Set it to true if you"
    " have the right to collect these posts"
)


def read_hashtags(named: Sequence[str] | Path) -> tuple[str, ...]:
    """The hashtags to collect: lower case, without `#`, each once, in the order given.

    named: the hashtags, or a file with one per line; empty lines and lines that start with // are skipped. Raises
    HashgenError for a missing file, for an invalid hashtag, and if there is none.
    """
    where = "scrape.instagram.hashtags"
    lines: Sequence[str] = ()
    if isinstance(named, Path):
        try:
            lines = named.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise HashgenError(f"{where}: {named} cannot be read ({error}); give a list or a text file") from error
        lines = [line for line in lines if line.strip() and not line.startswith("//")]
    else:
        lines = named
    hashtags = [line.strip().removeprefix("#").lower() for line in lines]
    for hashtag in hashtags:
        if hashtags_of(f"#{hashtag}") != [hashtag]:
            raise HashgenError(f"{where}: {hashtag!r} is not a hashtag; use letters, digits and _")
    if not hashtags:
        raise HashgenError(f"{where}: {named} has no hashtags; add some, one per line")
    return tuple(dict.fromkeys(hashtags))


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.instagram` describes."""
    settings = section.instagram
    named = settings.hashtags
    hashtags = read_hashtags(opening.resolve(named) if isinstance(named, str) else named)
    return InstagramSource(settings, hashtags, opening.state, opening.salt(), refresh=opening.refresh)


class InstagramSource(Source):
    """Posts of hashtags from Instagram.

    folder: of the state, created if needed. salt: keys the hashes of authors, None to keep none. refresh: look for
    posts newer than those collected, and try again for those that were missing. clock, sleep: of epoch seconds;
    replaced in tests.
    """

    def __init__(
        self,
        settings: Settings,
        hashtags: Sequence[str],
        folder: Path,
        salt: bytes | None,
        *,
        refresh: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._hashtags = hashtags
        self._folder = folder
        self._salt = salt
        self._refresh = refresh
        self._clock = clock
        self._sleep = sleep
        self._metrics: dict[str, Any] = {}
        self._warnings: list[str] = []
        self._hashtag: str | None = None  # the one in hand
        self.total = None
        self.fault = None

    def posts(self) -> Iterator[Post]:
        """Collect what is missing, then yield all posts of the wanted hashtags in order of arrival.

        Only one process at a time uses the state; others wait. Raises HashgenError before any request if permission is
        not stated, and for an unusable session file; also for a damaged state.
        """
        path = self._folder / DATABASE
        signals = Signals()
        with (
            locked(path, "scrape"),
            errors_of(path),
            contextlib.closing(InstagramState(path, self._policy())) as state,
        ):
            state.want(self._hashtags)
            with signals.noted():
                self._collect(state, signals)
                if signals.number is not None:
                    # The signal that ended collecting must not end the export too.
                    yield from state.posts(self._salt is not None)
                    return
            yield from state.posts(self._salt is not None)

    def metrics(self) -> dict[str, Any]:
        """For each hashtag, posts wanted and collected and the status of its listing; rejects, missing pictures."""
        return self._metrics

    def warnings(self) -> list[str]:
        """What ended collecting, if that is not a fault, and how many hashtags have fewer posts than wanted."""
        return self._warnings

    def _policy(self) -> str:
        """The settings that decide the content of a collected post."""
        side = self._settings.max_side
        return f"carousel={self._settings.carousel} video={self._settings.video} max_side={side or 'any'}"

    def _collect(self, state: InstagramState, signals: Signals) -> None:
        missing = [hashtag for hashtag in self._hashtags if self._refresh or self._is_missing(state, hashtag)]
        stop = self._try(state, signals, missing) if missing else None
        statuses = self._statuses(state, self._hashtag if isinstance(stop, Refusal) else None)
        counts = {
            "rejected": state.rejected(),
            "missing_pictures": state.missing_pictures(),
            "broken_nodes": state.broken_nodes(),
        }
        self._metrics = {"hashtags": statuses, **counts}
        self.total = state.total()
        if stop is not None:
            self._end(stop)
        self._report_shortfall(statuses)
        if missing := self._metrics["missing_pictures"]:
            self._warnings.append(
                f"{missing:,} pictures of carousels could not be had; set HASHGEN_REFRESH=1 to try them again"
            )

    def _is_missing(self, state: InstagramState, hashtag: str) -> bool:
        return state.listing(hashtag).status == "open" and state.collected(hashtag) < self._settings.per_hashtag

    def _try(self, state: InstagramState, signals: Signals, hashtags: Sequence[str]) -> Stop | None:
        """Collect the posts of the hashtags; returns what ended that early."""
        if not self._settings.i_have_permission:
            raise HashgenError(_PERMISSION, ExitCode.PARAMETERS)
        login = read_login(os.environ)
        try:
            self._ask(state, signals, hashtags, login)
        except Stop as stop:
            return stop
        except Exception as error:
            if full := disk_full(error):
                return full
            raise
        return None

    def _ask(self, state: InstagramState, signals: Signals, hashtags: Sequence[str], login: Login | None) -> None:
        settings = self._settings
        limits = Limits(settings.pause_seconds, settings.requests_per_hour, settings.requests_per_day)
        with contextlib.ExitStack() as open_things:
            watcher = open_things.enter_context(Collecting("scrape", len(hashtags), settings.per_hashtag))
            politeness = Politeness(limits, state, signals, watcher.waiting, self._clock, self._sleep)
            watcher.left = politeness.requests_left
            politeness.check_refusals()
            client = InstagramClient(politeness, login, self._folder / "instagram.log")
            open_things.callback(client.close)
            fetcher = PictureFetcher(
                open_things.enter_context(requests.Session()),
                per_minute=settings.images_per_minute,
                max_side=settings.max_side,
                min_side=_MIN_SIDE,
                max_pixels=_MAX_PIXELS,
                logged_in=login is not None,
                sleep=politeness.wait,
            )
            open_things.callback(fetcher.close)
            salt, refresh = self._salt, self._refresh
            collector = Collector(state, client, fetcher, politeness, settings, salt, watcher, refresh)
            for self._hashtag in hashtags:
                collector.collect(self._hashtag)
            collector.finish()

    def _statuses(self, state: InstagramState, refused: str | None) -> dict[str, dict[str, Any]]:
        return {hashtag: self._status(state, hashtag, hashtag == refused) for hashtag in self._hashtags}

    def _status(self, state: InstagramState, hashtag: str, refused: bool) -> dict[str, Any]:
        wanted, got = self._settings.per_hashtag, state.kept(hashtag)
        status = state.listing(hashtag).status
        if state.collected(hashtag) >= wanted:
            status = "complete"
        elif status == "open":
            status = "refused" if refused else "waiting"
        return {"wanted": wanted, "got": got, "status": status}

    def _end(self, stop: Stop) -> None:
        """Turn what ended collecting into the fault, or into a warning if the parameters say so."""
        place = f" at #{self._hashtag}" if self._hashtag else ""
        kept = f"after {self.total:,} posts, all kept" if self.total else "before any post was collected"
        message = f"{stop.what}{place} {kept}; {stop.advice()}"
        is_refusal = stop.exit_code in (ExitCode.WAIT, ExitCode.LOGIN, ExitCode.ATTENTION)
        if is_refusal and self.total and self._settings.on_refusal == "use":
            self._warnings.append(
                f"{message}; continuing with the posts collected so far (scrape.instagram.on_refusal: use)"
            )
        else:
            self.fault = HashgenError(message, stop.exit_code)

    def _report_shortfall(self, statuses: dict[str, dict[str, Any]]) -> None:
        short = [
            f"#{hashtag} {one['got']:,} ({one['status'].replace('_', ' ')})"
            for hashtag, one in statuses.items()
            if one["status"] in ("ended_early", "repeating", "not_found")
        ]
        if not short:
            return
        named = ", ".join(short[:5]) + (", …" if len(short) > 5 else "")
        message = (
            f"{len(short):,} of {len(statuses):,} hashtags have fewer than {self._settings.per_hashtag:,} posts:"
            f" {named}; set HASHGEN_REFRESH=1 to try them again"
        )
        if rejected := self._metrics["rejected"]:
            message += "; rejected: " + ", ".join(f"{reason} {number:,}" for reason, number in rejected.items())
        if not self.total and self.fault is None:
            self.fault = HashgenError(f"{message}; fix scrape.instagram.hashtags", ExitCode.PARAMETERS)
        elif self._settings.on_shortfall == "fail" and self.fault is None:
            self.fault = HashgenError(
                f"scrape.instagram.on_shortfall: fail: {message}; set it to accept to continue with these posts"
            )
        else:
            self._warnings.append(message)
