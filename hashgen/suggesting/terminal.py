"""Suggestions in a terminal: what was asked, and lines of text or JSON."""

import codecs
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hashgen.base.errors import HashgenError, printable
from hashgen.base.faults import system_fault
from hashgen.base.files import refuse_uri
from hashgen.suggesting.options import Options
from hashgen.suggesting.requests import AT_ONCE, Request, answers, named, read_lines
from hashgen.suggesting.sets import find_set, read_sets

if TYPE_CHECKING:
    from hashgen.suggesting.answer import Answer, Suggestion
    from hashgen.suggesting.suggester import Suggester

Form = Literal["text", "plain", "json"]
Asked = Iterable[Request | HashgenError]


def split(text: str) -> list[str]:
    """Hashtags as a person lists them: separated by commas, blanks or `#`."""
    return text.replace(",", " ").replace("#", " ").split()


def of_sets(names: Sequence[str], file: Path, wishes: Mapping[str, Any]) -> dict[str, list[str]]:
    """The options `add` and `ban` with the hashtags of saved sets. Raises HashgenError for a set that is not there."""
    known = read_sets(file) if names else {}
    chosen = [find_set(known, name, file) for name in names]
    add = [hashtag for one in chosen for hashtag in one.add]
    return {"add": add, "ban": [*wishes["ban"], *(hashtag for one in chosen for hashtag in one.keep_off)]}


def check(wishes: Mapping[str, Any]) -> None:
    """Raise HashgenError for an option that is out of range, before a model is loaded."""
    Options(**wishes)


def requests(arguments: Sequence[str], caption: str | None, batch: str | None) -> Asked:
    """What was asked. Raises HashgenError for a picture that is not there, and when nothing was asked."""
    if batch is not None:
        if arguments or caption is not None:
            raise HashgenError("--batch: its lines name pictures and captions; leave out the others")
        refuse_uri(batch, "--batch")
        return _lines(batch)
    pictures, text = named(arguments, caption)
    if text == "-":
        text = _caption(sys.stdin.buffer.read())
    if not pictures and not text.strip():
        raise HashgenError('nothing to suggest for; write hashgen suggest photo.jpg "the caption"')
    several = len(pictures) > 1
    return [Request(one, text, {"picture": str(one)} if several else {}) for one in pictures] or [
        Request(None, text, {})
    ]


def _caption(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HashgenError("standard input: not UTF-8; give the caption as UTF-8") from error


def _lines(batch: str) -> Iterator[Request | HashgenError]:
    if batch == "-":
        yield from read_lines(sys.stdin.buffer, "standard input")
        return
    try:
        with Path(batch).open("rb") as file:
            yield from read_lines(file, batch)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise HashgenError(f"{batch}: no such file; give JSON Lines with --batch, or - for standard input") from error
    except OSError as error:
        raise system_fault(error, Path(batch)) or HashgenError(f"{batch}: cannot be read; give JSON Lines") from error


def print_answers(
    asked: Asked, suggester: "Suggester", wishes: Mapping[str, Any], form: Form, at_once: int = AT_ONCE
) -> int:
    """Print an answer for each request; returns how many of several could not be answered. at_once: see `answers`.

    A single one that fails raises its HashgenError.
    """
    told: set[str] = set()
    total = failed = 0
    single = isinstance(asked, list) and len(asked) == 1
    # Letters that the output cannot hold are written as JSON writes them.
    is_ascii = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
    for request, answer in answers(asked, suggester, wishes, at_once):
        total += 1
        about = {} if request is None else dict(request.about)
        if isinstance(answer, HashgenError):
            if single:
                raise answer
            failed += 1
        if form == "json":
            content = {"error": str(answer)} if isinstance(answer, HashgenError) else answer.to_json()
            print(json.dumps(about | content, ensure_ascii=is_ascii), flush=True)
            continue
        name = about.get("picture")
        if isinstance(answer, HashgenError):
            print(f"error: {answer}", file=sys.stderr)
        else:
            if form == "text":
                _warn(answer, told)
            print(
                *_text(answer, None if form == "plain" else name, bool(wishes["explain"]) and form == "text"),
                sep="\n",
                flush=True,
            )
    if failed:
        print(f"error: {failed:,} of {total:,} could not be answered", file=sys.stderr)
    return failed


def _warn(answer: "Answer", told: set[str]) -> None:
    """Say each warning once."""
    for warning in answer.warnings:
        if warning not in told:
            told.add(warning)
            print(f"warning: {printable(warning)}", file=sys.stderr)


def _text(answer: "Answer", name: str | None, explained: bool) -> list[str]:
    if not explained:
        return [str(answer) if name is None else f"{printable(name)}\t{answer}"]
    width = max((len(one.hashtag) for one in answer), default=0)
    return ([] if name is None else [printable(name)]) + [_explained(one, width) for one in answer]


def _explained(one: "Suggestion", width: int) -> str:
    posts = "1 post" if one.posts == 1 else f"{one.posts:,} posts"
    text = f"#{one.hashtag:{width}}  {one.confidence:4.0%}  {posts:>12}"
    if one.why is None:
        return text
    why = dataclasses.asdict(one.why)
    reasons = [f"words: {', '.join(why['words'])}"] if why["words"] else []
    reasons += ["stands in the caption"] if why["copied"] else []
    reasons += [f"{name} {why[name]:+z.0%}" for name in ("picture", "caption") if why[name] is not None]
    reasons += [f"beside {' '.join(f'#{tag}' for tag in why['tags'])}"] if why["tags"] else []
    reasons += ["your own posts"] if why["mine"] else []
    reasons += [f"like {printable(', '.join(why['posts']))}"] if why["posts"] else []
    return f"{text}  {'; '.join(reasons)}"
