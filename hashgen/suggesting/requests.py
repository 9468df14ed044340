"""Several requests at once: pictures and folders as a person names them, or JSON Lines; one answer each."""

import dataclasses
import errno
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hashgen.base.errors import HashgenError
from hashgen.base.files import refuse_uri

if TYPE_CHECKING:
    from hashgen.suggesting.answer import Answer
    from hashgen.suggesting.suggester import EncodedPicture, Suggester

Item = TypeVar("Item")

# Names of files in a folder that are taken for pictures. Those of iPhones cannot be read, which is said of each.
ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}
)
# What a line of JSON Lines may hold besides: other keys are handed through.
_WISHES = frozenset({"tags", "add", "max", "platform", "min_confidence", "mix", "ban", "allow", "prefix", "explain"})
# What answers hold: a line that has these already (posts with their hashtags) would seem to be answered.
_ANSWERED = frozenset({"hashtags", "warnings", "error"})
# Pictures that are encoded together: faster than one by one.
AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Request:
    """One request. picture, caption and wishes: as `Suggester.suggest` takes them, from JSON unchecked.

    about: what is handed through to the answer.
    """

    picture: Any
    caption: Any
    about: Mapping[str, Any]
    wishes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def named(arguments: Sequence[str], caption: str | None) -> tuple[list[Path], str]:
    """Pictures and the caption as a person names them: `photo.jpg "slow sunday"`, several pictures, or folders.

    The last argument is the caption if it is neither a file nor named like one; of a single one, only `-` is. caption:
    if given otherwise; then all arguments are pictures. Raises HashgenError for a picture that is not there, and a
    folder without any.
    """
    texts = list(arguments)
    last = Path(texts[-1] if texts else "")
    if (len(texts) > 1 or texts == ["-"]) and not _is_there(last) and not _is_named_like_one(last):
        if caption is not None:
            raise HashgenError(f"{texts[-1]}: no such file; the caption is given by --caption already")
        caption = texts.pop()
    pictures: list[Path] = []
    for text in texts:
        refuse_uri(text)
        path = Path(text)
        if not _is_there(path):
            alone = ", or a caption alone with --caption" if len(texts) == 1 and not _is_named_like_one(path) else ""
            raise HashgenError(f"{path}: no such file; give the path of a picture{alone}")
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())
            if not inside:
                raise HashgenError(f"{path}: no pictures in this folder; name pictures, or a folder of them")
            pictures += inside
        elif path.is_file():
            pictures.append(path)
        else:
            raise HashgenError(f"{path}: not a file; give the path of a picture")
    return pictures, caption or ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a caption
            return False
        raise


def _is_named_like_one(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Request | HashgenError]:
    """Requests from JSON Lines: objects with `picture` (a path), `caption`, both, and options; empty lines are skipped.

    A key with null is as one that is not there. A line that is none comes as an error that names it.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _request(line)
        except HashgenError as error:
            yield HashgenError(f"{name}, line {number}: {error}")


def _request(line: bytes) -> Request:
    try:
        # NaN, which Python and pandas write and JSON does not know, is nothing.
        found = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise HashgenError(f"not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise HashgenError('not an object; write {"picture": "photo.jpg", "caption": "slow sunday"}')
    picture = found.get("picture")
    about = {key: value for key, value in found.items() if key not in _WISHES | _ANSWERED | {"caption"}}
    wishes = {key: value for key, value in found.items() if key in _WISHES and value is not None}
    return Request(None if picture == "" else picture, found.get("caption"), about, wishes)


def answers(
    requests: "Iterable[Request | HashgenError]",
    suggester: "Suggester",
    wishes: Mapping[str, Any],
    at_once: int = AT_ONCE,
) -> "Iterator[tuple[Request | None, Answer | HashgenError]]":
    """Answer requests in their order. wishes: for all, unless a line has its own. at_once: pictures encoded together.

    A request that fails is answered by its error.
    """
    for batch in batches(requests, at_once):
        pictures = [one.picture for one in batch if isinstance(one, Request) and one.picture is not None]
        encoded = iter(suggester.encode_all(pictures))
        for one in batch:
            if isinstance(one, HashgenError):
                yield None, one
            else:
                picture = None if one.picture is None else next(encoded)
                yield one, _answer(one, picture, suggester, wishes)


def _answer(
    request: Request,
    picture: "EncodedPicture | HashgenError | None",
    suggester: "Suggester",
    wishes: Mapping[str, Any],
) -> "Answer | HashgenError":
    if isinstance(picture, HashgenError):
        return picture
    try:
        return suggester.suggest(picture, request.caption, **{**wishes, **request.wishes})
    except HashgenError as error:
        return error


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of `size`, the last one perhaps shorter."""
    batch: list[Item] = []
    for one in items:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
