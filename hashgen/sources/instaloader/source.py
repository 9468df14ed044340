"""Posts from an existing download folder of instaloader, offline."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.params import scrape
from hashgen.params.scrape import Scrape
from hashgen.pictures.decode import BadPicture
from hashgen.pictures.stripping import strip_metadata
from hashgen.sources import Opening, Source
from hashgen.sources.authors import hash_author
from hashgen.sources.instaloader.files import (
    Folder,
    find_files,
    find_seed,
    has_shared_names,
    is_alike,
    list_folder,
    printable,
)
from hashgen.sources.instaloader.records import Medium, Record, read_record
from hashgen.sources.rows.picture_files import MAX_PIXELS, read_picture
from hashgen.sources.rows.values import BrokenRow, RowCounts


def open_source(section: Scrape, opening: Opening) -> Source:
    """The source that `scrape.instaloader` describes."""
    return InstaloaderSource(section.instaloader, opening.resolve(section.instaloader.path), opening.salt())


class InstaloaderSource(Source):
    """Posts of an instaloader download folder in the order of their paths; the names of one folder are in memory.

    Each `.json` or `.json.xz` of a post makes one, its shortcode the id; a folder `#food` gives the seed hashtag food,
    so that a post in two such folders is found twice. Stories, profiles, comments and linked folders
    are skipped. Of the owner only a hash is kept, keyed with `salt` (None: not even that); names, places, tags and
    addresses are not kept. A post gets a picture only if nothing suggests that it belongs to another post; `metrics()`
    counts those without.
    section: `carousel`, the first still picture available, or all; `video`, whether thumbnails of videos count.
    """

    def __init__(self, section: scrape.Instaloader, path: Path, salt: bytes | None) -> None:
        self.counts = RowCounts()
        self._met: Counter[str] = Counter()
        self._section = section
        self._path = path
        self._salt = salt

    def posts(self) -> Iterator[Post]:
        """Yield the posts. Raises HashgenError if there is no such folder, or no post in it that can be read."""
        self.counts, self._met = RowCounts(), Counter()
        for folder in self._folders():
            unused = folder.pictures()
            self._met["pictures"] += len(unused)
            for base in sorted(folder.jsons):
                unused.difference_update(name for _, name in folder.files_of(base))
                yield from self._posts(folder, base, unused)
            self.counts.files_without_rows += len(unused)
        self._require_posts()

    def metrics(self) -> dict[str, int]:
        """RowCounts, and counts of posts with shared file names, pictures that do not match, and other JSON files."""
        return self.counts.metrics() | {
            name: self._met[name] for name in ("shared_names", "unmatched_pictures", "other_json")
        }

    def warnings(self) -> list[str]:
        """One line for each kind of fault that occurred."""
        lines = {
            "shared_names": "posts left without a picture, because files with their names may belong to another post "
            "(instaloader --filename-pattern={shortcode} avoids this)",
            "unmatched_pictures": "pictures that do not match their JSON, left out with all pictures of their posts",
        }
        met = self._met
        return self.counts.warnings() + [f"{met[name]:,} {line}" for name, line in lines.items() if met[name]]

    def _folders(self) -> Iterator[Folder]:
        if not self._path.is_dir():
            problem = "not a folder" if self._path.exists() else "no such folder"
            raise HashgenError(f"{self._path}: {problem}; fix scrape.instaloader.path")
        for here, folders, names in os.walk(self._path, onerror=self._count_folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            self.counts.linked_folders += sum(Path(here, name).is_symlink() for name in folders)
            yield list_folder(Path(here), find_seed(self._path, Path(here)), names)

    def _count_folder(self, error: OSError) -> None:
        self._count_broken("a folder", error.strerror)

    def _count_broken(self, name: str, reason: object) -> None:
        self.counts.rows += 1
        self.counts.add_broken(printable(name), reason)

    def _posts(self, folder: Folder, base: str, unused: set[str]) -> Iterator[Post]:
        """The posts of a name, which has one JSON, or two: packed and not. What they name leaves `unused`."""
        records: dict[str, Record] = {}
        is_alone = True
        for name in folder.jsons[base]:
            # Without the folder, which may be the name of an account.
            self.counts.place = f"#{folder.seed}/{name}" if folder.seed else name
            try:
                record = read_record(folder.path / name, self.counts, folder.numbered(base))
            except BrokenRow as error:
                self._count_broken(self.counts.place, error)  # a second JSON may belong to the same post
                is_alone = False
                continue
            if record is None:
                self._met["other_json"] += 1
            else:
                records.setdefault(record.shortcode, record)
        self.counts.rows += len(records)
        is_alone = is_alone and len(records) == 1
        for record in records.values():
            if record.caption is None and is_alone and not folder.has_old_text(base):
                record = dataclasses.replace(record, caption=folder.text(base))
            files = find_files(folder, base, record)
            unused.difference_update(files.values())
            if not is_alone or has_shared_names(folder, base, record):
                yield from self._media(folder, record, None)
            else:
                yield from self._media(folder, record, files)

    def _media(self, folder: Folder, record: Record, files: dict[int, str] | None) -> Iterator[Post]:
        """A post for each medium requested. files: pictures by place; None if they may belong to another post."""
        wanted = self._wanted(record.media)
        if not wanted:
            yield self._post(folder, record, 0, None, kind="video")
            return
        found = {place: files[place] for place in wanted if place in files} if files else {}
        unlike = sum(not is_alike(folder.path / name, record.media[place]) for place, name in found.items())
        self._met["shared_names"] += files is None
        self._met["unmatched_pictures"] += unlike
        found = {} if unlike else found
        if self._section.carousel == "first":
            wanted = [*found, *wanted][:1]
        for place in wanted:
            post = self._post(folder, record, place, found.get(place))
            if post.image is None and files is not None and not unlike:
                self.counts.add_without_file("no picture of it is there")
            yield post

    def _wanted(self, media: Sequence[Medium]) -> list[int]:
        """The places of the media whose pictures are requested; if only one is, still pictures come first."""
        takes_videos = self._section.video == "thumbnail"
        places = [place for place, medium in enumerate(media) if takes_videos or not medium.is_video]
        return sorted(places, key=lambda place: self._section.carousel == "first" and media[place].is_video)

    def _post(self, folder: Folder, record: Record, place: int, file: str | None, kind: str = "image") -> Post:
        number = f"_{place + 1}" if record.is_carousel else ""
        return Post(
            id=record.shortcode,
            source="instaloader",
            caption=record.caption or None,
            seed_hashtags=(folder.seed,) if folder.seed else (),
            author=hash_author(record.owner, self._salt),
            date=record.date,
            kind=kind,
            media_index=place,
            n_media=len(record.media),
            image=None if file is None else _read_bare(folder.path / file),
            # Not the name of the file, which may contain the name of the account.
            image_path=None if file is None else f"{record.shortcode}{number}{Path(file).suffix.lower()}",
        )

    def _require_posts(self) -> None:
        counts, met = self.counts, self._met
        if counts.rows and counts.rows == counts.broken_rows:
            names = "; ".join(counts.broken_names)
            raise HashgenError(f"{self._path}: no file in it can be read ({names}); download it again with instaloader")
        if counts.rows:
            return
        if met["other_json"]:
            found = f"none of the {met['other_json']:,} JSON files is a post (stories and profiles have no hashtags)"
        elif met["pictures"]:
            found = (
                f"{met['pictures']:,} pictures, but no .json or .json.xz beside them; download without "
                "--no-metadata-json, or write a metadata.csv and set scrape.source: folder"
            )
        else:
            found = "no .json or .json.xz files of posts as instaloader writes them; fix scrape.instaloader.path"
        raise HashgenError(f"{self._path}: {found}")


def _read_bare(path: Path) -> bytes | None:
    """A picture without EXIF and the like, which may reveal where people live; a damaged one unchanged."""
    data = read_picture(path)[0]
    try:
        return data and strip_metadata(data, MAX_PIXELS)
    except BadPicture:
        return data
