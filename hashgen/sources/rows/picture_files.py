"""Files named in rows of metadata: which are pictures, which are videos, and their bytes."""

from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")

# Bounds memory: a larger file is not the picture of a post.
MAX_FILE = 2**28
# Pixels of a picture that must be decoded.
MAX_PIXELS = 100_000_000


def read_picture(path: Path) -> bytes | None:
    """The bytes of a regular file of at most MAX_FILE bytes; None where there is none or it cannot be read."""
    return read_file(path, MAX_FILE)


def read_file(path: Path, most: int) -> bytes | None:
    """The bytes of a file; None if it is not a regular file, cannot be read, or has more than `most` bytes."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= most else None
    except OSError:
        return None
