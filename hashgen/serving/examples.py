"""A few posts of the run's own test split, to try the page with."""

import dataclasses
import io
from pathlib import Path

from hashgen.base.errors import HashgenError
from hashgen.pictures.decode import BadPicture, decode_picture
from hashgen.serving.uploads import MAX_PIXELS

_COUNT = 6
_SIDE = 640


@dataclasses.dataclass(frozen=True)
class Sample:
    """A caption without its hashtags, and a JPEG of at most 640 pixels a side, without metadata."""

    caption: str
    jpeg: bytes


def read_samples(data: Path, only_drawn: bool) -> list[Sample]:
    """The first posts of the test split in a run's folder `data`; none where the run, or pyarrow, is not there.

    only_drawn: those of the built-in sample alone. People's posts are not for showing to others.
    """
    try:
        import pyarrow.parquet as pq

        from hashgen.corpus.posts import read_picture_bytes
    except ImportError:
        return []
    try:
        table = pq.read_table(data / "manifest" / "test.parquet", columns=["caption", "source", "shard", "row"])
        posts = [
            post
            for post in table.slice(0, 50 * _COUNT).to_pylist()
            if post["caption"] and (post["source"] == "sample" or not only_drawn)
        ]
        return [
            Sample(post["caption"], _small(picture))
            for post in posts[:_COUNT]
            for _, picture in read_picture_bytes(data / "raw" / post["shard"], [post["row"]])
        ]
    # Whatever ails the files of a run, suggestions need none of them.
    except (OSError, ValueError, KeyError, HashgenError, BadPicture):
        return []


def _small(data: bytes) -> bytes:
    picture = decode_picture(data, MAX_PIXELS)
    picture.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return stream.getvalue()
