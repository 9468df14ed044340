"""What is sent for a post: the picture, small and without metadata, and a text. Nothing else of the post is known here.

The protocol is that of OpenAI's chat completions, which ollama, llama.cpp, vLLM and others speak too.
"""

import base64
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hashgen.base.errors import HashgenError
from hashgen.base.files import require
from hashgen.corpus.posts import read_picture_bytes
from hashgen.params.baselines import Vlm
from hashgen.pictures.decode import PILLOW_LIMIT, BadPicture, decode_picture
from hashgen.text.captions import clean_caption

# Longest side of a picture in pixels, and its JPEG quality.
SIDE = 512
QUALITY = 90
# Ends the answers of models that never stop; those that think first need many.
_MAX_TOKENS = 2000


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a post's picture is: shard and row, and the SHA-256 of its bytes when the filter ran; and the caption."""

    caption: str
    shard: str
    row: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Question:
    """One request. picture: a JPEG."""

    model: str
    text: str
    picture: bytes

    @property
    def key(self) -> str:
        """Hex SHA-256 of all that is sent. Where it is sent, and with which key, is no part of it."""
        document = self._body(hashlib.sha256(self.picture).hexdigest())
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    @property
    def body(self) -> dict[str, Any]:
        """The JSON to send."""
        return self._body(f"data:image/jpeg;base64,{base64.b64encode(self.picture).decode()}")

    def _body(self, picture: str) -> dict[str, Any]:
        content = [{"type": "text", "text": self.text}, {"type": "image_url", "image_url": {"url": picture}}]
        message = {"role": "user", "content": content}
        return {"model": self.model, "messages": [message], "temperature": 0, "max_tokens": _MAX_TOKENS}


def questions(places: Sequence[Place], raw: Path, vlm: Vlm, count: int) -> Iterator[tuple[int, Question]]:
    """Yield (number in `places`, question), shard by shard; one picture is in memory at a time.

    raw: folder of the raw shards. count: how many hashtags are asked for. Raises HashgenError when a raw picture is not
    the one that the filter saw.
    """
    shards: dict[str, dict[int, list[int]]] = {}
    for number, place in enumerate(places):
        shards.setdefault(place.shard, {}).setdefault(place.row, []).append(number)
    for shard, rows in sorted(shards.items()):
        found = dict.fromkeys(rows, False)
        for row, data in read_picture_bytes(require(raw / shard, "scrape"), list(rows)):
            found[row] = True
            picture = _checked(data, f"{raw / shard} row {row}", places[rows[row][0]].sha256)
            for number in rows[row]:
                # A manifest's captions are clean already; what leaves the process is cleaned whoever wrote it.
                text = vlm.fill(clean_caption(places[number].caption), count)
                yield number, Question(vlm.model, text, picture)
        if not all(found.values()):
            raise HashgenError(
                f"{raw / shard}: has fewer rows than when the filter ran; run the stage filter again", stage="filter"
            )


def _checked(data: bytes | None, where: str, sha256: str) -> bytes:
    try:
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            raise BadPicture("changed")
        return sent_picture(data)
    except BadPicture as error:
        raise HashgenError(
            f"{where}: the picture has changed since the filter ran ({error}); run the stage filter again",
            stage="filter",
        ) from error


def sent_picture(data: bytes) -> bytes:
    """A picture as it is sent: an upright JPEG in RGB of at most `SIDE` pixels a side, without any metadata.

    Raises BadPicture as `decode_picture`.
    """
    picture = decode_picture(data, PILLOW_LIMIT)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.info.clear()  # Pillow would write the old file's comment and colour profile
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
