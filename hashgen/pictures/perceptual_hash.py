"""A perceptual hash: one that survives re-encoding, resizing and a little cropping."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

# A perceptual hash sees a picture at this many pixels a side and keeps one bit of each of its 256 slowest waves. With
# the more usual 64, unlike pictures of one kind (a horizon, a plate) come as near as copies do: see docs/filter.md.
HASH_SIDE = 64
HASH_BITS = 256
# What is cut from each side before a hash is taken: a copy that was cropped is like one of the original's insets.
HASH_INSETS = (0.0, 0.025, 0.05)
# Waves below this (DCT-II of grey 0..255, unnormalised) are not set: in a soft picture they are rounding noise.
_LEAST_WAVE = 400.0
# How many waves a picture must have to be distinguished by them.
_LEAST_WAVES = 25
# A darkest and a lightest grey closer than this (of 0..255) leave nothing to hash but noise.
_LEAST_CONTRAST = 8


def perceptual_hash(picture: Image.Image) -> str | None:
    """Hex digits of one hash for each of HASH_INSETS; None for a picture of too few waves (see `decode.Checked`)."""
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
