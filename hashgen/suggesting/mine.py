"""A user's own past posts: they vote beside the model, so that suggestions take on the user's own hashtags.

They are kept in one file, which the user makes with `hashgen mine` and deletes to be rid of them. Nothing is trained.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import atomic_file
from hashgen.base.progress import progress
from hashgen.features.posts import Blind, Features, Posts
from hashgen.models.habits import texts_by_post
from hashgen.suggesting.requests import AT_ONCE, batches
from hashgen.text.captions import clean_caption, hashtags_of, normalise_hashtags
from hashgen.training.similarity import flags, nearest, votes, with_sum

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from hashgen.corpus.posts import Post
    from hashgen.suggesting.suggester import Suggester
    from hashgen.training.similarity import Views

_FORMAT = "hashgen own posts, version 1"
# Nearest own posts that vote, and the power of their similarity, as among training posts (`train.neighbours`). A vote
# counts as if so many more posts were there that lack the hashtag: of one post, little follows.
_POSTS, _POWER, _DOUBT = 20, 3.0, 5.0
# Sources of posts name the keys of params.yaml, which one who reads own posts never sees.
_WORDS = {
    "scrape.table.columns.caption": "--caption-column",
    "scrape.table.columns.image": "--image-column",
    "scrape.table.columns.hashtags": "--hashtags-column",
    "scrape.table.path": "the path",
    "scrape.folder.path": "the path",
    "scrape.instaloader.path": "the path",
}


@dataclasses.dataclass(frozen=True)
class Mine:
    """Own posts as vectors, and their hashtags.

    hashtags: all that they have. known: (posts, hashtags). views: the vectors, centred as the model's training posts.
    """

    hashtags: list[str]
    known: "csr_array"
    views: "Views"

    def votes(self, posts: Posts, blind: Blind | None = None) -> dict[str, float]:
        """The probability of each hashtag, 0..1, by the own posts that are most like one post (posts has one)."""
        together = list(with_sum(self.views.similarities(posts, blind)).values())[-1]
        count = min(_POSTS, self.known.shape[0])
        shares = votes(nearest(together, count), _POWER, self.known)[0] * (count / (count + _DOUBT))
        return {
            hashtag: min(1.0, float(share)) for hashtag, share in zip(self.hashtags, shares, strict=True) if share > 0
        }

    @classmethod
    def load(cls, file: Path, suggester: "Suggester") -> Self:
        """Read what `write_mine` wrote. Raises HashgenError for another file, and for another model's features."""
        again = "make it again: hashgen mine"
        try:
            with safe_open(file, "numpy") as opened:
                about = json.loads((opened.metadata() or {}).get("about", "{}"))
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            if about.get("format") != _FORMAT:
                raise ValueError("another kind of file")
            hashtags, captions = texts_by_post(about["hashtags"]), [str(caption) for caption in about["captions"]]
            plain, sentences = arrays["plain"], arrays.get("sentences")
            if plain.dtype != np.float16 or plain.ndim != 2 or not len(plain) == len(hashtags) == len(captions):
                raise ValueError("posts and their vectors differ in number")
        except FileNotFoundError as error:
            raise HashgenError(f"{file}: no such file; {again}") from error
        except Exception as error:  # the parsers of damaged files raise nearly anything
            raise system_fault(error, file) or HashgenError(f"{file}: cannot be read as own posts; {again}") from error
        if about.get("digests") != _digests(suggester):
            raise HashgenError(f"{file}: was made with another backbone or caption encoder than the model's; {again}")
        if suggester.index is None:
            raise HashgenError(f"{file}: own posts need a folder that the stage evaluate wrote (models/hashgen)")
        features = Features(plain, np.empty((len(plain), 0, plain.shape[1]), np.float16))
        wide = None if sentences is None else sentences.astype(np.float32)
        views = suggester.index.views.over(Posts(features, np.arange(len(plain)), captions, wide))
        names = list(dict.fromkeys(hashtag for one in hashtags for hashtag in one))
        numbers = {hashtag: number for number, hashtag in enumerate(names)}
        return cls(names, flags([[numbers[hashtag] for hashtag in one] for one in hashtags], len(names)), views)


def write_mine(
    posts: "Iterator[Post]", suggester: "Suggester", file: Path, total: int | None = None
) -> tuple[int, int]:
    """Encode own posts and write them to a file; returns how many were kept, and how many left out.

    A post is left out without hashtags or a readable picture, and where it is there again. Captions are kept as models
    see them. Raises HashgenError when no post is left.
    """
    captions: list[str] = []
    hashtags: list[list[str]] = []
    rows: list[npt.NDArray[np.float16]] = []
    known: set[tuple[str, tuple[str, ...], bytes]] = set()
    read = 0
    for batch in batches(progress(posts, total=total, unit="posts", label="mine"), AT_ONCE):
        read += len(batch)
        tags = [list(dict.fromkeys(hashtags_of(p.caption or "") + normalise_hashtags(p.hashtags or ()))) for p in batch]
        able = [(post, found) for post, found in zip(batch, tags, strict=True) if found and post.image is not None]
        encoded = suggester.encode_all([post.image for post, _ in able if post.image is not None])
        for (post, found), one in zip(able, encoded, strict=True):
            if isinstance(one, HashgenError):
                continue
            caption = clean_caption(post.caption or "")
            # A post of two downloads is no better evidence than of one.
            if (whole := (caption, tuple(found), hashlib.sha256(post.image or b"").digest())) not in known:
                known.add(whole)
                captions.append(caption)
                hashtags.append(found)
                rows.append(one.plain)
    if not rows:
        raise HashgenError(
            f"{file}: none of {read:,} posts has both hashtags and a readable picture; nothing is written"
        )
    arrays = {"plain": np.stack(rows)}
    if suggester.captions is not None:
        arrays["sentences"] = suggester.captions(captions)
    about = {"format": _FORMAT, "digests": _digests(suggester), "captions": captions, "hashtags": hashtags}
    with atomic_file(file) as partial:
        save_file(arrays, partial, {"about": json.dumps(about, ensure_ascii=False)})
    return len(rows), read - len(rows)


def _digests(suggester: "Suggester") -> list[str | None]:
    recipe = suggester.trained.about.recipe
    return [recipe.weights_sha256, str(recipe.image_size), recipe.precision, recipe.caption_sha256]


def open_posts(path: Path, columns: tuple[str, str, str | None]) -> "tuple[Iterator[Post], int | None]":
    """The posts of a folder of pictures, a table, or a download folder of instaloader, and how many if known.

    columns: of a table, the names of those with the caption, the picture, and the hashtags if there is one. Raises
    HashgenError when it is none.
    """
    from hashgen.params.scrape import Folder, Instaloader, Scrape, Table, TableColumns
    from hashgen.sources import Opening, open_source

    caption, image, hashtags = columns
    if not path.exists():
        raise HashgenError(
            f"{path}: no such file or folder; give a folder of pictures, a table or an instaloader folder"
        )
    names = [one.name for one in path.iterdir()] if path.is_dir() else []
    if path.is_file() or any(name.endswith(".parquet") for name in names):
        table = TableColumns(id=None, caption=caption, hashtags=hashtags, image=image, author=None, date=None)
        section = Scrape.model_construct(source="table", keep_author="none", table=Table(path=str(path), columns=table))
    elif any(name.startswith("metadata.") for name in names):
        section = Scrape.model_construct(source="folder", keep_author="none", folder=Folder(path=str(path)))
    elif not any(path.rglob("*.json*")):
        raise HashgenError(
            f"{path}: no posts here; give a folder of pictures with metadata.csv or metadata.jsonl, the file of a "
            "table, or a download folder of instaloader"
        )
    else:
        dump = Instaloader(path=str(path), carousel="first", video="skip")
        section = Scrape.model_construct(source="instaloader", keep_author="none", instaloader=dump)
    with _in_words_of_ours():
        source = open_source(section, Opening(Path, lambda: None, path.parent))
        return _told(source.posts()), source.total


def _told(posts: "Iterator[Post]") -> "Iterator[Post]":
    with _in_words_of_ours():
        yield from posts


@contextlib.contextmanager
def _in_words_of_ours() -> Iterator[None]:
    try:
        yield
    except HashgenError as error:
        message = str(error)
        for key, word in _WORDS.items():
            message = message.replace(key, word)
        raise HashgenError(message, error.exit_code, stage=error.stage) from error
