"""Reads the listings of hashtags page by page and decides each post: kept with its picture, or rejected and why."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from hashgen.corpus.posts import Post
from hashgen.params.scrape import Instagram as Settings
from hashgen.sources.authors import hash_author
from hashgen.sources.instagram.answers import ListedPost, Medium, Page
from hashgen.sources.instagram.client import InstagramClient, NotFound
from hashgen.sources.instagram.fetching import UNTRUSTED, FetchFault, PictureFetcher, Refused
from hashgen.sources.instagram.politeness import Politeness
from hashgen.sources.instagram.state import InstagramState, Listing, Picture
from hashgen.sources.stops import ExitCode, Refusal, Stop

# After this many pages in a row with nothing new, a listing has ended.
_BARREN_PAGES = 3
# After this many known posts (or all there are), the search for new ones ends: fewer may be strays.
_MET_POSTS = 3
# Such a fault may concern one picture or the network, or mean that we are no longer served.
_DOUBTFUL = ("timeout", "network", "http_5xx", "http_403")
# After this many in a row, the pictures are not to blame.
_FAILED_PICTURES = 3


class Rejected(Exception):
    """A post with nothing usable; the message is the reason that is counted."""


class Watcher(Protocol):
    """Gets reports on the progress of collecting."""

    def hashtag(self, name: str, kept: int) -> None: ...  # noqa: D102

    def post(self, kept: bool) -> None: ...  # noqa: D102


class Collector:
    """Collects hashtags one after another.

    The state is saved post by post, so that the next call continues no matter how the last one ended.
    """

    def __init__(
        self,
        state: InstagramState,
        client: InstagramClient,
        fetcher: PictureFetcher,
        politeness: Politeness,
        settings: Settings,
        salt: bytes | None,
        watcher: Watcher,
    ) -> None:
        self._state = state
        self._client = client
        self._fetcher = fetcher
        self._politeness = politeness
        self._settings = settings
        self._salt = salt
        self._watcher = watcher
        self._kept = 0
        self._aside: dict[str, tuple[str, Post, Picture]] = {}
        self._failed = 0

    def collect(self, hashtag: str, refresh: bool) -> None:
        """Continue reading the listing of a hashtag until enough posts are kept or it ends.

        refresh: first read from the top down to known posts, and reopen a listing that had ended.
        Raises Stop when nothing more can be requested for now.
        """
        self._kept = self._state.collected(hashtag)
        self._watcher.hashtag(hashtag, self._kept)
        if refresh:
            self._refresh(hashtag)
        self._read_on(hashtag)

    def _save(self, hashtag: str, listing: Listing, **changes: object) -> Listing:
        changed = dataclasses.replace(listing, **changes)  # type: ignore[arg-type]
        self._state.set_listing(hashtag, changed)
        return changed

    def _read_on(self, hashtag: str) -> None:
        listing = self._state.listing(hashtag)
        barren, resumed, asked_again = 0, True, False
        while listing.status == "open" and self._kept < self._settings.per_hashtag:
            page = self._page(hashtag, listing.cursor)
            if page is None and listing.cursor is None and not self._kept:
                self._save(hashtag, listing, status="not_found")
                return
            posts, cursor = (page.posts, page.cursor) if page else ((), None)
            new, whole = self._decide_page(hashtag, posts, self._settings.per_hashtag)
            if not whole:
                return
            # Known posts are expected on the last page, and on the page where an earlier run stopped.
            if new or (posts and (resumed or cursor is None)):
                barren, asked_again = 0, False
            elif not asked_again:
                # A passing fault would cost the posts of this page.
                asked_again = True
                continue
            else:
                barren = barren + 1 if page else _BARREN_PAGES
            resumed = False
            listing = self._save(hashtag, listing, **_progress(listing, posts, cursor, barren))

    def _refresh(self, hashtag: str) -> None:
        """Read from the top down to known posts, and reopen a listing that had ended too early."""
        listing = self._state.listing(hashtag)
        if listing.refresh_from is None:
            listing = self._save(hashtag, listing, refresh_from=self._state.last_sighting())
        known = self._state.sighted_before(hashtag, listing.refresh_from or 0)
        barren = met = 0
        while known and barren < _BARREN_PAGES and (page := self._page(hashtag, listing.refresh_cursor)) is not None:
            places = [place for place, post in enumerate(page.posts) if post.id in known]
            met += len(places)
            is_met = met >= min(_MET_POSTS, len(known))
            # Whatever is below known posts belongs to the part of the listing that was never read.
            fresh = page.posts[: places[-1]] if is_met and places else page.posts
            new, _ = self._decide_page(hashtag, fresh, None)
            if is_met or page.cursor is None:
                break
            barren = 0 if new else barren + 1
            listing = self._save(hashtag, listing, refresh_cursor=page.cursor)
        cursor = listing.cursor
        if cursor is None and listing.status == "open":
            # Starting at the top again would repeat the pages that were just read.
            cursor = listing.refresh_cursor
        status = listing.status if cursor is None and known else "open"
        self._save(hashtag, listing, status=status, cursor=cursor, refresh_from=None, refresh_cursor=None)

    def _page(self, hashtag: str, cursor: str | None) -> Page | None:
        try:
            page = self._client.page(hashtag, cursor)
        except NotFound:
            return None
        if page.broken:
            self._state.set_broken_nodes(hashtag, cursor, page.broken)
        return page

    def _decide_page(self, hashtag: str, posts: Sequence[ListedPost], limit: int | None) -> tuple[int, bool]:
        """Keep or reject the posts of a page. Returns how many are new for the hashtag and whether all were seen."""
        new, whole = 0, True
        for post in posts:
            self._politeness.wait(0.0)
            if self._state.is_sighted(hashtag, post.id) or post.id in self._aside:
                continue
            if limit is not None and self._kept >= limit:
                whole = False
                break
            if self._state.is_decided(post.id):
                self._state.sight(hashtag, post.id)
            else:
                self._decide(hashtag, post)
            kept = self._state.is_collected(post.id)
            self._kept += kept
            self._watcher.post(kept)
            new += 1
        self._reject_set_aside()
        if whole and not self._failed:
            self._politeness.accept()
        return new, whole

    def _decide(self, hashtag: str, listed: ListedPost) -> None:
        post = Post(
            id=listed.id,
            source="instagram",
            caption=listed.caption,
            author=hash_author(listed.owner, self._salt),
            date=listed.date,
        )
        try:
            media, n_media = self._choose(listed)
            there = self._state.pictures(listed.id)
            fetched = None
            for medium in media:
                if medium.media_index in there:
                    continue
                if fetched is not None and fetched.reason not in _DOUBTFUL:
                    self._state.add_picture(listed.id, fetched)
                fetched = self._fetch(medium, n_media)
                there[medium.media_index] = fetched.reason
        except Rejected as reason:
            self._state.decide(hashtag, post, None, str(reason))
            return
        reasons = [reason for reason in there.values() if reason is not None]
        if len(reasons) < len(there):
            self._state.decide(hashtag, post, fetched, None)
            self._politeness.accept()
        elif fetched is not None and fetched.reason in _DOUBTFUL:
            self._aside[post.id] = (hashtag, post, fetched)
        else:
            self._state.decide(hashtag, post, fetched, reasons[-1])

    def _weigh(self, reason: str | None) -> None:
        """Decide from the latest picture what earlier failures mean. reason: None if it was downloaded.

        Raises Stop if the pictures are not to blame; the posts that were set aside are then left undecided.
        """
        if reason == UNTRUSTED:
            self._failed = _FAILED_PICTURES
        elif reason in _DOUBTFUL:
            self._failed += 1
        else:
            self._failed = 0
            self._reject_set_aside()
        if self._failed < _FAILED_PICTURES:
            return
        if reason == "http_403":
            raise self._refused(Refusal("the picture servers refused the request (403)", ExitCode.WAIT))
        raise Stop(f"pictures cannot be downloaded ({reason})", ExitCode.NETWORK, "check your connection")

    def _reject_set_aside(self) -> None:
        for hashtag, post, picture in self._aside.values():
            self._state.decide(hashtag, post, picture, picture.reason if picture else None)
        self._aside.clear()

    def _refused(self, refusal: Refusal) -> Refusal:
        refusal.until = self._politeness.refuse(refusal)
        return refusal

    def _choose(self, post: ListedPost) -> tuple[tuple[Medium, ...], int]:
        """The pictures wanted of a post, and how many it has. Raises Rejected if it has none of that kind."""
        media, knows_children = post.media, post.knows_children
        if not knows_children and (self._settings.carousel == "all" or media[0].is_video):
            media, knows_children = self._ask_for_all(post.id).media, True
        still = tuple(medium for medium in media if not medium.is_video)
        usable = media if self._settings.video == "thumbnail" else still
        if not usable:
            raise Rejected("video")
        # The first still picture, or a thumbnail if the post has only videos.
        chosen = usable if self._settings.carousel == "all" else (still or usable)[:1]
        return chosen, len(media)

    def _ask_for_all(self, code: str) -> ListedPost:
        try:
            return self._client.post(code)
        except NotFound:
            raise Rejected("gone") from None
        except Stop as stop:
            if stop.exit_code != ExitCode.ANSWER:
                raise
            raise Rejected("no_detail") from None

    def _fetch(self, medium: Medium, n_media: int) -> Picture:
        data, reason = None, None
        if medium.url:
            try:
                data = self._fetcher.fetch(medium.url)
            except Refused as refused:
                what = f"the picture servers asked us to wait ({refused.status})"
                raise self._refused(Refusal(what, ExitCode.WAIT, retry_after=refused.retry_after)) from None
            except FetchFault as fault:
                reason = fault.reason
            self._weigh(reason)
        else:
            reason = "no_picture"
        return Picture(medium.media_index, n_media, "video" if medium.is_video else "image", data, reason)


def _progress(listing: Listing, posts: Sequence[ListedPost], cursor: str | None, barren: int) -> dict[str, object]:
    """The fields of a listing that change after a whole page."""
    if cursor is None and posts:
        return {"status": "ended_early", "cursor": None}
    if barren >= _BARREN_PAGES:
        return {"status": "repeating" if posts else "ended_early"}
    return {"cursor": cursor or listing.cursor}
