"""HashgenError, and the texts of the library: none names a command of the pipeline, because the library knows none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashgen.base.errors import HashgenError, printable

LIBRARY = Path(__file__).parents[2] / "hashgen"
# The report is about a run of the pipeline; the command `hashgen` is not part of the library.
OUTSIDE = ("report", "cli.py", "__main__.py")
COMMAND = re.compile(r"\bdvc \w|\bpython3? -m\b")


def texts(source: str) -> Iterator[str]:
    """Every string literal and docstring, with … for what an f-string fills in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_an_error_ends_with_1_and_names_no_stage_unless_told_to() -> None:
    error = HashgenError("posts.parquet: no such file")
    assert (str(error), error.exit_code, error.stage) == ("posts.parquet: no such file", 1, None)
    error = HashgenError("x", 3, stage="filter")
    assert (error.exit_code, error.stage) == (3, "filter")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 😀 北京: one\ntwo", "café 😀 北京: one\ntwo"),
        ("\x1b[2Jcleared\rover", "\\x1b[2Jcleared\\rover"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("half \ud83d \U000e0001", "half \\ud83d \\U000e0001"),
    ],
)
def test_no_message_holds_what_a_terminal_obeys(text: str, shown: str) -> None:
    assert printable(text) == shown == str(HashgenError(text)) == printable(shown)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise HashgenError(f"{path}: no such file; run dvc repro {stage}")', True),
        ('"""Run it by `python -m stages.train`."""', True),
        ("# dvc repro is for comments\nNAME = 'hashgen'", False),
        ("PARTS = ('.dvc', 'tmp')", False),
    ],
)
def test_a_command_in_a_text_is_found(source: str, found: bool) -> None:
    assert any(COMMAND.search(text) for text in texts(source)) == found


def test_no_text_of_the_library_names_a_command() -> None:
    files = [path for path in LIBRARY.rglob("*.py") if path.relative_to(LIBRARY).parts[0] not in OUTSIDE]
    assert len(files) > 80
    naming = {
        f"{path.relative_to(LIBRARY)}: {text}"
        for path in files
        for text in texts(path.read_text(encoding="utf-8"))
        if COMMAND.search(text)
    }
    assert naming == set()
