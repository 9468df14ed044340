"""Where files are: on this machine, or on a filesystem that pyarrow knows by a URI, such as S3."""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import atomic_file, atomic_folder, is_uri, require

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs

# Filesystems in which a file needs its folder first; in a store of objects the key is all.
_WITH_FOLDERS = ("hdfs", "local")
_SECRETS = ("access_key", "secret_key")


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file or folder by its URI: `s3://bucket/key`, `gs://…`, `hdfs://…`, `file:///…`; options follow a `?`.

    What opens it are the credentials of the machine that does, from its environment or its files: none is in here, so
    none is sent to other machines or printed. All methods raise HashgenError for a fault of the filesystem.
    """

    uri: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.uri)
        if parts.password is not None or any(name in _SECRETS for name, _ in parse_qsl(parts.query)):
            bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
            raise HashgenError(
                f"{bare}: give no secrets in a path, which others can read; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or what your filesystem reads, in the environment"
            )

        if parts.fragment or self.uri.endswith("#"):
            raise HashgenError(f"{self.uri}: write a # in a path as %23")

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> "Remote":
        return self._replaced(f"{self._base}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._base.rpartition("/")[2]

    def with_name(self, name: str) -> "Remote":
        """What has this name beside it. Raises HashgenError for a bucket itself, which has nothing beside it."""
        if not urlsplit(self._base).path.strip("/"):
            raise HashgenError(f"{self}: name a folder in it, such as {self._base}/features")
        return self._replaced(f"{self._base.rpartition('/')[0]}/{name}")

    @property
    def _base(self) -> str:
        return self.uri.partition("?")[0].rstrip("/")

    def _replaced(self, base: str) -> "Remote":
        query = self.uri.partition("?")[2]
        return Remote(f"{base}?{query}" if query else base)

    def exists(self) -> bool:
        """Whether there is a file, or a folder that holds something."""
        with self._faults() as (filesystem, path):
            return bool(filesystem.get_file_info(path).type.name != "NotFound")

    def names(self) -> list[str]:
        """The names of the files directly in this folder, sorted; none if there is no such folder."""
        with self._faults() as (filesystem, path):
            found = filesystem.get_file_info(_arrow_fs().FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.is_file)

    def open(self) -> "pa.NativeFile":
        """The file, to be read at any place."""
        with self._faults() as (filesystem, path):
            return filesystem.open_input_file(path)

    def put(self, file: Path) -> None:
        """Copy a local file here. An object appears when all of it is there."""
        with self._faults() as (filesystem, path):
            if filesystem.type_name in _WITH_FOLDERS:
                filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            _arrow_fs().copy_files(str(file), path, _arrow_fs().LocalFileSystem(), filesystem)

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with self._faults() as (filesystem, path), contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(path)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[tuple["pa.fs.FileSystem", str]]:
        """The filesystem and the path in it; what goes wrong with them is the user's to mend."""
        from pyarrow import ArrowException

        parts = urlsplit(self._base)
        try:
            filesystem, root = _filesystem(parts.scheme, parts.netloc, self.uri.partition("?")[2])
            yield filesystem, f"{root.rstrip('/')}/{unquote(parts.path).strip('/')}".rstrip("/") or "/"
        except (ArrowException, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise HashgenError(
                f"{self}: {reason}; check the path, the network, and the credentials in the environment"
            ) from error


# What both kinds have: a name, with_name, and / for what is inside.
Place = Path | Remote


@functools.cache
def _filesystem(scheme: str, host: str, query: str) -> tuple["pa.fs.FileSystem", str]:
    """A filesystem and the path of its root: one for each bucket, as to make one may take a call over the network."""
    root = f"{scheme}://{host}/{'?' if query else ''}{query}"
    found: tuple[pa.fs.FileSystem, str] = _arrow_fs().FileSystem.from_uri(root)
    return found


def _arrow_fs() -> Any:
    """pyarrow's filesystems, imported when a place needs them: an installation for suggestions has no pyarrow."""
    import pyarrow.fs

    return pyarrow.fs


def place_of(text: str) -> Place:
    """The place that a user typed: a URI, or a path of this machine."""
    return Remote(text) if is_uri(text) else Path(text)


def everywhere(place: Place) -> Place:
    """The same place for processes that start in another folder."""
    return place.absolute() if isinstance(place, Path) else place


def present(place: Place, made_by: str) -> Place:
    """`place` if it is there; else raise a HashgenError that names the stage `made_by` that creates it."""
    if isinstance(place, Path):
        return require(place, made_by)
    if not place.exists():
        raise HashgenError(f"{place}: no such file; the stage {made_by} creates it", stage=made_by)
    return place


def source_of(place: Place) -> "str | pa.NativeFile":
    """What pyarrow reads a place from."""
    return str(place) if isinstance(place, Path) else place.open()


@contextlib.contextmanager
def output_files(*places: Place) -> Iterator[list[Path]]:
    """Paths to write to, one for each place; they take its place when the block ends without an error, in this order.

    On this machine each is replaced as `atomic_file` does. Elsewhere there may be no rename: each is written as a whole
    from a copy here, and the last of them is removed before the first is written. So where the last one is, all are of
    the same run.
    """
    with contextlib.ExitStack() as stack:
        remote = [place for place in places if isinstance(place, Remote)]
        copies = Path(stack.enter_context(tempfile.TemporaryDirectory())) if remote else Path()
        # In reverse, as the one that is entered last is the first to be left.
        paths = [
            stack.enter_context(atomic_file(place)) if isinstance(place, Path) else copies / str(number)
            for number, place in reversed(list(enumerate(places)))
        ][::-1]
        yield paths
        for last in remote[-1:]:
            last.remove()
        for path, place in zip(paths, places, strict=True):
            if isinstance(place, Remote):
                place.put(path)


@contextlib.contextmanager
def output_folder(place: Place, last: str, scratch: Path) -> Iterator[Path]:
    """An empty folder to write to; it takes the place of `place` as a whole when the block ends without an error.

    last: the file that says what the others are. Elsewhere than on this machine, where a folder has no rename, it is
    removed first and written last: a folder without it is not whole, and one with it is of one run. scratch: a folder
    here for the copy that is sent.
    """
    if isinstance(place, Path):
        with atomic_folder(place) as folder:
            yield folder
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as copy:
        yield Path(copy)
        old = place.names()
        (place / last).remove()
        new = [path.name for path in Path(copy).iterdir()]
        # Files of a folder that is not such an output are not ours to remove.
        for name in set(old) - set(new) if last in old else ():
            (place / name).remove()
        for name in sorted(new, key=lambda name: (name == last, name)):
            (place / name).put(Path(copy) / name)


def fault_of(error: Exception, place: Place) -> HashgenError | None:
    """`system_fault` of a file on this machine; what befalls another place is said by `Remote`."""
    return system_fault(error, place) if isinstance(place, Path) else None
