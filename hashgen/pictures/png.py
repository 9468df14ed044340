"""The chunks of a PNG, and which of them keep Pillow from reading it though others do: too much text, bad checksums."""

import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Pillow refuses a picture with a text or profile that unpacks to over 1 MiB, and editors write histories of several.
_UNPACKED = 2**24
# Above what `readable` leaves in a picture.
PngImagePlugin.MAX_TEXT_CHUNK = 2 * _UNPACKED
PngImagePlugin.MAX_TEXT_MEMORY = 4 * _UNPACKED
# So little cannot unpack to more than that: deflate packs 1032 : 1 at best.
_HARMLESS = 2**13
_TEXTS_AND_PROFILE = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
# The texts that Pillow reads an orientation from.
_TELLING = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"exif")


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk of a PNG up to IEND; the last may be cut off, its end then beyond `data`."""
    position, kind = len(SIGNATURE), b""
    while position < len(data) and kind != b"IEND":
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        yield kind, position, end
        position = end


def readable(data: bytes) -> bytes:
    """A PNG without the chunks that keep Pillow, but not other decoders, from reading it; other bytes as they are.

    Those are chunks that a decoder may do without (PNG specification, 5.4) whose checksum is wrong. And where texts and
    profile take more than 8 KiB, texts that tell no orientation, and of the rest those that would together unpack to
    over 16 MiB. No more than that is unpacked.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept, position, left = [], 0, _UNPACKED
    has_bulk = sum(end - start for kind, start, end in chunks(data) if kind in _TEXTS_AND_PROFILE) > _HARMLESS
    for kind, start, end in chunks(data):
        if not _is_damaged(data, kind, start, end):
            if not has_bulk or kind not in _TEXTS_AND_PROFILE:
                continue
            name, _, value = data[start + 8 : end - 4].partition(b"\0")
            if kind == b"iCCP" or name in _TELLING:
                left -= _unpacked_size(kind, value, left)
                if left >= 0:
                    continue
        kept.append(data[position:start])
        position = end
    return b"".join((*kept, data[position:])) if kept else data


def _is_damaged(data: bytes, kind: bytes, start: int, end: int) -> bool:
    """Whether a whole chunk is of a kind that a decoder may do without, and its checksum is wrong."""
    if end > len(data) or not kind.isalpha() or kind[:1].isupper():
        return False
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big")


def _unpacked_size(kind: bytes, value: bytes, limit: int) -> int:
    """Bytes that a chunk's value without its name unpacks to; of more than `limit` some number above it."""
    if kind == b"iTXt" and value[:1] != b"\0":  # flag, method, language, translated name, text
        packed = value[2:].split(b"\0", 2)[-1]
    elif kind in (b"zTXt", b"iCCP"):  # method, text
        packed = value[1:]
    else:
        return len(value)
    try:
        return len(zlib.decompressobj().decompress(packed, max(0, limit) + 1))
    except zlib.error:  # Pillow leaves it out itself
        return len(value)
