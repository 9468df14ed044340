"""Which pictures in a download folder of instaloader certainly belong to a post, judged by its JSON.

instaloader (4.16, `download_post`) names files by a pattern, by default by the second of the post, and does not
download a picture whose name is taken. Of two posts of one second in one folder, the later overwrites the JSON of the
earlier but is left with its pictures. The caption of the earlier is moved to `_old_01.txt`, if both had one.
"""

import dataclasses
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashgen.pictures.decode import FORMATS, BadPicture, Checked, check_picture, decode_picture
from hashgen.pictures.near_duplicates import first_alike, read_hashes
from hashgen.sources.instaloader.records import Medium, Record, Size
from hashgen.sources.rows.picture_files import MAX_PIXELS, PICTURES, VIDEOS, read_file, read_picture
from hashgen.sources.rows.text_files import MAX_LINE
from hashgen.text.captions import normalise, normalise_hashtags

# Files of a carousel are looked for up to here; Instagram allows 20 media.
_MOST_MEDIA = 40
# Pictures with sides of at least this many pixels are served in several sizes, with rounded sides.
_SCALED_FROM = 640
_ASPECT_TOLERANCE = 0.005
# Copies of a picture, at another size or quality, differ in aspect by at most this share, at _SMALL pixels a side in
# colour by this much on average (of 0..255), and in the hash by this many bits: see docs/filter.md.
_COPY_ASPECT, _COPY_COLOURS, _COPY_BITS = 0.02, 4, 24
_SMALL = 8
# A shorter name may be part of a file name by chance.
_TELLING_NAME = 10
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class Folder:
    """The names in a folder. seed: its hashtag, if any. jsons and media: names by their part before the suffix."""

    path: Path
    seed: str
    jsons: dict[str, list[str]]
    media: dict[str, list[str]]
    texts: frozenset[str]

    def pictures(self) -> set[str]:
        """The names of all pictures."""
        return {name for names in self.media.values() for name in names if is_picture(name)}

    def files_of(self, base: str) -> Iterator[tuple[int, str]]:
        """Pictures and videos named `base` or `base_N`: N (0 where there is none) and the name."""
        for number in range(_MOST_MEDIA + 1):
            for name in self.media.get(f"{base}_{number}" if number else base, ()):
                yield number, name

    def numbered(self, base: str) -> list[bool]:
        """For each number up to the highest of the files `base_N` whether one of them is a video."""
        files = list(self.files_of(base))
        videos = {number for number, name in files if not is_picture(name)}
        return [number in videos for number in range(1, max((number for number, _ in files), default=0) + 1)]

    def text(self, base: str) -> str | None:
        """What the `.txt` of a name holds, without the last line's end; None where there is none, or an endless one."""
        if f"{base}.txt" not in self.texts:
            return None
        data = read_file(self.path / f"{base}.txt", MAX_LINE)
        return None if data is None else data.decode("utf-8-sig", "replace").replace("\0", "").rstrip("\r\n")

    def has_old_text(self, base: str) -> bool:
        """Whether instaloader found another caption under this name before: an edited one, or that of another post."""
        return f"{base}_old_01.txt" in self.texts


def list_folder(path: Path, seed: str, names: Sequence[str]) -> Folder:
    """Sort the names in a folder by what they are; hidden files and comments are none of these."""
    jsons: dict[str, list[str]] = {}
    media: dict[str, list[str]] = {}
    names = sorted(name for name in names if not name.startswith("."))
    for name in names:
        if name.endswith((".json", ".json.xz")) and not name.endswith("_comments.json"):
            jsons.setdefault(name.removesuffix(".xz").removesuffix(".json"), []).append(name)
        elif name.lower().endswith(PICTURES + VIDEOS):
            media.setdefault(Path(name).stem, []).append(name)
    return Folder(path, seed, jsons, media, frozenset(name for name in names if name.endswith(".txt")))


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return name.lower().endswith(PICTURES)


def find_seed(root: Path, folder: Path) -> str:
    """The hashtag of the innermost folder that is named for one (#food, %23food), without its #; empty if none is."""
    for part in reversed((root.absolute().name, *folder.relative_to(root).parts)):
        name = unquote(part) if part.startswith("%23") else part
        # %2300123 is place 2300123.
        if name.startswith("#") and name == printable(name) and _is_hashtag(name[1:]):
            return name[1:]
    return ""


def _is_hashtag(name: str) -> bool:
    return normalise_hashtags([name]) == [normalise(name).lower()]


def printable(name: str) -> str:
    """A file's name with what is not UTF-8 in it replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def has_shared_names(folder: Folder, base: str, record: Record) -> bool:
    """Whether anything suggests that files named `base` and `base_N` were made for more than one post.

    Names that contain the shortcode, the number or the name in the address belong to the post, but a carousel that lost
    a picture may still have its files numbered as before. Files that the JSON cannot explain are such a sign: a number
    that is too high, a video for a picture, two pictures for one medium that do not show the same.
    """
    if _naming(record.url_names, base):
        return False
    last = len(record.media) if record.is_carousel else 0
    for number, name in folder.files_of(base):
        if number > last or (number == 0) == record.is_carousel:
            return True
        if not is_picture(name) and not record.media[max(0, number - 1)].is_video:
            return True
    pictures: dict[int, list[str]] = {}
    for number, name in folder.files_of(base):
        if is_picture(name):
            pictures.setdefault(number, []).append(name)
    if not all(_show_the_same(folder, names) for names in pictures.values()):
        return True
    names = [record.shortcode, record.number or ""]
    return not _naming(names, base) and (_has_neighbours(folder, base) or _has_other_text(folder, base, record))


def _naming(names: Sequence[str], base: str) -> str | None:
    """The name that a file's name holds; short ones must be all of it."""
    return next((name for name in names if name == base or (len(name) >= _TELLING_NAME and name in base)), None)


def _has_neighbours(folder: Folder, base: str) -> bool:
    """Whether a JSON stands for `x` and another for `x_1`, which would both claim `x_1.jpg`."""
    place = re.fullmatch(r"(.+)_[1-9]\d?", base, re.DOTALL)
    if place and place[1] in folder.jsons:
        return True
    return any(number and f"{base}_{number}" in folder.jsons for number, _ in folder.files_of(base))


def _has_other_text(folder: Folder, base: str, record: Record) -> bool:
    """Whether the texts suggest another post: one was moved away, or there is one although the newer JSON has none.

    A text that differs from the JSON means nothing: its form is the user's choice (`--post-metadata-txt`).
    """
    says_none = record.caption is not None and not record.caption.strip()
    return folder.has_old_text(base) or (says_none and bool(folder.text(base)))


def find_files(folder: Folder, base: str, record: Record) -> dict[int, str]:
    """The names of the pictures of a post's media, by place; the first of several that show the same.

    instaloader can get a picture as .webp one day and as .jpg another. With `{filename}` in the pattern each medium is
    named by its own address, else by its number.
    """
    cover = _naming(record.url_names, base)
    found = {}
    for place, medium in enumerate(record.media):
        bases = [f"{base}_{place + 1}" if record.is_carousel else base]
        if cover and record.is_carousel:
            bases = [base.replace(cover, name) for name in medium.url_names]
        names = [name for stem in bases for name in folder.media.get(stem, ()) if is_picture(name)]
        if names and _show_the_same(folder, names):
            found[place] = names[0]
    return found


def _show_the_same(folder: Folder, names: Sequence[str]) -> bool:
    """Whether pictures, if there are several, are copies of one: alike in shape, colours and perceptual hash."""
    if len(names) == 1:
        return True
    try:
        first, *others = [_look(folder.path / name) for name in names]
    except BadPicture:
        return False
    return all(_is_copy(first, other) for other in others)


def _look(path: Path) -> tuple[Checked, npt.NDArray[np.float64]]:
    """A picture's size and hash, and its colours when small: (_SMALL, _SMALL, 3)."""
    data = read_picture(path)[0] or b""
    small = decode_picture(data, MAX_PIXELS).resize((_SMALL, _SMALL), Image.Resampling.BOX)
    return check_picture(data, 1, MAX_PIXELS), np.asarray(small, np.float64)


def _is_copy(one: tuple[Checked, npt.NDArray[np.float64]], other: tuple[Checked, npt.NDArray[np.float64]]) -> bool:
    (checked, colours), (other_checked, other_colours) = one, other
    ratio = (checked.width * other_checked.height) / (checked.height * other_checked.width)
    if abs(ratio - 1) > _COPY_ASPECT or float(np.abs(colours - other_colours).mean()) > _COPY_COLOURS:
        return False
    if checked.phash is None or other_checked.phash is None:
        return checked.phash == other_checked.phash
    hashes = read_hashes([checked.phash, other_checked.phash])[:, 0]  # of the whole pictures: (2, words)
    return int(first_alike(hashes, _COPY_BITS)[1]) == 0


def is_alike(path: Path, medium: Medium) -> bool:
    """Whether a picture has a size given in its JSON, or is a scaled copy of it; true if either is unknown."""
    size = read_size(path)
    return size is None or not medium.sizes or any(_fits(size, told) for told in medium.sizes)


def _fits(size: Size, told: Size) -> bool:
    if size == told:
        return True
    ratio = (size[0] * told[1]) / (size[1] * told[0])
    return max(told) >= _SCALED_FROM and abs(ratio - 1) <= _ASPECT_TOLERANCE


def read_size(path: Path) -> Size | None:
    """Upright width and height from a picture's header; None if it is not a readable picture."""
    try:
        if not path.is_file():
            return None
        Image.init()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
                is_sideways = image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS
    # Plugins can raise anything on damaged files; the filter judges those.
    except Exception:
        return None
    return (height, width) if is_sideways else (width, height)
