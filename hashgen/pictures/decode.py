"""Reading pictures with Pillow, safely for any bytes."""

import contextlib
import dataclasses
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashgen.pictures.perceptual_hash import HASH_SIDE, perceptual_hash
from hashgen.pictures.png import readable

# Named one by one because Pillow also opens formats that run other programs (EPS).
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_LATE_SIGNATURES = (b"WEBP", b"ftypavif", b"ftypavis")
PILLOW_LIMIT = 178_956_970

_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_STDERR = threading.Lock()
# Some faults Pillow logs as well as raises, and what nothing handles Python prints.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """A sound picture: width and height in pixels as people see it, and its perceptual hash.

    phash: one hash of 64 hex digits for each of HASH_INSETS, of which one differs in few bits from one of a re-encoded,
    resized or slightly cropped copy. None for a picture with too little structure, such as a plain colour or a
    gradient: those all have much the same hash, whatever they show.
    """

    width: int
    height: int
    phash: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What a picture's file says before its pixels.

    format: Pillow's name, one of FORMATS or MPO (a JPEG that other pictures follow). width, height: pixels as stored.
    turned: EXIF or XMP says to turn or mirror it. profile: the ICC profile, None where there is none.
    """

    format: str
    width: int
    height: int
    turned: bool
    profile: bytes | None


class BadPicture(ValueError):
    """Bytes that are not a usable picture; the message is a detail that `check_picture` lists."""


def check_picture(data: bytes, min_side: int, max_pixels: int) -> Checked:
    """Size and perceptual hash of a picture, EXIF orientation applied; everything is decoded, once.

    Raises BadPicture with the detail `empty`, `not_an_image`, `truncated` (a known format that cannot be decoded to its
    end), `too_small` (a side below `min_side` pixels) or `too_large` (more than `max_pixels`). Raises nothing else.
    """
    with guarded(data):
        size = jpeg_size(open_picture(data, max_pixels))
        # At a small scale a JPEG is still read to its last bit, in a fraction of the time.
        fits = (reduction for reduction in (8, 4, 2) if size and min(size) / reduction >= 2 * HASH_SIDE)
        picture = _decode(data, max_pixels, next(fits, 1))
        width, height = size or picture.size
    if min(width, height) < min_side:
        raise BadPicture("too_small")
    with guarded(data):
        return Checked(width, height, perceptual_hash(picture))


def read_header(data: bytes, max_pixels: int) -> Header:
    """What a picture's file says of it; little is decoded. Raises BadPicture as `decode_picture`."""
    with guarded(data):
        image = open_picture(data, max_pixels)
        # Before anything else: asking a PNG for its orientation decodes it, and takes what the file said of it away.
        size, profile = image.size, image.info.get("icc_profile")
        return Header(image.format or "", *size, _orientation(image) in _ORIENTATIONS, profile or None)


def decode_picture(data: bytes, max_pixels: int, reduction: int = 1) -> Image.Image:
    """Decode a picture to 8-bit RGB: first frame, EXIF orientation applied, transparency on white, 16 bit scaled.

    max_pixels: largest width times height; the header is checked before anything is decoded, and Pillow's own limit
    of 178,956,970 pixels holds besides. reduction: 1, 2, 4 or 8; a JPEG is decoded at that fraction of its size,
    other formats ignore it. Raises BadPicture (details as `check_picture`) for anything that is wrong.
    """
    with guarded(data):
        return _decode(data, max_pixels, reduction)


@contextlib.contextmanager
def guarded(data: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises on damaged bytes into BadPicture, and silence its warnings."""
    if not data:
        raise BadPicture("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadPicture:
        raise
    except Image.DecompressionBombError as error:
        raise BadPicture("too_large") from error
    # Plugins raise SyntaxError, struct.error, KeyError, ZeroDivisionError and more on damaged files.
    except Exception as error:
        raise BadPicture("truncated") from error


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """A picture whose header was read and nothing more, at most `max_pixels` large; within `guarded`."""
    Image.init()
    try:
        image = Image.open(io.BytesIO(readable(data)), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError:
        raise
    except Exception as error:
        known = data.startswith(_SIGNATURES) or data[4:12] in _LATE_SIGNATURES or data[8:12] in _LATE_SIGNATURES
        raise BadPicture("truncated" if known else "not_an_image") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise BadPicture("truncated")
    if width * height > max_pixels:
        raise BadPicture("too_large")
    return image


def _decode(data: bytes, max_pixels: int, reduction: int) -> Image.Image:
    image = open_picture(data, max_pixels)
    if reduction > 1:
        image.draft(image.mode, (max(1, image.width // reduction), max(1, image.height // reduction)))
    with _without_stderr() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()
    # After loading: Pillow turns TIFF files by itself and then forgets their orientation.
    turn = _ORIENTATIONS.get(_orientation(image))
    picture = _to_rgb(image)
    return picture if turn is None else picture.transpose(turn)


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Silence libtiff, which prints what it finds wrong to stderr; Pillow has no switch for that, only the descriptor.

    One thread at a time. What other threads print meanwhile is lost.
    """
    with _STDERR, Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        # With broken EXIF the orientation is unknown, but the picture is fine.
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale 16-bit values 0..65535 to 0..255; values of any other range by their own extremes."""
    pixels = np.nan_to_num(values.astype(np.float64))  # (height, width)
    low, high = float(pixels.min()), float(pixels.max())
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        pixels = (pixels - low) / ((high - low) or 1.0)
    else:
        pixels = pixels / 65535
    return np.rint(pixels * 255).astype(np.uint8)


def jpeg_size(image: Image.Image) -> tuple[int, int] | None:
    """Upright size of a JPEG from its header; None for other formats, of which some turn only when loaded."""
    if image.format not in ("JPEG", "MPO"):
        return None
    return (image.height, image.width) if _orientation(image) in _SIDEWAYS else image.size
