"""The crops of a picture that an encoder sees: the plain one, and augmented views."""

import dataclasses
import hashlib
import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashgen.pictures.decode import PILLOW_LIMIT, decode_picture, guarded, jpeg_size, open_picture

# Part of the key of every stored feature: raise it whenever `crops` yields different pixels.
TRANSFORM_VERSION = 2
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How a picture is resized for a network.

    kept: the share of the shorter side that the plain view keeps, above 0, at most 1. resampling: a filter of Pillow,
    in lower case.
    """

    kept: float
    resampling: str


TORCHVISION = Preparation(224 / 256, "bilinear")


def crops(
    data: bytes, size: int, views: Sequence[int], seed: int, preparation: Preparation = TORCHVISION
) -> npt.NDArray[np.uint8]:
    """What an encoder sees of a picture: (len(views), size, size, 3) uint8 RGB.

    View 0 is the plain one, by torchvision's evaluation transform: the shorter side resized to
    round(size / preparation.kept), the centre cropped. Rounding differs from torchvision's: by 1 in a few pixels, by
    more where a picture is enlarged. Views from 1 are augmented as in the paper (section 4): torchvision's random
    resized crop (area 0.08..1, aspect 3/4..4/3) and a horizontal flip at 0.5. A view depends on the bytes, its number,
    `seed` and `preparation` alone, so it can be remembered by them. JPEG files are decoded no larger than twice what a
    view needs.
    Raises BadPicture as `decode_picture`.
    """
    picture = _Scales(data)
    identity = hashlib.sha256(data).hexdigest()
    pixels = np.empty((len(views), size, size, 3), np.uint8)
    target, resampling = round(size / preparation.kept), Image.Resampling[preparation.resampling.upper()]
    for number, view in enumerate(views):
        with guarded(data):
            if view:
                seen = _view(picture, size, random.Random(f"{identity}:{view}:{seed}"), resampling)
            else:
                seen = _plain(picture.with_side(min(picture.size), target), size, target, resampling)
            pixels[number] = np.asarray(seen)
    return pixels


class _Scales:
    """A picture decoded at the scales requested; `size` is its full (width, height), upright."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._decoded: dict[int, Image.Image] = {}
        with guarded(data):
            size = jpeg_size(open_picture(data, PILLOW_LIMIT))
        self._is_jpeg = size is not None
        self.size = size or self._at(1).size

    def with_side(self, side: float, target: int) -> Image.Image:
        """The picture at the smallest scale that leaves a `side` of the whole at least twice the `target` pixels."""
        fits = (reduction for reduction in (8, 4, 2) if self._is_jpeg and side / reduction >= 2 * target)
        return self._at(next(fits, 1))

    def _at(self, reduction: int) -> Image.Image:
        if reduction not in self._decoded:
            self._decoded[reduction] = decode_picture(self._data, PILLOW_LIMIT, reduction)
        return self._decoded[reduction]


def _plain(image: Image.Image, size: int, target: int, resampling: Image.Resampling) -> Image.Image:
    short = min(image.size)
    # Only the centre is used: a strip a million pixels wide is cut before it is enlarged.
    width, height = (min(side, 4 * short) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (width, height) != image.size:
        image = image.crop((left, top, left + width, top + height))
    shape = (target * width // short, target * height // short)
    # Only what is kept of the resized picture is computed.
    box = [
        min(corner * side / resized, side)
        for start in (0, size)
        for side, resized in zip(image.size, shape, strict=True)
        for corner in [round((resized - size) / 2) + start]
    ]
    return image.resize((size, size), resampling, box=(box[0], box[1], box[2], box[3]))


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


def _view(picture: _Scales, size: int, chance: random.Random, resampling: Image.Resampling) -> Image.Image:
    box = _random_box(*picture.size, chance)
    image = picture.with_side(min(box[2] - box[0], box[3] - box[1]), size)
    scale = image.width / picture.size[0]
    left, top = int(box[0] * scale), int(box[1] * scale)
    right, bottom = max(left + 1, round(box[2] * scale)), max(top + 1, round(box[3] * scale))
    seen = image.crop((left, top, right, bottom)).resize((size, size), resampling)
    return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else seen
