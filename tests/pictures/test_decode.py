import contextlib
import io
import itertools
import os
import struct
import subprocess
import sys
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashgen.pictures.crops import Preparation, crops
from hashgen.pictures.decode import BadPicture, check_picture, decode_picture, read_header
from hashgen.pictures.png import chunks
from hashgen.pictures.stripping import strip_metadata
from tests.properties import examples

MAX_PIXELS = 10**7
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")


def gradient(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def size_of(data: bytes, min_side: int, max_pixels: int) -> tuple[int, int]:
    checked = check_picture(data, min_side, max_pixels)
    return checked.width, checked.height


def hash_of(data: bytes) -> str | None:
    return check_picture(data, 8, MAX_PIXELS).phash


def detail_of(data: bytes, min_side: int = 8, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(BadPicture) as caught:
        check_picture(data, min_side, max_pixels)
    return str(caught.value)


@pytest.mark.parametrize("format", [*FORMATS, "AVIF"])
def test_every_format_is_read_in_a_fresh_process(format: str) -> None:
    # In a process of its own: Pillow registers formats as it meets them.
    code = (
        "import sys; from hashgen.pictures.decode import check_picture; "
        "assert 'scipy' not in sys.modules; found = check_picture(sys.stdin.buffer.read(), 8, 10**6); "
        "print(found.width, found.height); assert 'torch' not in sys.modules"
    )
    data = encoded(gradient(40, 30), format)
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "40 30"
    assert np.abs(np.asarray(decode_picture(data, MAX_PIXELS), float) - np.asarray(gradient(40, 30), float)).mean() < 16


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files_are_found(format: str, share: float) -> None:
    data = encoded(noise(100, 80), format)
    assert detail_of(data[: int(len(data) * share)]) == "truncated"


def test_truncated_progressive_jpeg_is_found() -> None:
    data = encoded(noise(100, 80), "JPEG", progressive=True)
    assert size_of(data, 8, MAX_PIXELS) == (100, 80)
    assert detail_of(data[: len(data) // 2]) == "truncated"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "not_an_image"),
        (b"BMW is a make of cars and no picture at all", "not_an_image"),
        (b"\0\0\0\x18ftypmp42" + bytes(200), "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "not_an_image"),
        (bytes(1000), "not_an_image"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
    ],
)
def test_what_is_no_picture_says_why(data: bytes, detail: str) -> None:
    assert detail_of(data) == detail


def test_sides_and_pixels_are_limited() -> None:
    data = encoded(gradient(40, 30))
    assert size_of(data, 30, 1200) == (40, 30)
    assert detail_of(data, min_side=31) == "too_small"
    assert detail_of(data, max_pixels=1199) == "too_large"
    assert detail_of(encoded(gradient(1, 1))) == "too_small"


@pytest.mark.parametrize("side", [10_000, 13_000, 30_000, 60_000])
def test_a_huge_header_is_refused_before_decoding_and_without_warning(side: int) -> None:
    # A PNG of a few bytes that claims side × side pixels: to decode it would cost gigabytes.
    data = bytearray(encoded(gradient(16, 16)))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detail_of(bytes(data)) == "too_large"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    upright = gradient(48, 32)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format, exif=exif)
    assert size_of(data, 8, MAX_PIXELS) == (48, 32)
    read = decode_picture(data, MAX_PIXELS)
    assert read.size == (48, 32)
    assert np.abs(np.asarray(read, float) - np.asarray(upright, float)).mean() < 8
    # Square crops of both are alike only if the crop saw the picture upright.
    expected = crops(encoded(upright, format), 32, [0], 1)
    assert np.abs(crops(data, 32, [0], 1).astype(float) - expected.astype(float)).mean() < 8


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Blots of colour, as a photograph has: large shapes and some grain."""
    chance = np.random.default_rng(seed)
    blots = Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    grain = chance.integers(-8, 9, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(blots).astype(int) + grain, 0, 255).astype(np.uint8))


def bits_apart(one: str | None, other: str | None) -> int:
    """Of the insets of two pictures, the two that are nearest."""
    assert one is not None and other is not None
    ones, others = ([int(hashes[start : start + 64], 16) for start in (0, 64, 128)] for hashes in (one, other))
    return min((first ^ second).bit_count() for first, second in itertools.product(ones, others))


@pytest.mark.parametrize("seed", range(6))
def test_copies_of_a_picture_have_nearly_its_hash(seed: int) -> None:
    whole = scene(seed)
    width, height = whole.size
    original = hash_of(encoded(whole, "JPEG", quality=92))
    copies = {
        "png": encoded(whole),
        "webp": encoded(whole, "WEBP", quality=60),
        "worse": encoded(whole, "JPEG", quality=30),
        "large": encoded(whole.resize((1280, 960)), "JPEG"),
        "small": encoded(whole.resize((200, 150)), "JPEG"),
        "cropped a bit": encoded(whole.crop((3, 2, width - 3, height - 2)), "JPEG"),
        "cropped": encoded(whole.crop((28, 20, width - 28, height - 20)), "JPEG"),
        "grey": encoded(whole.convert("L"), "JPEG"),
    }
    assert {name: bits for name, data in copies.items() if (bits := bits_apart(original, hash_of(data))) > 24} == {}


def test_other_pictures_have_another_hash() -> None:
    hashes = [hash_of(encoded(scene(seed), "JPEG")) for seed in range(12)]
    assert min(bits_apart(one, other) for one, other in itertools.combinations(hashes, 2)) > 48


def test_a_soft_picture_has_the_hash_of_its_copies() -> None:
    """Most waves of a soft picture are rounding noise, which says nothing."""
    chance = np.random.default_rng(1)
    for _ in range(10):
        blots = Image.fromarray(chance.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((160, 128))
        original = hash_of(encoded(blots, "JPEG", quality=95))
        for copy in (encoded(blots, "JPEG", quality=60), encoded(blots.resize((80, 64)), "JPEG", quality=95)):
            assert bits_apart(original, hash_of(copy)) <= 24


def test_a_picture_turned_by_exif_has_the_hash_of_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(scene(1).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    assert bits_apart(hash_of(turned), hash_of(encoded(scene(1), "JPEG"))) <= 16


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF"])
def test_pictures_without_structure_have_no_hash(format: str) -> None:
    rows = np.tile(np.linspace(0, 255, 60).astype(np.uint8)[:, None], (1, 80))
    speckled = np.random.default_rng(1).integers(120, 122, (60, 80), dtype=np.uint8)
    for image in (Image.new("RGB", (80, 60), "teal"), Image.new("L", (80, 60), 0), Image.fromarray(speckled)):
        assert hash_of(encoded(image, format)) is None
    for fade in (rows, rows[::-1]):
        assert hash_of(encoded(Image.fromarray(fade), "PNG")) is None


@pytest.mark.parametrize("size", [(17, 16), (16, 17), (9, 8), (8, 9), (15, 16)])
def test_sizes_do_not_suffer_from_the_reduced_scale(size: tuple[int, int]) -> None:
    assert size_of(encoded(noise(*size), "JPEG"), 8, MAX_PIXELS) == size


def test_transparency_lies_on_white() -> None:
    layer = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    layer.paste((0, 0, 255, 255), (0, 0, 10, 20))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.paste(0, (0, 0, 10, 20))
    grey = Image.new("LA", (20, 20), (0, 0))
    for image, left in ((layer, (0, 0, 255)), (grey, (255, 255, 255))):
        read = decode_picture(encoded(image), MAX_PIXELS)
        assert read.mode == "RGB" and read.getpixel((2, 2)) == left and read.getpixel((15, 5)) == (255, 255, 255)
    for format in ("PNG", "GIF"):
        read = decode_picture(encoded(palette, format, transparency=1), MAX_PIXELS)
        assert read.getpixel((2, 2)) == (0, 0, 255) and read.getpixel((15, 5)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_are_scaled_not_clipped(dtype: type[np.integer[Any]]) -> None:
    values: npt.NDArray[Any] = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(dtype)
    read = np.asarray(decode_picture(encoded(Image.fromarray(values), "TIFF"), MAX_PIXELS))
    assert read.shape == (30, 40, 3)
    assert np.abs(read[..., 0] - values / 257).max() <= 1


def test_sixteen_bit_png_and_float_tiff_are_scaled() -> None:
    values = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    assert (
        np.abs(np.asarray(decode_picture(encoded(Image.fromarray(values)), MAX_PIXELS))[..., 1] - values / 257).max()
        <= 1
    )
    floats = np.linspace(-1, 3, 1200).reshape(30, 40).astype(np.float32)
    floats[0, 5] = np.nan
    read = np.asarray(decode_picture(encoded(Image.fromarray(floats), "TIFF"), MAX_PIXELS))
    assert read[0, 0, 0] == 0 and read[-1, -1, 0] == 255


def test_cmyk_grey_and_animated_are_read() -> None:
    white = Image.new("CMYK", (20, 20), (0, 0, 0, 0))
    assert np.asarray(decode_picture(encoded(white, "JPEG"), MAX_PIXELS)).min() > 250
    assert decode_picture(encoded(Image.new("L", (20, 20), 77)), MAX_PIXELS).getpixel((3, 3)) == (77, 77, 77)
    assert decode_picture(encoded(Image.new("1", (20, 20), 1)), MAX_PIXELS).getpixel((3, 3)) == (255, 255, 255)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        red, _, blue = np.asarray(decode_picture(data, MAX_PIXELS))[5, 5]
        assert red > 240 and blue < 20


def test_broken_exif_does_not_lose_the_picture() -> None:
    data = encoded(gradient(40, 30), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert size_of(data, 8, MAX_PIXELS) == (40, 30)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


MEGABYTE = 2**20
BOMB = zlib.compress(bytes(64 * MEGABYTE))
XMP, PACKED_XMP = b"XML:com.adobe.xmp\0\0\0\0\0", b"XML:com.adobe.xmp\0\1\0\0\0"
LETTERS = np.random.default_rng(1).integers(32, 127, 3 * MEGABYTE, dtype=np.uint8).tobytes()
ROOMY = {
    "text": [chunk(b"tEXt", b"Comment\0" + LETTERS * 23)],
    "packed text": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LETTERS))],
    "xmp": [chunk(b"iTXt", XMP + LETTERS)],
    "packed xmp": [chunk(b"iTXt", PACKED_XMP + zlib.compress(LETTERS))],
    "profile": [chunk(b"iCCP", b"icc\0\0" + zlib.compress(LETTERS))],
    "bombs of text": [chunk(b"zTXt", b"Comment\0\0" + BOMB)] * 20,
    "bombs of xmp": [chunk(b"iTXt", PACKED_XMP + BOMB)] * 20,
    "bomb of a profile": [chunk(b"iCCP", b"icc\0\0" + BOMB)],
    "bomb of EXIF": [chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB)],
    "many packed texts": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(MEGABYTE - 1)))] * 80,
    "garbage for a profile": [chunk(b"iCCP", b"icc\0\0" + LETTERS)],
}


@pytest.mark.parametrize("kind", ROOMY)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_png_with_much_text_is_read(kind: str, is_late: bool) -> None:
    plain = encoded(noise(40, 30))
    at = len(plain) - 12 if is_late else 33
    data = plain[:at] + b"".join(ROOMY[kind]) + plain[at:]
    assert check_picture(data, 8, MAX_PIXELS) == check_picture(plain, 8, MAX_PIXELS)
    assert np.array_equal(crops(data, 32, [0], 1), crops(plain, 32, [0], 1))


SMALL = {
    b"tEXt": b"Comment\0hello",
    b"zTXt": b"Comment\0\0" + zlib.compress(b"hello"),
    b"iTXt": XMP + b"hello",
    b"tIME": bytes([7, 230, 1, 2, 3, 4, 5]),
    b"pHYs": bytes(9),
    b"gAMA": bytes([0, 0, 177, 143]),
    b"eXIf": b"II*\0",
    b"iCCP": b"sRGB\0\0" + zlib.compress(b"profile"),
    b"prVt": b"private",
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_wrong_checksum_of_a_chunk_that_decoders_may_do_without_loses_no_picture(kind: bytes, is_late: bool) -> None:
    plain = encoded(noise(40, 30))
    at = len(plain) - 12 if is_late else 33
    sound = chunk(kind, SMALL[kind])
    damaged = plain[:at] + sound[:-1] + bytes([sound[-1] ^ 1]) + plain[at:]
    assert check_picture(damaged, 8, MAX_PIXELS) == check_picture(plain, 8, MAX_PIXELS)
    assert np.array_equal(crops(damaged, 32, [0], 1), crops(plain, 32, [0], 1))
    assert strip_metadata(damaged, MAX_PIXELS) == strip_metadata(plain, MAX_PIXELS)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_a_chunk_that_decoders_need_is_found(kind: bytes) -> None:
    data = bytearray(encoded(noise(40, 30).quantize(256)))
    data[next(end for name, _, end in chunks(bytes(data)) if name == kind) - 1] ^= 1
    assert detail_of(bytes(data)) == "truncated"


def test_what_colours_and_orientation_need_is_kept_beside_much_text() -> None:
    chance = np.random.default_rng(2)
    palette = Image.fromarray(chance.integers(0, 4, (30, 40), dtype=np.uint8), "P")
    palette.putpalette([*range(12)])
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = LETTERS[: 2 * MEGABYTE]
    plain = encoded(palette, transparency=2, exif=exif, icc_profile=profile)
    data = plain[:33] + b"".join(ROOMY["bombs of text"]) + plain[33:]
    assert np.array_equal(np.asarray(decode_picture(data, MAX_PIXELS)), np.asarray(decode_picture(plain, MAX_PIXELS)))
    assert size_of(data, 8, MAX_PIXELS) == (30, 40)
    header = read_header(data, MAX_PIXELS)
    assert header.turned and header.profile == profile


@pytest.mark.parametrize("xmp", [XMP, PACKED_XMP])
@pytest.mark.parametrize("text", [b"", LETTERS, LETTERS[:3000]])
def test_an_orientation_in_xmp_of_any_usual_size_is_applied(xmp: bytes, text: bytes) -> None:
    value = b'<x tiff:Orientation="6"/>' + text
    turned = chunk(b"iTXt", xmp + (zlib.compress(value) if xmp is PACKED_XMP else value))
    plain = encoded(noise(40, 30))
    data = plain[:33] + turned + plain[33:]
    assert size_of(data, 8, MAX_PIXELS) == (30, 40) and read_header(data, MAX_PIXELS).turned


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_other_kinds_with_much_text_are_read(format: str) -> None:
    plain = encoded(gradient(40, 30), format)
    if format == "GIF":
        block = b"\xff" + LETTERS[:255]
        data = plain[: 13 + 768] + b"\x21\xfe" + block * 12_000 + b"\0" + plain[13 + 768 :]
    elif format == "JPEG":
        comment = b"\xff\xfe" + struct.pack(">H", 60_002) + LETTERS[:60_000]
        data = plain[:2] + comment * 50 + plain[2:]
    else:
        tags = {"tiffinfo": {270: LETTERS.decode(), 700: LETTERS}} if format == "TIFF" else {"xmp": LETTERS}
        data = encoded(gradient(40, 30), format, icc_profile=LETTERS, **tags)
    assert len(data) > len(plain) + 2 * MEGABYTE
    assert check_picture(data, 8, MAX_PIXELS) == check_picture(plain, 8, MAX_PIXELS)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_nothing_is_printed_about_a_damaged_tiff(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = encoded(noise(60, 40), "TIFF", compression=compression)
    chance = np.random.default_rng(1)
    details = []
    for _ in range(60):
        data = bytearray(whole)
        for at in chance.integers(8, len(data), 4):
            data[at] = chance.integers(256)
        with contextlib.suppress(BadPicture):
            check_picture(bytes(data), 8, MAX_PIXELS)
            continue
        details.append("bad")
    os.write(2, b"still open")
    assert details and capfd.readouterr() == ("", "still open")


def end_well(data: bytes) -> None:
    """Either a picture or BadPicture with a known detail; never another error and never a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            checked = check_picture(data, 1, MAX_PIXELS)
        except BadPicture as error:
            assert str(error) in {"empty", "not_an_image", "truncated", "too_small", "too_large"}
        else:
            assert decode_picture(data, MAX_PIXELS).size == (checked.width, checked.height)
            assert checked.phash is None or len(checked.phash) == 192
            assert crops(data, 32, [0, 1], 1).shape == (2, 32, 32, 3)


@examples(150)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WEBP", b"BM"]),
    st.binary(),
)
def test_any_bytes_end_well(start: bytes, rest: bytes) -> None:
    end_well(start + rest)


@examples(400)
@given(st.sampled_from(FORMATS), st.data())
def test_mutated_files_end_well(format: str, data: st.DataObject) -> None:
    content = bytearray(encoded(noise(24, 20), format))
    near_the_start = st.one_of(st.integers(0, 80), st.integers(0, len(content) - 1)).filter(
        lambda at: at < len(content)
    )
    for at in data.draw(st.lists(near_the_start, min_size=1, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    end_well(bytes(content))


def test_plain_crop_is_torchvisions_evaluation_transform() -> None:
    from torchvision import transforms

    for size in ((300, 260), (260, 401), (40, 33), (224, 224)):
        image = noise(*size)
        reference = transforms.Compose([transforms.Resize(73), transforms.CenterCrop(64)])(image)
        apart = np.abs(crops(encoded(image), 64, [0], 1)[0].astype(int) - np.asarray(reference))
        # Pillow takes the box to resize in numbers of 32 bits, and resizes the two axes in another order.
        assert apart.max() <= 1 and (apart > 0).mean() < 0.02


def test_another_preparation_keeps_another_share_by_another_filter() -> None:
    image = noise(300, 260)
    seen = crops(encoded(image), 64, [0, 1], 1, Preparation(0.8, "bicubic"))
    resized = image.resize((80 * 300 // 260, 80), Image.Resampling.BICUBIC).crop((14, 8, 78, 72))
    assert np.array_equal(seen[0], np.asarray(resized))
    # A view is the same crop, resized by the other filter.
    plain = crops(encoded(image), 64, [1], 1)[0].astype(float)
    assert 0 < np.abs(plain - seen[1]).mean() < 20


def test_large_jpegs_are_decoded_smaller_but_look_the_same() -> None:
    whole = gradient(1600, 1200)
    jpeg, png = encoded(whole, "JPEG", quality=95), encoded(whole, "PNG")
    for view in (0, 1, 2, 3):
        # The randomness of a view comes from the bytes, so only the plain one is the same crop in both files.
        seen = crops(jpeg, 64, [view], 1)[0].astype(float)
        if view == 0:
            assert np.abs(seen - crops(png, 64, [0], 1)[0]).mean() < 3
        assert seen.std() > 1


def test_a_view_depends_on_bytes_number_and_seed_alone() -> None:
    data = encoded(noise(100, 80))
    both = crops(data, 48, [0, 1, 2], 7)
    assert np.array_equal(both[2], crops(data, 48, [2], 7)[0])
    assert np.array_equal(both[1:], crops(data, 48, [1, 2], 7))
    assert not np.array_equal(both[1], both[2])
    assert not np.array_equal(both[1], crops(data, 48, [1], 8)[0])
    assert np.array_equal(both[0], crops(data, 48, [0], 8)[0])
    assert not np.array_equal(both[1], crops(encoded(noise(100, 81)), 48, [1], 7)[0])


def test_about_half_of_the_views_are_flipped() -> None:
    # The gradient's red rises from left to right, so a falling one tells a flip.
    data = encoded(gradient(64, 64))
    views = crops(data, 32, list(range(1, 101)), 1).astype(int)
    flipped = (views[:, 16, 0, 0] > views[:, 16, -1, 0]).sum()
    assert 30 <= flipped <= 70


@pytest.mark.parametrize("size", [(4000, 8), (8, 4000), (8, 8), (33, 900)])
def test_extreme_shapes_are_cropped(size: tuple[int, int]) -> None:
    for format in ("PNG", "JPEG"):
        assert crops(encoded(noise(*size), format), 64, [0, 1, 2, 3], 1).shape == (4, 64, 64, 3)
