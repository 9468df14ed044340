"""What a value in a column of pictures holds or names: a path, bytes, base64, an object, a list, an address."""

import base64
import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from hashgen.sources.rows.picture_files import NOT_FETCHED, ONE_EACH, PICTURES, bare_address, is_address
from hashgen.sources.rows.values import NOTHING, BrokenRow, parsed, quoted, read_text

# A longer text is not a path but a picture in base64; so is a shorter one that begins as a picture does.
_LONGEST_PATH = 4096
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{60,}[=\s]*")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")  # of ISO base media files: AVIF and HEIC
_HEXADECIMAL = re.compile(r"(?:\\x|0x)?((?:[0-9a-fA-F]{2}){60,})")  # as SQL databases write bytes
# A data URL (RFC 2397), also one that lost its beginning.
_DATA_URL = re.compile(r"data:|(?:[\w/+.=-]{1,50}(?:;[\w=-]{1,50})?;)?base64,", re.IGNORECASE)
_DRAWINGS = (b"<svg", b"<?xml")
_NO_DRAWINGS = "an SVG drawing, which has no pixels; save it as PNG"
# base64's alphabet for addresses (RFC 4648, 5).
_STANDARD = str.maketrans("-_", "+/")
# A struct or bytes that Python wrote as text.
_PYTHON = re.compile(r"\{\s*['\"](?:bytes|path)['\"]\s*:|b['\"]|<PIL\.|bytearray\(")
# Where objects have a picture's address.
ADDRESS_KEYS = ("url", "uri", "src", "href", "link", "display_url", "image_url")


class PictureValue(NamedTuple):
    """The bytes of a picture and its path, where a value has them. fault: why there can be no picture."""

    data: bytes | None = None
    path: str | None = None
    fault: str | None = None


def picture_of(value: object) -> PictureValue:
    """The picture that a value holds or names.

    That is a path, bytes, base64 of either alphabet, hexadecimal digits, a data URL, or {bytes, path} as in Hugging
    Face data sets, of which the bytes come first; or a list of one of these. What cannot be had (an address, several
    pictures, a drawing, Python's text of bytes) has a `fault`. Raises BrokenRow for a value of another type.
    """
    if isinstance(value, list):
        return _only(value)
    if isinstance(value, dict):
        return _of_object(value)
    if isinstance(value, bytes):
        return PictureValue(value or None)
    name = None if value != value else read_text({"image": value}, "image")  # NaN
    return PictureValue() if name is None or name.strip() in NOTHING else _of_text(name)


def _only(items: list[object]) -> PictureValue:
    there = [item for item in items if item is not None and item != ""]
    if len(there) > 1:
        return PictureValue(fault=f"a list of {len(there)} pictures; {ONE_EACH}")
    return picture_of(there[0]) if there else PictureValue()


def _of_object(value: dict[str, object]) -> PictureValue:
    data, path = value.get("bytes"), picture_of(value.get("path"))
    if isinstance(data, dict):  # MongoDB's binary data
        data = _of_object(data).data
    if isinstance(data, str):
        data = _of_text(data).data if _DATA_URL.match(data.strip()) else _from_base64(data)
    if data is not None and data == data and not isinstance(data, bytes):
        raise BrokenRow("image is neither a path nor bytes")
    if isinstance(data, bytes) and data:
        return PictureValue(data, path.path)
    if path != PictureValue():
        return path
    address = next((value[key] for key in ADDRESS_KEYS if value.get(key)), None)
    if address is not None:
        return picture_of(address)
    others = value.keys() - {"bytes", "path"}
    return PictureValue(
        fault=f"an object without bytes or path (it has {quoted(', '.join(others))})" if others else None
    )


def _of_text(text: str) -> PictureValue:
    name = text.strip()
    if _DATA_URL.match(name):
        return _of_data_url(name)
    if _PYTHON.match(name):
        what = "Python's text of a picture, which cannot be read back; save the table as Parquet"
        return PictureValue(fault=f"{quoted(name[:20])} is {what}")
    if name[0] in "[{" and isinstance(found := parsed(name), list | dict):
        return picture_of(found)
    if (digits := _HEXADECIMAL.fullmatch(name)) and _begins_as_picture(bytes.fromhex(digits[1][:40])):
        return PictureValue(bytes.fromhex(digits[1]))
    if len(name) > _LONGEST_PATH or (_BASE64.fullmatch(name) and _begins_as_picture(_start(name))):
        return _of_base64(name, f"{quoted(name[:20])} is neither a path nor base64")
    if is_address(name):
        address = bare_address(name)  # without what may be a signature
        return PictureValue(None, address, f"{address}; {NOT_FETCHED}")
    parts = re.split(r"\s*[,;|\n]\s*", name)
    if len(parts) > 1 and all(part.lower().endswith(PICTURES) for part in parts):
        return PictureValue(fault=f"a list of {len(parts)} pictures; {ONE_EACH}")
    return PictureValue(None, _as_path(text))


def _of_data_url(name: str) -> PictureValue:
    kind, _, body = name.partition(",")
    if "svg" in kind.lower():
        return PictureValue(fault=f"{quoted(kind)} is {_NO_DRAWINGS}")
    if kind.lower().endswith("base64"):
        return _of_base64(unquote(body), f"{quoted(name)} is no picture in base64")
    data = unquote_to_bytes(body)
    return PictureValue(data) if data else PictureValue(fault=f"{quoted(name)} is no picture in base64")


def _of_base64(text: str, fault: str) -> PictureValue:
    data = _from_base64(text)
    if data is not None and data.lstrip().startswith(_DRAWINGS):
        return PictureValue(fault=_NO_DRAWINGS)
    return PictureValue(data) if data else PictureValue(fault=fault)


def _from_base64(text: str) -> bytes | None:
    """The bytes of base64 text of either alphabet, in lines or without its padding; None for anything else.

    With blanks within, only if they begin as a picture does: words would be base64 too.
    """
    digits = "".join(text.split()).translate(_STANDARD).rstrip("=")
    try:
        data = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return None
    return data if data and (" " not in text.strip() or _begins_as_picture(data)) else None


def _start(text: str) -> bytes:
    return _from_base64("".join(text[:200].split())[:40]) or b""


def _begins_as_picture(start: bytes) -> bool:
    return (
        start.startswith((*_STARTS, *_DRAWINGS))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[:2] == b"BM" and start[6:10] == bytes(4))
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
    )


def _as_path(name: str) -> str:
    """A path as this system has them."""
    return unquote(urlsplit(name).path) if name.startswith("file://") else name.replace("\\", "/")
