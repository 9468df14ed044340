"""Removes metadata from pictures: EXIF, XMP, IPTC, comments, thumbnails."""

import io
import re
from collections.abc import Iterator

from PIL import Image

from hashgen.pictures.decode import BadPicture, Header, decode_picture, read_header
from hashgen.pictures.png import SIGNATURE, chunks, readable

# JPEG quality of a picture that must be re-encoded because it was turned, has another format, or was resized.
TURNED_QUALITY = 95
RESIZED_QUALITY = 88

# The next marker of a JPEG; stuffed zeros and restarts belong to the pixels (ITU T.81, B.1.1).
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
_END, _SCAN, _TEMPORARY, _COMMENT = 0xD9, 0xDA, 0x01, 0xFE
_FIRST = 0xC0  # of the markers in use; those below it are reserved
_APPLICATION = range(0xE0, 0xF0)

# What a decoder needs, and frames of an animation; every other chunk may hold anything.
_PNG_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"pHYs")
) | frozenset((b"acTL", b"fcTL", b"fdAT"))
_WEBP_CHUNKS = frozenset((b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"))
_WEBP_METADATA_FLAGS = 0x08 | 0x04  # EXIF, XMP


def strip_metadata(data: bytes, max_pixels: int, max_side: int | None = None) -> bytes:
    """The same picture without metadata; its ICC profile stays, for colours need it.

    A JPEG, PNG or WebP that stands upright keeps its compressed data byte for byte: only segments around it are left
    out, so it decodes to the same pixels. A damaged one of which that is not true becomes a PNG of its pixels. Encoded
    again, as JPEG in RGB on white, are pictures that EXIF or XMP turns (they are turned then), other kinds of file
    (both at quality TURNED_QUALITY), and, where `max_side` is given, those with a side of more pixels: resized by
    Lanczos to that length, at RESIZED_QUALITY. Other files of `data` behind the picture (MPO, motion photos) go too.

    The picture should have been checked: a damaged one may stay damaged. Raises BadPicture as `decode_picture`.
    """
    header = read_header(data, max_pixels)
    large = max_side is not None and max(header.width, header.height) > max_side
    if not header.turned and not large:
        if header.format in ("JPEG", "MPO"):
            bare, is_certain = _bare_jpeg(data)
            return bare if is_certain else _with_pixels_of(data, bare, header, max_pixels)
        if header.format == "PNG":
            return b"".join(_bare_png(data))
        if header.format == "WEBP":
            bare = _bare_webp(data)
            return bare if bare == data else _with_pixels_of(data, bare, header, max_pixels)
    picture = decode_picture(data, max_pixels)
    if large and max_side is not None:
        scale = max_side / max(picture.size)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture.info.clear()  # Pillow would write a comment of the old file into the new one
    stream = io.BytesIO()
    quality = RESIZED_QUALITY if large else TURNED_QUALITY
    picture.save(stream, "JPEG", quality=quality, icc_profile=_rgb_profile(header))
    return stream.getvalue()


def _rgb_profile(header: Header) -> bytes | None:
    """The ICC profile if it is of RGB colours (ICC.1, 7.2.6), the only ones that are left."""
    return header.profile if header.profile is not None and header.profile[16:20] == b"RGB " else None


def _with_pixels_of(data: bytes, bare: bytes, header: Header, max_pixels: int) -> bytes:
    """`bare` if it decodes to the pixels of `data`, else a PNG of those."""
    picture = decode_picture(data, max_pixels)
    try:
        if decode_picture(bare, max_pixels).tobytes() == picture.tobytes():
            return bare
    except BadPicture:
        pass
    picture.info.clear()
    stream = io.BytesIO()
    picture.save(stream, "PNG", icc_profile=_rgb_profile(header))
    return stream.getvalue()


def _bare_jpeg(data: bytes) -> tuple[bytes, bool]:
    """What decoding and colours need of a JPEG, up to its end mark or to where it breaks off.

    Also whether it certainly decodes to the same pixels: not if anything went from between its scans, where damage
    can make a segment of what a decoder reads as pixels, or skips in another way.
    """
    kept = [data[:2]]
    position, in_scan, has_scan, is_certain = 2, False, False, True
    while found := _MARKER.search(data, position):
        if in_scan:
            kept.append(data[position : found.start()])
        elif found.start() > position:
            is_certain = not has_scan
        marker, position, in_scan = found[1][0], found.end(), False
        if marker == _END:
            return b"".join((*kept, b"\xff\xd9")), is_certain
        payload = None
        if marker != _TEMPORARY:
            length = int.from_bytes(data[position : position + 2], "big")
            payload = _bare_payload(marker, data[position + 2 : position + length])
            position += max(length, 2)
        if payload is None or marker < _FIRST or position > len(data):
            is_certain = not has_scan
        if payload is not None:
            kept.append(bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload)
        in_scan = marker == _SCAN
        has_scan = has_scan or in_scan
    if in_scan:
        kept.append(data[position:])
    return b"".join(kept), is_certain


def _bare_payload(marker: int, payload: bytes) -> bytes | None:
    """What a segment of a JPEG keeps of its payload; None: the segment goes."""
    if marker == 0xE0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        return payload[:12] + b"\0\0"  # no thumbnail: 0 x 0 pixels
    if marker == 0xE2 and payload.startswith(b"ICC_PROFILE\0"):
        return payload
    if marker == 0xEE and payload.startswith(b"Adobe") and len(payload) >= 12:
        return payload[:12]
    return None if marker in _APPLICATION or marker == _COMMENT else payload


def _bare_png(data: bytes) -> Iterator[bytes]:
    """The chunks of a PNG that decoding and colours need, up to its end."""
    yield SIGNATURE
    data = readable(data)  # without profiles too large to be read, and damaged chunks
    for kind, start, end in chunks(data):
        if kind in _PNG_CHUNKS:
            yield data[start:end]


def _bare_webp(data: bytes) -> bytes:
    """A WebP of the chunks that decoding and colours need, its flags and its length to match."""
    kept = [b"WEBP"]
    position, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position < end:
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        payload = data[position + 8 : position + 8 + length]
        if kind == b"VP8X":
            payload = bytes(flags & ~_WEBP_METADATA_FLAGS for flags in payload[:1]) + payload[1:]
        if kind in _WEBP_CHUNKS:
            kept += [kind, length.to_bytes(4, "little"), payload, b"\0" * (length % 2)]
        position += 8 + length + length % 2
    body = b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
