"""Files named in rows of metadata: which are pictures, which are videos, and their bytes."""

import os
import re
import unicodedata
from pathlib import Path

from hashgen.sources.rows.downloads import pointer

PICTURES = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")

# Pictures may be packed in one of these beside the rows that name them.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
NOT_FETCHED = "addresses are not fetched; download the pictures first"
ONE_EACH = "give each picture a row of its own, with the same id and text"

# Bounds memory: a larger file is not the picture of a post.
MAX_FILE = 2**28
# Pixels of a picture that must be decoded.
MAX_PIXELS = 100_000_000


def read_picture(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of a regular file of at most MAX_FILE bytes; or None, and for a message the path and what is wrong."""
    data = read_file(path, MAX_FILE)
    if data is not None and (instead := pointer(data[:512])):
        return None, f"{path} is {instead}"
    return data, None if data is not None else str(path)


def read_file(path: Path, most: int) -> bytes | None:
    """The bytes of a file; None if it is not a regular file, cannot be read, or has more than `most` bytes."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= most else None
    except OSError:
        return None


class PictureFinder:
    """Finds files whose names are written in another way than on the disk; the names of one folder are in memory."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._names: dict[str, list[str]] = {}

    def find(self, path: Path) -> Path:
        """The file `path`, or the only one whose path differs from it just in case, Unicode form or outer blanks.

        `path` itself where there is none, or more than one.
        """
        try:
            if os.path.lexists(path) or path == path.parent:
                return path
            folder = self.find(path.parent)
            alike = self._list(folder).get(_folded(path.name), [])
        except (OSError, ValueError):  # too long a name, or one with NUL
            return path
        return folder / alike[0] if len(alike) == 1 else path

    def _list(self, folder: Path) -> dict[str, list[str]]:
        if folder != self._folder:
            names: dict[str, list[str]] = {}
            for file in folder.iterdir() if folder.is_dir() else ():
                names.setdefault(_folded(file.name), []).append(file.name)
            self._folder, self._names = folder, names
        return self._names


def _folded(name: str) -> str:
    """What names that are written in different ways have in common: `CAFÉ.JPG` and `café.jpg` in two letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


# Also without its scheme, as pages write it: //cdn.example/a.jpg.
_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://|//[\w-]+(?:\.[\w-]+)+[/:?#]", re.IGNORECASE)


def is_address(name: str) -> bool:
    """Whether the name of a file is an address on the web or in a cloud."""
    return _ADDRESS.match(name.strip()) is not None


def bare_address(address: str) -> str:
    """An address without what may be a signature."""
    return re.split("[?#]", address)[0]


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{200,}=*")


def looks_like_picture(value: object) -> bool:
    """Whether a value names a picture or video: by the end of its name, as an address, or as base64."""
    if not isinstance(value, str):
        return False
    name = value.strip()
    plain = bare_address(name).lower()
    return (
        plain.endswith((*PICTURES, *VIDEOS))
        or is_address(name)
        or plain.startswith("data:image/")
        or _BASE64.fullmatch(name) is not None
    )
