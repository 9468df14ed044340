"""Several requests at once: pictures and folders as a person names them, or JSON Lines; one answer each."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashgen.base.errors import HashgenError

if TYPE_CHECKING:
    from hashgen.suggesting.answer import Answer
    from hashgen.suggesting.suggester import EncodedPicture, Suggester

# Names of files in a folder that are taken for pictures.
ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
# What a line of JSON Lines may hold besides: other keys are handed through.
_WISHES = frozenset({"tags", "add", "max", "platform", "min_confidence", "mix", "ban", "allow", "prefix", "explain"})
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Request:
    """One request. picture: its path, or None. about: what is handed through to the answer. wishes: see `Options`."""

    picture: Path | None
    caption: str
    about: Mapping[str, Any]
    wishes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def named(arguments: Sequence[str], caption: str | None) -> tuple[list[Path], str]:
    """Pictures and the caption as a person names them: `photo.jpg "slow sunday"`, several pictures, or folders.

    The last argument is the caption if it is neither a file nor named like one. caption: if given otherwise; then all
    arguments are pictures. Raises HashgenError for a picture that is not there, and a folder without any.
    """
    texts = list(arguments)
    if texts and not Path(texts[-1]).exists() and Path(texts[-1]).suffix.lower() not in ENDINGS and len(texts) > 1:
        if caption is not None:
            raise HashgenError(f"{texts[-1]}: no such file; the caption is given by --caption already")
        caption = texts.pop()
    pictures: list[Path] = []
    for path in map(Path, texts):
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())
            if not inside:
                raise HashgenError(f"{path}: no pictures in this folder; name pictures, or a folder of them")
            pictures += inside
        elif path.is_file():
            pictures.append(path)
        else:
            problem = "not a file" if path.exists() else "no such file"
            raise HashgenError(f"{path}: {problem}; give the path of a picture")
    return pictures, caption or ""


def read_lines(lines: Iterable[str], name: str) -> Iterator[Request | HashgenError]:
    """Requests from JSON Lines: objects with `picture` (a path), `caption`, both, and options; empty lines are skipped.

    A line that is none comes as an error that names it.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _request(line)
        except HashgenError as error:
            yield HashgenError(f"{name}, line {number}: {error}")


def _request(line: str) -> Request:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise HashgenError(f"not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise HashgenError('not an object; write {"picture": "photo.jpg", "caption": "slow sunday"}')
    picture, caption = found.get("picture"), found.get("caption")
    for key, value in (("picture", picture), ("caption", caption)):
        if value is not None and not isinstance(value, str):
            raise HashgenError(f"{key}: is not a text")
    about = {key: value for key, value in found.items() if key not in _WISHES and key != "caption"}
    wishes = {key: value for key, value in found.items() if key in _WISHES}
    return Request(Path(picture) if picture else None, caption or "", about, wishes)


def answers(
    requests: "Iterable[Request | HashgenError]", suggester: "Suggester", wishes: Mapping[str, Any]
) -> "Iterator[tuple[Request | None, Answer | HashgenError]]":
    """Answer requests in their order; pictures are encoded several at once. wishes: for all, unless a line has its own.

    A request that fails is answered by its error.
    """
    for batch in _batches(requests):
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
    except (TypeError, AttributeError) as error:  # an option of a line with a value of another type
        return HashgenError(f"an option has a value of the wrong type ({error})")


def _batches(requests: "Iterable[Request | HashgenError]") -> "Iterator[list[Request | HashgenError]]":
    batch: list[Request | HashgenError] = []
    for one in requests:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
