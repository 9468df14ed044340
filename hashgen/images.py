"""Pictures by Pillow: reading any bytes soundly, a hash that survives copying, and the crops that an encoder sees."""

import dataclasses
import hashlib
import io
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image

# Part of the key of every remembered feature: raise it whenever `crops` yields other pixels.
TRANSFORM_VERSION = 1

# Named one by one because Pillow also opens formats that run other programs (EPS).
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_LATE_SIGNATURES = (b"WEBP", b"ftypavif", b"ftypavis")
_PILLOW_LIMIT = 178_956_970

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

# A perceptual hash sees a picture at this many pixels a side and keeps one bit of each of its 256 slowest waves. With
# the more usual 64, unlike pictures of one kind (a horizon, a plate) come as near as copies do: see docs/filter.md.
HASH_SIDE = 64
HASH_BITS = 256
# What is cut from each side before a hash is taken: a copy that was cropped is like one of the original's insets.
HASH_INSETS = (0.0, 0.025, 0.05)
# Waves below this (DCT-II of grey 0..255, unnormalised) are not set: in a soft picture they are rounding noise.
_LEAST_WAVE = 400.0
# Waves that a picture must have to be told from others by them.
_LEAST_WAVES = 25
# A darkest and a lightest grey closer than this (of 0..255) leave nothing to hash but noise.
_LEAST_CONTRAST = 8

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """A sound picture: width and height in pixels as people see it, and its perceptual hash.

    phash: one hash of 64 hex digits for each of HASH_INSETS, of which one differs in few bits from one of a re-encoded,
    resized or slightly cropped copy. None for a picture of few waves, such as (nearly) one colour or a gradient: all
    of those have much the same hash, whatever they show.
    """

    width: int
    height: int
    phash: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What a picture's file says before its pixels.

    format: Pillow's name, one of FORMATS or MPO (a JPEG that other pictures follow). width, height: pixels as stored.
    turned: EXIF or XMP asks for turning or mirroring. profile: the ICC profile, None where there is none.
    """

    format: str
    width: int
    height: int
    turned: bool
    profile: bytes | None


class BadImage(ValueError):
    """Bytes that are no usable picture; the message is one of the short details that `check_image` lists."""


def check_image(data: bytes, min_side: int, max_pixels: int) -> Checked:
    """Size and perceptual hash of a picture, EXIF orientation applied; everything is decoded, once.

    Raises BadImage with the detail `empty`, `not_an_image`, `truncated` (a known format that cannot be decoded to its
    end), `too_small` (a side below `min_side` pixels) or `too_large` (more than `max_pixels`). No other error leaves.
    """
    with _guarded(data):
        size = _jpeg_size(_open(data, max_pixels))
        # A small scale reads a JPEG to its last bit all the same, in a fraction of the time.
        fits = (reduction for reduction in (8, 4, 2) if size and min(size) / reduction >= 2 * HASH_SIDE)
        picture = _decode(data, max_pixels, next(fits, 1))
        width, height = size or picture.size
    if min(width, height) < min_side:
        raise BadImage("too_small")
    with _guarded(data):
        return Checked(width, height, _perceptual_hash(picture))


def read_header(data: bytes, max_pixels: int) -> Header:
    """What a picture's file says of it; little is decoded. Raises BadImage as `read_image`."""
    with _guarded(data):
        image = _open(data, max_pixels)
        # Before anything else: asking a PNG for its orientation decodes it, and takes what the file said of it away.
        size, profile = image.size, image.info.get("icc_profile")
        return Header(image.format or "", *size, _orientation(image) in _ORIENTATIONS, profile or None)


def _perceptual_hash(picture: Image.Image) -> str | None:
    grey = picture.convert("L")
    whole, *insets = (_waves(grey, inset) for inset in HASH_INSETS)
    if np.count_nonzero(whole) < _LEAST_WAVES:
        return None
    found = [whole, *(inset if np.count_nonzero(inset) >= _LEAST_WAVES else whole for inset in insets)]
    return np.packbits(found).tobytes().hex()


def _waves(grey: Image.Image, inset: float) -> npt.NDArray[np.bool_]:
    """Which of the slowest waves of a picture are above the median of them: (HASH_BITS,).

    As pHash (Zauner 2010) and `imagehash.phash`, but for the floor _LEAST_WAVE and the part that is cut off.
    """
    from scipy.fft import dctn  # slow to import, and no other reader of pictures needs it

    width, height = grey.size
    box = (inset * width, inset * height, (1 - inset) * width, (1 - inset) * height)
    small = np.asarray(grey.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS, box), np.float32)
    if np.ptp(small) < _LEAST_CONTRAST:
        return np.zeros(HASH_BITS, np.bool_)
    side = math.isqrt(HASH_BITS)
    waves = dctn(small)[:side, :side]  # (side, side)
    return np.asarray((waves > max(float(np.median(waves)), _LEAST_WAVE)).ravel())


def read_image(data: bytes, max_pixels: int, reduction: int = 1) -> Image.Image:
    """Decode a picture to 8-bit RGB: first frame, EXIF orientation applied, transparency on white, 16 bit scaled.

    max_pixels: largest width times height; the header is checked before anything is decoded, and Pillow's own limit
    of 178,956,970 pixels holds besides. reduction: 1, 2, 4 or 8; a JPEG is decoded at that fraction of its size,
    other formats ignore it. Raises BadImage (details as `check_image`) for whatever is wrong.
    """
    with _guarded(data):
        return _decode(data, max_pixels, reduction)


@contextmanager
def _guarded(data: bytes) -> Iterator[None]:
    """Turn whatever Pillow throws at damaged bytes into BadImage; keep its warnings in."""
    if not data:
        raise BadImage("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage("too_large") from error
    # Plugins raise SyntaxError, struct.error, KeyError, ZeroDivisionError and more on damaged files.
    except Exception as error:
        raise BadImage("truncated") from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    Image.init()
    try:
        image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError:
        raise
    except Exception as error:
        known = data.startswith(_SIGNATURES) or data[4:12] in _LATE_SIGNATURES or data[8:12] in _LATE_SIGNATURES
        raise BadImage("truncated" if known else "not_an_image") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise BadImage("truncated")
    if width * height > max_pixels:
        raise BadImage("too_large")
    return image


def _decode(data: bytes, max_pixels: int, reduction: int) -> Image.Image:
    image = _open(data, max_pixels)
    if reduction > 1:
        image.draft(image.mode, (max(1, image.width // reduction), max(1, image.height // reduction)))
    image.load()
    # After loading: Pillow turns TIFF files by itself and then forgets their orientation.
    turn = _ORIENTATIONS.get(_orientation(image))
    picture = _to_rgb(image)
    return picture if turn is None else picture.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        # Broken EXIF spoils the orientation, not the picture.
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


def crops(data: bytes, size: int, views: Sequence[int], seed: int) -> npt.NDArray[np.uint8]:
    """What an encoder sees of a picture: (len(views), size, size, 3) uint8 RGB.

    View 0 is the plain one, torchvision's evaluation transform: the shorter side resized to round(size * 256 / 224),
    the centre cropped. Views from 1 are augmented as in the paper (section 4): torchvision's random resized crop
    (area 0.08..1, aspect 3/4..4/3) and a horizontal flip at 0.5. A view depends on the bytes, its number and `seed`
    alone, so it can be remembered by them. JPEG files are decoded no larger than twice what a view needs.
    Raises BadImage as `read_image`.
    """
    picture = _Scales(data)
    identity = hashlib.sha256(data).hexdigest()
    pixels = np.empty((len(views), size, size, 3), np.uint8)
    for number, view in enumerate(views):
        with _guarded(data):
            if view:
                seen = _view(picture, size, random.Random(f"{identity}:{view}:{seed}"))
            else:
                seen = _plain(picture.with_side(min(picture.size), _resized(size)), size)
            pixels[number] = np.asarray(seen)
    return pixels


class _Scales:
    """A picture decoded at the scales that are asked for; `size` is its whole (width, height), upright."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._decoded: dict[int, Image.Image] = {}
        with _guarded(data):
            size = _jpeg_size(_open(data, _PILLOW_LIMIT))
        self._is_jpeg = size is not None
        self.size = size or self._at(1).size

    def with_side(self, side: float, target: int) -> Image.Image:
        """The picture at the smallest scale that leaves a `side` of the whole at least twice the `target` pixels."""
        fits = (reduction for reduction in (8, 4, 2) if self._is_jpeg and side / reduction >= 2 * target)
        return self._at(next(fits, 1))

    def _at(self, reduction: int) -> Image.Image:
        if reduction not in self._decoded:
            self._decoded[reduction] = read_image(self._data, _PILLOW_LIMIT, reduction)
        return self._decoded[reduction]


def _jpeg_size(image: Image.Image) -> tuple[int, int] | None:
    """Upright size of a JPEG from its header; None for other formats, of which some turn only when loaded."""
    if image.format not in ("JPEG", "MPO"):
        return None
    return (image.height, image.width) if _orientation(image) in _SIDEWAYS else image.size


def _resized(size: int) -> int:
    return round(size * 256 / 224)


def _plain(image: Image.Image, size: int) -> Image.Image:
    short = min(image.size)
    # Only the centre is used: a strip a million pixels wide is cut before it is enlarged.
    width, height = (min(side, 4 * short) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (width, height) != image.size:
        image = image.crop((left, top, left + width, top + height))
    target = _resized(size)
    shape = (target * width // short, target * height // short)
    image = image.resize(shape, Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in shape)
    return image.crop((left, top, left + size, top + size))


def _random_box(width: int, height: int, chance: random.Random) -> Box:
    """Box of torchvision's RandomResizedCrop, in pixels of the whole picture."""
    for _ in range(10):
        area = width * height * (0.08 + 0.92 * chance.random())
        ratio = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * chance.random())
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(chance.random() * (width - wide + 1)), int(chance.random() * (height - high + 1))
            return (left, top, left + wide, top + high)
    wide, high = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - wide) // 2, (height - high) // 2
    return (left, top, left + wide, top + high)


def _view(picture: _Scales, size: int, chance: random.Random) -> Image.Image:
    box = _random_box(*picture.size, chance)
    image = picture.with_side(min(box[2] - box[0], box[3] - box[1]), size)
    scale = image.width / picture.size[0]
    left, top = int(box[0] * scale), int(box[1] * scale)
    right, bottom = max(left + 1, round(box[2] * scale)), max(top + 1, round(box[3] * scale))
    seen = image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR)
    return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else seen
