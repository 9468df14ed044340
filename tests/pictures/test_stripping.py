"""What is left of a picture: the same pixels, and nothing that was written beside them."""

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from hashgen.pictures.decode import BadPicture, check_picture, decode_picture, read_header
from hashgen.pictures.stripping import strip_metadata
from tests.properties import examples

MAX_PIXELS = 10**7
SECRET = b"SECRET-48.8584N-2.2945E"
JPEG_OPTIONS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_blocks": 2},
    "full colour": {"subsampling": 0, "quality": 100},
}


def noise(mode: str = "RGB", size: tuple[int, int] = (61, 43)) -> Image.Image:
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    values = np.random.default_rng(3).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return (
        Image.fromarray(values.squeeze(), mode)
        if bands == 1
        else Image.merge(mode, [Image.fromarray(values[..., band]) for band in range(bands)])
    )


def quarters(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Four grey quarters, no two alike, so that every turn shows and JPEG hardly changes them."""
    image = Image.new("RGB", size)
    half = (size[0] // 2, size[1] // 2)
    for number, grey in enumerate((20, 90, 160, 230)):
        image.paste((grey, grey, grey), (number % 2 * half[0], number // 2 * half[1], *size))
    image.paste((230, 230, 230), (*half, *size))
    image.paste((160, 160, 160), (0, half[1], half[0], size[1]))
    return image


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def planted_exif(orientation: int | None = None, with_place: bool = True) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = SECRET.decode()  # maker
    if with_place:
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 29: SECRET.decode()}  # GPS, with a date stamp
    if orientation is not None:
        exif[0x0112] = orientation
    return exif


def exif_with_thumbnail() -> bytes:
    """EXIF whose second directory points at a JPEG thumbnail, laid out by hand (TIFF 6.0, Exif 3.0, 4.5.2)."""
    thumbnail = encoded(Image.new("RGB", (16, 12)), "JPEG", comment=SECRET)
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 1, 0, 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + thumbnail


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def same_pixels(data: bytes, other: bytes) -> bool:
    return np.array_equal(np.asarray(decode_picture(data, MAX_PIXELS)), np.asarray(decode_picture(other, MAX_PIXELS)))


def is_bare(data: bytes) -> bool:
    """Whether Pillow, asked for everything, finds nothing but what colours and sizes need."""
    image = Image.open(io.BytesIO(data))
    image.load()
    kept = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression", "adobe"}
    kept |= {"adobe_transform", "icc_profile", "gamma", "chromaticity", "srgb", "transparency", "loop", "background"}
    kept |= {"timestamp", "duration", "default_image", "disposal", "blend", "bbox"}
    return SECRET not in data and not dict(image.getexif()) and not set(image.info) - kept


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", JPEG_OPTIONS)
def test_a_jpeg_keeps_its_compressed_data(kind: str, mode: str) -> None:
    bare = encoded(noise(mode), "JPEG", **JPEG_OPTIONS[kind])
    assert strip_metadata(bare, MAX_PIXELS) == bare
    planted = [
        segment(0xE1, exif_with_thumbnail()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET),
        segment(0xE0, b"JFXX\0\x10" + SECRET),
        segment(0xE2, b"ICC_PROFILE" + SECRET),
        segment(0xED, b"Photoshop 3.0\x008BIM" + SECRET),
        segment(0xEE, SECRET),
        segment(0xFE, SECRET),
        segment(0xFE, b""),
    ]
    dirty = bare[:2] + b"".join(planted) + b"\xff\xff" + bare[2:] + encoded(noise(), "JPEG", comment=SECRET)
    assert dict(Image.open(io.BytesIO(dirty)).getexif())
    assert strip_metadata(dirty, MAX_PIXELS) == bare


def test_what_pillow_writes_of_a_person_goes_from_every_kind() -> None:
    exif = planted_exif()
    text = PngInfo()
    for add in (text.add_text, text.add_itxt):
        add("Comment", SECRET.decode())
    text.add_text("Author", SECRET.decode() * 50, zip=True)
    text.add(b"tIME", bytes(7))
    dirty = [
        encoded(noise(), "JPEG", exif=exif, xmp=SECRET, comment=SECRET),
        encoded(noise("RGBA"), "PNG", exif=exif, pnginfo=text),
        encoded(noise(), "PNG", exif=exif, save_all=True, append_images=[noise("RGB")]),
        encoded(noise("RGBA"), "WEBP", exif=exif, xmp=SECRET, lossless=True),
        encoded(noise(), "WEBP", exif=exif, xmp=SECRET),
        encoded(noise(), "WEBP", exif=exif, save_all=True, append_images=[quarters((61, 43))]),
        encoded(noise(), "MPO", exif=exif, save_all=True, append_images=[quarters((61, 43))]),
    ]
    for data in dirty:
        assert dict(Image.open(io.BytesIO(data)).getexif()) and not is_bare(data)
        bare = strip_metadata(data, MAX_PIXELS)
        assert is_bare(bare) and same_pixels(data, bare)
        assert strip_metadata(bare, MAX_PIXELS) == bare


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "P with transparency", "1", "I;16"])
def test_png_of_every_mode_keeps_its_compressed_data(mode: str) -> None:
    options = {"transparency": 3} if mode.endswith("transparency") else {}
    if mode == "I;16":
        image = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)
    else:
        image = noise() if mode[0] in "P1" else noise(mode)
        image = image.convert(mode[0]) if mode[0] in "P1" else image
    bare = encoded(image, "PNG", **options)
    header = 8 + 25
    text = chunk(b"tEXt", b"Comment\0" + SECRET) + chunk(b"eXIf", planted_exif().tobytes()) + chunk(b"prVt", SECRET)
    dirty = bare[:header] + text + bare[header:-12] + text + bare[-12:] + SECRET
    assert same_pixels(dirty, bare)
    assert strip_metadata(dirty, MAX_PIXELS) == bare


def test_a_thumbnail_inside_jfif_goes() -> None:
    bare = encoded(noise(), "JPEG")
    assert bare[2:4] == b"\xff\xe0"
    fields = bare[6:18]
    dirty = bare[:2] + segment(0xE0, fields + b"\x01\x08" + SECRET + b"!") + bare[20:]
    assert strip_metadata(dirty, MAX_PIXELS) == bare


def test_adobe_segment_keeps_only_what_tells_the_colours() -> None:
    bare = encoded(noise("CMYK"), "JPEG")
    at = bare.index(b"\xff\xee")
    dirty = bare[:at] + segment(0xEE, bare[at + 4 : at + 16] + SECRET) + bare[at + 16 :]
    assert strip_metadata(dirty, MAX_PIXELS) == bare


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_colour_profile_stays(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(quarters(), format, exif=planted_exif(), icc_profile=profile)
    for max_side in (None, 48):
        bare = strip_metadata(data, MAX_PIXELS, max_side)
        assert read_header(bare, MAX_PIXELS).profile == profile
        assert is_bare(bare)


def test_a_profile_of_other_colours_goes_with_them() -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    data = encoded(noise("CMYK"), "JPEG", icc_profile=bytes(profile))
    assert read_header(strip_metadata(data, MAX_PIXELS), MAX_PIXELS).profile == bytes(profile)
    assert read_header(strip_metadata(data, MAX_PIXELS, 32), MAX_PIXELS).profile is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_are_turned_for_good(format: str, orientation: int) -> None:
    # Pillow cannot write a directory of places into a TIFF.
    data = encoded(quarters(), format, exif=planted_exif(orientation, with_place=format != "TIFF"))
    bare = strip_metadata(data, MAX_PIXELS)
    assert is_bare(bare)
    header = read_header(bare, MAX_PIXELS)
    assert not header.turned
    # AVIF turns by a property of its own, which Pillow writes in place of EXIF's and applies itself.
    is_sideways = orientation >= 5
    assert (header.width, header.height) == ((64, 96) if is_sideways else (96, 64))
    seen, meant = (np.asarray(decode_picture(each, MAX_PIXELS), float) for each in (bare, data))
    assert np.abs(seen - meant).max() < 12
    if orientation > 1:
        assert header.format == "JPEG"


def test_an_orientation_in_xmp_alone_is_heeded() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(quarters(), "JPEG", xmp=xmp)
    bare = strip_metadata(data, MAX_PIXELS)
    assert decode_picture(bare, MAX_PIXELS).size == decode_picture(data, MAX_PIXELS).size == (64, 96)


@pytest.mark.parametrize(("size", "expected"), [((300, 200), (100, 67)), ((50, 400), (12, 100)), ((1000, 2), (100, 1))])
def test_large_pictures_are_resized(size: tuple[int, int], expected: tuple[int, int]) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        bare = strip_metadata(encoded(noise(size=size), format, exif=planted_exif()), MAX_PIXELS, 100)
        header = read_header(bare, MAX_PIXELS)
        assert (header.format, header.width, header.height) == ("JPEG", *expected)
        assert is_bare(bare)


def test_pictures_up_to_the_longest_side_are_left_alone() -> None:
    data = encoded(noise(size=(100, 80)), "JPEG")
    assert strip_metadata(data, MAX_PIXELS, 100) == data


@pytest.mark.parametrize("format", ["GIF", "TIFF", "BMP", "AVIF"])
def test_other_kinds_become_jpeg(format: str) -> None:
    options = {"comment": SECRET} if format == "GIF" else {}
    bare = strip_metadata(encoded(quarters(), format, **options), MAX_PIXELS)
    assert read_header(bare, MAX_PIXELS).format == "JPEG"
    assert is_bare(bare)
    assert np.abs(np.asarray(decode_picture(bare, MAX_PIXELS), float) - np.asarray(quarters(), float)).max() < 12


PROGRESSIVE = encoded(noise(), "JPEG", progressive=True, restart_marker_rows=1)
PNG = encoded(noise("RGBA"), "PNG")
BASELINE = encoded(noise("CMYK"), "JPEG", comment=SECRET)
LOSSLESS = encoded(noise("RGBA"), "WEBP", lossless=True)
WEBP = encoded(noise("RGBA"), "WEBP", exif=planted_exif())


@functools.cache
def seams() -> list[int]:
    """Where a segment may stand in the progressive JPEG: where a comment changes nothing that Pillow reads."""
    comment = segment(0xFE, b"\xff\xd9 comment \xff\xda")
    markers = (at for at in range(2, len(PROGRESSIVE)) if PROGRESSIVE[at] == 0xFF and PROGRESSIVE[at - 1] != 0xFF)
    return [at for at in markers if is_same(PROGRESSIVE[:at] + comment + PROGRESSIVE[at:])]


def is_same(jpeg: bytes) -> bool:
    try:
        return same_pixels(jpeg, PROGRESSIVE)
    except BadPicture:
        return False


def test_segments_may_stand_between_scans() -> None:
    first_scan, last_scan = PROGRESSIVE.index(b"\xff\xda"), PROGRESSIVE.rindex(b"\xff\xda")
    assert sum(first_scan < at <= last_scan for at in seams()) >= 5
    dirty = PROGRESSIVE[:last_scan] + b"\xff\xff\x01" + segment(0xE1, SECRET) + PROGRESSIVE[last_scan:]
    assert is_same(dirty)
    assert strip_metadata(dirty, MAX_PIXELS) == PROGRESSIVE


MARKERS = st.sampled_from([0xE1, *range(0xE3, 0xEE), 0xEF, 0xFE])


@examples(150)
@given(st.lists(st.tuples(st.integers(0, 50), MARKERS, st.binary(max_size=300)), max_size=5))
def test_any_segments_between_any_of_a_jpeg_go(plants: list[tuple[int, int, bytes]]) -> None:
    placed = sorted(
        ((seams()[place % len(seams())], marker, payload) for place, marker, payload in plants), reverse=True
    )
    dirty = PROGRESSIVE
    for at, marker, payload in placed:
        dirty = dirty[:at] + segment(marker, payload) + dirty[at:]
    try:
        turned = read_header(dirty, MAX_PIXELS).turned
    except BadPicture:  # planted bytes may be EXIF or XMP that Pillow chokes on
        return
    if not turned:
        assert strip_metadata(dirty, MAX_PIXELS) == PROGRESSIVE


@examples(150)
@given(st.lists(st.tuples(st.booleans(), st.from_regex(rb"\A[a-z][A-Za-z][A-Z][a-z]\Z"), st.binary(max_size=300))))
def test_any_chunks_of_a_png_go(plants: list[tuple[bool, bytes, bytes]]) -> None:
    ours = (b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"pHYs", b"acTL", b"fcTL", b"fdAT")
    dirty = PNG
    for is_late, kind, payload in plants:
        at = len(dirty) - 12 if is_late else 33
        dirty = dirty[:at] + (b"" if kind in ours else chunk(kind, payload)) + dirty[at:]
    if not read_header(dirty, MAX_PIXELS).turned:
        assert strip_metadata(dirty, MAX_PIXELS) == PNG


@examples(100)
@given(st.lists(st.tuples(st.from_regex(rb"\A[a-z]{4}\Z"), st.binary(max_size=300))), st.binary(max_size=50))
def test_any_chunks_of_a_webp_go(plants: list[tuple[bytes, bytes]], behind: bytes) -> None:
    body = WEBP[8:] + b"".join(
        kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2) for kind, payload in plants
    )
    dirty = b"RIFF" + struct.pack("<I", len(body)) + body + behind
    bare = strip_metadata(dirty, MAX_PIXELS)
    assert bare == strip_metadata(WEBP, MAX_PIXELS)
    assert is_bare(bare) and same_pixels(bare, WEBP)


def test_a_profile_and_text_that_unpack_far_go_from_a_png() -> None:
    bomb = zlib.compress(bytes(64 * 2**20))
    plants = chunk(b"iCCP", b"icc\0\0" + bomb) + chunk(b"zTXt", b"Comment\0\0" + bomb)
    assert strip_metadata(PNG[:33] + plants + PNG[33:], MAX_PIXELS) == PNG
    profile = np.random.default_rng(1).bytes(3 * 2**20)
    bare = encoded(noise(), "PNG", icc_profile=profile)
    assert strip_metadata(bare[:33] + chunk(b"tEXt", b"a\0" + bytes(70 * 2**20)) + bare[33:], MAX_PIXELS) == bare
    assert read_header(bare, MAX_PIXELS).profile == profile


def test_what_damage_makes_of_a_jpegs_scan_does_not_cost_its_pixels() -> None:
    """A marker in a scan: one that may stand nowhere, and one whose segment would leap over the end."""
    assert PROGRESSIVE[396:398] == b"\xff\0"
    damaged = [PROGRESSIVE[:397] + bytes([marker]) + PROGRESSIVE[398:] for marker in (0x01, 0x4C, 0xB0)]
    whole = encoded(noise(), "JPEG")
    start = whole.index(b"\xff\xda") + 500
    damaged += [whole[:start] + b"\xff\xed\xff\xff" + SECRET + whole[start:]]
    for data in damaged:
        check_picture(data, 1, MAX_PIXELS)
        bare = strip_metadata(data, MAX_PIXELS)
        assert same_pixels(bare, data) and SECRET not in bare


def cut(data: bytes, at: int, byte: int) -> bytes:
    return data[: at % len(data)]


def changed(data: bytes, at: int, byte: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([byte]) + data[at + 1 :]


def marked(data: bytes, at: int, byte: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([0xFF, byte]) + data[at:]


def without(data: bytes, at: int, byte: int) -> bytes:
    at %= len(data)
    return data[:at] + data[at + byte :]


@examples(300)
@given(
    st.sampled_from([PROGRESSIVE, BASELINE, PNG, WEBP, LOSSLESS]),
    st.sampled_from([cut, changed, marked, without]),
    st.integers(0, 10**6),
    st.integers(0, 255),
)
def test_damaged_pictures_raise_bad_image_or_keep_their_pixels(
    data: bytes, damage: Callable[[bytes, int, int], bytes], at: int, byte: int
) -> None:
    damaged = damage(data, at, byte)
    try:
        bare = strip_metadata(damaged, MAX_PIXELS)
        check_picture(damaged, 1, MAX_PIXELS)
    except BadPicture:
        return
    if not read_header(damaged, MAX_PIXELS).turned:
        assert same_pixels(bare, damaged)
