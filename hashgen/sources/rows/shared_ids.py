"""Rows that share an id: one post met again, further pictures of it, or another post."""

import dataclasses

from hashgen.corpus.posts import Post
from hashgen.sources.rows.values import RowCounts


class SharedIds:
    """Gives each post of a table the id and place in a carousel that keep apart what is not the same.

    Of each id, hashes of the caption and of the pictures are in memory. counts: gets the posts that share an id with
    an earlier one but not its caption or hashtags.
    """

    def __init__(self, counts: RowCounts) -> None:
        self._counts = counts
        self._captions: dict[str, int] = {}
        self._hashtags: dict[str, int] = {}
        self._pictures: dict[str, dict[int, int]] = {}
        self._last: Post | None = None

    def placed(self, post: Post, place: str, own_id: str) -> Post:
        """The post itself, or with a further `media_index` if its id and caption were met with another picture.

        A row without a text belongs to the row just before it if both have the same id. place: where the row is, for
        people. own_id: the id that a row with another caption or other hashtags gets, so that neither is lost.
        """
        last = self._last
        if last is not None and post.id == last.id and post.caption is None and last.caption is not None:
            post = dataclasses.replace(post, caption=last.caption, hashtags=post.hashtags or last.hashtags)
        caption, hashtags = hash(post.caption), hash(tuple(post.hashtags or ()))
        is_other = self._captions.setdefault(post.id, caption) != caption
        # A row that gives none may be a further picture of a post whose first row gives them all.
        if is_other or (post.hashtags and self._hashtags.setdefault(post.id, hashtags) != hashtags):
            self._counts.add_shared(place, post.id)
            return dataclasses.replace(post, id=own_id)
        self._last = post
        pictures = self._pictures.setdefault(post.id, {})
        index = pictures.setdefault(hash(post.image or post.image_path), len(pictures))
        return dataclasses.replace(post, media_index=index, n_media=index + 1) if index else post
