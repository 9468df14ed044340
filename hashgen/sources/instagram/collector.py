"""Reads the listings of hashtags page by page and decides each post: kept with its picture, or rejected and why.

A post whose picture fails is set aside until another picture is served: only then is the failure its own. After a few
failures in a row (see `outages`) the run stops. The next run leaves the posts of that row for later, so that it gets
past them if they are the ones at fault; once a picture is served they are asked for again, and decided.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn, Protocol

from hashgen.corpus.posts import Post
from hashgen.params.scrape import Instagram as Settings
from hashgen.sources.authors import hash_author
from hashgen.sources.instagram.answers import ListedPost, Medium, Page
from hashgen.sources.instagram.client import InstagramClient, NotFound
from hashgen.sources.instagram.fetching import FetchFault, PictureFetcher, Refused
from hashgen.sources.instagram.outages import DETAIL, PICTURE, Row
from hashgen.sources.instagram.politeness import Politeness
from hashgen.sources.instagram.state import RETRIED, InstagramState, Listing, Picture
from hashgen.sources.stops import ExitCode, Refusal, Stop

# After this many pages in a row with nothing new, a listing has ended.
_BARREN_PAGES = 3
# After this many known posts (or all there are), the search for new ones ends: fewer may be strays.
_MET_POSTS = 3


class _NoDetail(Exception):
    """A post whose own page cannot be had; the message is the reason that is counted."""


class Watcher(Protocol):
    """Gets reports on the progress of collecting."""

    def hashtag(self, name: str, kept: int) -> None: ...  # noqa: D102

    def post(self, kept: bool) -> None: ...  # noqa: D102


@dataclasses.dataclass(slots=True)
class _Aside:
    """A post that is not decided yet, and the hashtags it was seen under.

    row, served: of what failed, and how often one was served before. reason: None if it is still to be asked for.
    """

    hashtags: list[str]
    listed: ListedPost
    row: Row
    served: int
    reason: str | None = None
    failed: list[Picture] = dataclasses.field(default_factory=list)


class Collector:
    """Collects hashtags one after another.

    The state is saved post by post, so that the next call continues no matter how the last one ended. refresh: see
    `collect`; posts that were rejected, or kept without some of their pictures, for what may be different by now are
    then asked for again.
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
        refresh: bool,
    ) -> None:
        self._state = state
        self._client = client
        self._fetcher = fetcher
        self._politeness = politeness
        self._settings = settings
        self._salt = salt
        self._watcher = watcher
        self._is_refresh = refresh
        self._kept = 0
        self._rows = {kind: Row(kind) for kind in (PICTURE, DETAIL)}
        self._aside: dict[str, _Aside] = {}
        # Progress that must not be saved yet: pages with posts that are set aside are read again after a kill.
        self._held: dict[str, Listing] = {}
        marks = state.marked()
        self._doubted = {post: self._rows[mark] for post, mark in marks if mark in self._rows}
        self._again = state.retriable() if refresh else set()
        self._retried = {post for post, mark in marks if mark == RETRIED}
        self._kept_post: ListedPost | None = None
        self._page_now: tuple[str, str | None, Collection[str]] | None = None
        self._renewed: dict[str, ListedPost] = {}

    def collect(self, hashtag: str) -> None:
        """Continue reading the listing of a hashtag until enough posts are kept or it ends.

        With refresh, first read from the top down to known posts, and read a listing that had ended from there again.
        Raises Stop when nothing more can be requested for now.
        """
        self._kept = self._state.collected(hashtag)
        self._watcher.hashtag(hashtag, self._kept)
        if self._is_refresh:
            self._refresh(hashtag)
        self._read_on(hashtag)

    def finish(self) -> None:
        """Decide the posts that are still set aside after the last hashtag.

        Raises Stop if there is an outage, or may be one.
        """
        for row in self._rows.values():
            waiting = [post for post, aside in self._aside.items() if aside.row is row]
            if not waiting:
                continue
            if row.is_doubtful or any(self._aside[post].reason is None for post in waiting):
                self._ask_for_a_kept_post(row)
                self._settle()
            for post in waiting:
                if post in self._aside and self._aside[post].reason is None:
                    aside = self._aside.pop(post)
                    self._decide(aside.hashtags, aside.listed)
                    self._settle()
            if row.is_doubtful:
                self._stop(row)
            row.end()
            self._settle()

    def _ask_for_a_kept_post(self, row: Row) -> None:
        """Find out whether what fails is served at all, by a post that was collected before. Raises Stop if it is not.

        Does nothing if there is no such post.
        """
        kept = self._kept_post
        if kept is None and (hashtag := self._state.latest_hashtag()) is not None:
            page = self._page(hashtag, None)
            kept = next((post for post in page.posts if self._state.is_kept(post.id)), None) if page else None
        if kept is None:
            return
        if row.kind == DETAIL:
            try:
                self._ask_for_all(kept.id)
            except _NoDetail as reason:
                row.add(str(reason))
        else:
            picture, is_served = self._fetch(kept.media[0], 1)
            if is_served:
                self._serve(row)
            else:
                row.add(str(picture.reason))
        if row.reasons:
            self._stop(row)

    def _save(self, hashtag: str, listing: Listing, **changes: object) -> Listing:
        """Remember how far a listing was read, once none of its posts is set aside."""
        changed = dataclasses.replace(listing, **changes)  # type: ignore[arg-type]
        self._held[hashtag] = changed
        self._save_held()
        return changed

    def _save_held(self) -> None:
        held_back = {hashtag for aside in self._aside.values() for hashtag in aside.hashtags}
        for hashtag in self._held.keys() - held_back:
            self._state.set_listing(hashtag, self._held.pop(hashtag))

    def _listing(self, hashtag: str) -> Listing:
        return self._held.get(hashtag) or self._state.listing(hashtag)

    def _read_on(self, hashtag: str) -> None:
        listing = self._listing(hashtag)
        barren, asked_again = 0, False
        seen: set[str] = set()  # known posts are expected where an earlier run was, and after a refresh
        while listing.status == "open" and self._kept < self._settings.per_hashtag:
            page = self._page(hashtag, listing.cursor)
            if page is None and listing.cursor is None and not self._kept:
                self._save(hashtag, listing, status="not_found")
                return
            posts, cursor = (page.posts, page.cursor) if page else ((), None)
            if not self._decide_page(hashtag, listing.cursor, posts, self._settings.per_hashtag):
                return
            ids = {post.id for post in posts}
            if ids - seen or (posts and cursor is None):
                barren, asked_again = 0, False
            elif not asked_again:
                # A passing fault would cost the posts of this page.
                asked_again = True
                continue
            else:
                barren = barren + 1 if page else _BARREN_PAGES
            seen |= ids
            listing = self._save(hashtag, listing, **_progress(listing, posts, cursor, barren))

    def _refresh(self, hashtag: str) -> None:
        """Read from the top down to known posts, and reopen a listing that had ended too early.

        Below that, where enough posts are kept, down to those that were rejected and not asked for again yet.
        """
        listing = self._listing(hashtag)
        is_short = listing.status != "open" and self._kept < self._settings.per_hashtag
        if listing.refresh_from is None:
            listing = self._save(hashtag, listing, refresh_from=self._state.last_sighting())
        known = self._state.sighted_before(hashtag, listing.refresh_from or 0)
        again = set() if is_short else (known & self._again) - self._retried
        barren = met = 0
        seen: set[str] = set()
        while known and barren < _BARREN_PAGES and (page := self._page(hashtag, listing.refresh_cursor)) is not None:
            places = [place for place, post in enumerate(page.posts) if post.id in known]
            was_met = met >= min(_MET_POSTS, len(known))
            met += len(places)
            is_met = met >= min(_MET_POSTS, len(known))
            # Whatever is below known posts belongs to the part of the listing that was never read.
            fresh = page.posts[: places[-1] + 1] if is_met and places else page.posts
            if was_met:
                fresh = tuple(post for post in page.posts if post.id in again)
            self._decide_page(hashtag, listing.refresh_cursor, fresh, None)
            ids = {post.id for post in page.posts}
            again -= ids
            if page.cursor is None or (is_met and not (again and places)):
                break
            barren = 0 if ids - seen else barren + 1
            seen |= ids
            listing = self._save(hashtag, listing, refresh_cursor=page.cursor)
        if again:
            # The listing no longer has them: they will not be looked for again.
            self._state.mark(again, RETRIED)
        status, cursor = listing.status, listing.cursor
        if is_short or not known or (cursor is None and status == "open"):
            # Starting at the top again would repeat the pages that were just read.
            status, cursor = "open", listing.refresh_cursor
        elif cursor is not None:
            status = "open"
        self._save(hashtag, listing, status=status, cursor=cursor, refresh_from=None, refresh_cursor=None)

    def _page(self, hashtag: str, cursor: str | None) -> Page | None:
        try:
            page = self._client.page(hashtag, cursor)
        except NotFound:
            return None
        if page.broken:
            self._state.set_broken_nodes(hashtag, cursor, page.broken)
        return page

    def _decide_page(self, hashtag: str, cursor: str | None, posts: Sequence[ListedPost], limit: int | None) -> bool:
        """Keep, reject or set aside the posts of a page. Returns whether all were seen."""
        whole = True
        self._page_now, self._renewed = (hashtag, cursor, {post.id for post in posts}), {}
        for post in posts:
            self._politeness.wait(0.0)
            if self._state.is_kept(post.id):
                self._kept_post = post
            if (aside := self._aside.get(post.id)) is not None:
                if hashtag not in aside.hashtags:
                    aside.hashtags.append(hashtag)
                continue
            if self._state.is_sighted(hashtag, post.id) and post.id not in self._again:
                continue
            if limit is not None and self._kept >= limit:
                whole = False
                break
            listed = self._renewed.get(post.id, post)
            if self._state.is_decided(post.id) and post.id not in self._again:
                self._state.sight(hashtag, post.id)
                self._watcher.post(self._state.is_collected(post.id))
            elif (row := self._doubted.pop(post.id, None)) is not None:
                self._aside[post.id] = _Aside([hashtag], listed, row, row.served)
            else:
                self._decide([hashtag], listed)
            self._settle()
            self._kept = self._state.collected(hashtag)
        if whole and not self._aside:
            self._politeness.accept()
        return whole

    def _decide(self, hashtags: list[str], listed: ListedPost, final: Row | None = None) -> None:
        """Keep or reject a post, or set it aside. final: failures of this row's kind are the post's own."""
        try:
            media, n_media = self._choose(listed)
        except _NoDetail as fault:
            aside = _Aside(hashtags, listed, self._rows[DETAIL], 0)
            self._fail(aside, str(fault), final)
            self._set_aside(aside, final)
            return
        if not media:
            self._conclude(hashtags, listed, None, "video")
            return
        aside = _Aside(hashtags, listed, self._rows[PICTURE], 0)
        there = self._pictures(listed.id)
        missing = [medium for medium in media if medium.media_index not in there]
        for place, medium in enumerate(missing):
            picture, is_served = self._fetch_anew(listed, medium, n_media)
            if not is_served:
                self._fail(aside, str(picture.reason), final)
                aside.failed.append(picture)
                if aside.row.is_outage:
                    break
                continue
            self._serve(aside.row)
            there[medium.media_index] = picture.reason
            if place == len(missing) - 1 and not aside.failed:
                # The last one goes with the decision, in one transaction.
                self._conclude(hashtags, listed, picture, _reason(there))
                return
            self._state.add_picture(listed.id, picture)
        if aside.failed:
            self._set_aside(aside, final)
        else:
            self._conclude(hashtags, listed, None, _reason(there))

    def _fail(self, aside: _Aside, reason: str, final: Row | None) -> None:
        """Note that a post, or one of its pictures, was not served."""
        aside.served, aside.reason = aside.row.served, reason
        if aside.row is not final:
            aside.row.add(reason)

    def _pictures(self, post: str) -> dict[int, str | None]:
        """The stored pictures of a post, without those that are to be asked for again."""
        stored = self._state.pictures(post)
        return {index: reason for index, reason in stored.items() if reason is None or post not in self._again}

    def _serve(self, row: Row) -> None:
        """Note that one of a row's kind was served, so that those set aside can be decided."""
        if row.is_doubtful:
            # Too many for chance: they are asked for once more.
            for aside in self._aside.values():
                if aside.row is row:
                    aside.reason = None
        row.end()

    def _set_aside(self, aside: _Aside, final: Row | None) -> None:
        """Leave a post undecided until it is known what its failure means. Raises Stop in an outage."""
        if aside.row is final:
            self._give_up(aside)
            return
        self._aside[aside.listed.id] = aside
        if aside.row.is_outage:
            self._stop(aside.row)

    def _settle(self) -> None:
        """Decide the posts after whose failures others were served."""
        ripe = [post for post, aside in self._aside.items() if aside.served < aside.row.served]
        for aside in [self._aside.pop(post) for post in ripe]:
            if aside.reason is None:
                self._politeness.wait(0.0)
                self._decide(aside.hashtags, aside.listed, final=aside.row)
            else:
                self._give_up(aside)
        if ripe:
            self._save_held()

    def _give_up(self, aside: _Aside) -> None:
        """Take what failed as the post's own: it is kept without these pictures, or rejected."""
        there = self._pictures(aside.listed.id) | {picture.media_index: picture.reason for picture in aside.failed}
        for picture in aside.failed[:-1]:
            self._state.add_picture(aside.listed.id, picture)
        last = aside.failed[-1] if aside.failed else None
        self._conclude(aside.hashtags, aside.listed, last, _reason(there) if there else aside.reason)

    def _conclude(self, hashtags: list[str], listed: ListedPost, picture: Picture | None, reason: str | None) -> None:
        """Keep a post, or reject it for a reason; one that was kept before stays so.

        picture: the last one, which is not stored yet.
        """
        was_kept = self._state.is_kept(listed.id)
        if was_kept:
            # It was asked for again for a picture that it lacked: whatever comes now, it stays.
            if picture is not None:
                self._state.add_picture(listed.id, picture)
        else:
            post = Post(
                id=listed.id,
                source="instagram",
                caption=listed.caption,
                author=hash_author(listed.owner, self._salt),
                date=listed.date,
            )
            self._state.decide(hashtags[0], post, picture, reason)
        for hashtag in hashtags[was_kept:]:
            self._state.sight(hashtag, listed.id)
        if reason is None:
            self._kept_post = listed
            self._politeness.accept()
        if listed.id in self._again and any(self._state.pictures(listed.id).values() or (reason,)):
            self._state.mark([listed.id], RETRIED)
        self._again.discard(listed.id)
        if not was_kept:
            self._watcher.post(reason is None)

    def _stop(self, row: Row) -> NoReturn:
        """End the run in an outage; its posts stay undecided, and the next run asks for others first."""
        self._state.mark([post for post, aside in self._aside.items() if aside.row is row], row.kind)
        stop = row.stop()
        raise self._refused(stop) if isinstance(stop, Refusal) else stop

    def _refused(self, refusal: Refusal) -> Refusal:
        refusal.until = self._politeness.refuse(refusal)
        return refusal

    def _choose(self, post: ListedPost) -> tuple[tuple[Medium, ...], int]:
        """The pictures wanted of a post, and how many it has; none if it has none of that kind."""
        media, knows_children = post.media, post.knows_children
        if not knows_children and (self._settings.carousel == "all" or media[0].is_video):
            media = self._ask_for_all(post.id).media
        still = tuple(medium for medium in media if not medium.is_video)
        usable = media if self._settings.video == "thumbnail" else still
        # The first still picture, or a thumbnail if the post has only videos.
        chosen = usable if self._settings.carousel == "all" or not usable else (still or usable)[:1]
        return chosen, len(media)

    def _ask_for_all(self, code: str) -> ListedPost:
        """A post with all its pictures, from its own page. Raises _NoDetail without one."""
        try:
            post = self._client.post(code)
        except NotFound:
            raise _NoDetail("gone") from None
        except Stop as stop:
            if stop.exit_code != ExitCode.ANSWER:
                raise
            raise _NoDetail("no_detail") from None
        self._serve(self._rows[DETAIL])
        return post

    def _fetch_anew(self, listed: ListedPost, medium: Medium, n_media: int) -> tuple[Picture, bool]:
        """A picture as `_fetch`; if its address has expired, the page is asked for anew, once."""
        picture, is_served = self._fetch(medium, n_media)
        # Addresses that are not of the listing are of a post's own page, which was only just asked for.
        if picture.reason != "url_expired" or medium not in listed.media:
            return picture, is_served
        if self._page_now is not None and listed.id in self._page_now[2]:
            hashtag, cursor, _ = self._page_now
            self._page_now = None
            page = self._page(hashtag, cursor)
            self._renewed = {post.id: post for post in page.posts} if page else {}
        renewed = self._renewed.get(listed.id, listed)
        if renewed is listed:
            return picture, is_served
        anew = next((one for one in renewed.media if one.media_index == medium.media_index), medium)
        return self._fetch(anew, n_media)

    def _fetch(self, medium: Medium, n_media: int) -> tuple[Picture, bool]:
        """A picture, or why there is none, and whether the servers served it, usable or not."""
        data, reason, is_served = None, None, True
        try:
            if medium.url:
                data = self._fetcher.fetch(medium.url)
            else:
                reason, is_served = "no_picture", False
        except Refused as refused:
            what = f"the picture servers asked us to wait ({refused.status})"
            raise self._refused(Refusal(what, ExitCode.WAIT, retry_after=refused.retry_after)) from None
        except Refusal as refusal:
            raise self._refused(refusal) from None
        except FetchFault as fault:
            reason, is_served = fault.reason, fault.served
        kind = "video" if medium.is_video else "image"
        return Picture(medium.media_index, n_media, kind, data, reason), is_served


def _reason(there: Mapping[int, str | None]) -> str | None:
    """Why a post with these pictures is rejected; None if there is one."""
    return None if None in there.values() else list(there.values())[-1]


def _progress(listing: Listing, posts: Sequence[ListedPost], cursor: str | None, barren: int) -> dict[str, object]:
    """The fields of a listing that change after a whole page."""
    if cursor is None and posts:
        return {"status": "ended_early", "cursor": None}
    if barren >= _BARREN_PAGES:
        return {"status": "repeating" if posts else "ended_early"}
    return {"cursor": cursor or listing.cursor}
