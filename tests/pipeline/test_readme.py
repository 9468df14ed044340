"""README.md and docs/: every command, parameter, path, link, error text and figure in them is real."""

import ast
import importlib
import inspect
import json
import re
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from dvc.cli import DvcParserError, parse_args
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from hashgen import cli
from hashgen.base.errors import HashgenError
from hashgen.params import read_params
from hashgen.report import summary
from stages.command import _command
from tests import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
MAKEFILE = (ROOT / "Makefile").read_text()
OPTION = re.compile(r"Q=1|PYTHON=\S+|TORCH_INDEX=\S+|SEED=\d+")  # of make
# tests/pipeline/test_cookbook.py and test_cluster_page.py run these as they stand.
GIT = ("add", "checkout", "commit", "diff", "pull", "push", "status")
VARIABLES = ("HASHGEN_ENGINE", "HASHGEN_HOME", "HASHGEN_QUIET", "HASHGEN_REFRESH", "RAY_ADDRESS")
# What says that a command would not be understood; Typer's own error of usage has no public name.
REFUSALS = (AssertionError, typer.BadParameter.__mro__[1], DvcParserError, DvcException, HashgenError, ImportError)


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))


def commands(text: str) -> list[str]:
    """The lines of the console blocks, a line a command."""
    blocks: list[str] = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(text))


def check_command(line: str, folder: Path) -> None:
    """Raise an exception unless the command is one that would be understood. folder: for a copy of params.yaml."""
    words = shlex.split(line)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        assert words.pop(0).split("=")[0] in VARIABLES
    match words:
        case ["make", *targets]:
            assert targets
            for target in targets:
                found = re.search(rf"^{target}:.*##", MAKEFILE, re.MULTILINE) or re.fullmatch(
                    r"Q=1|PYTHON=\S+|TORCH_INDEX=\S+", target
                )
                assert found, f"make {target}"
        case ["python", "-m", module, *arguments] | [
            "torchrun",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            module,
            *arguments,
        ]:
            _check_module(module, arguments)
        case ["hashgen", name, *arguments]:
            _check_hashgen(name, arguments)
        case ["dvc", *arguments]:
            _check_dvc(arguments, folder)
        case ["git", verb, *_]:
            assert verb in GIT
        case ["ray", "start", "--head", "--port", number]:
            assert number.isdecimal()
        case ["source", ".venv/bin/activate"]:
            pass
        case _:
            raise AssertionError(f"not known: {line}")


def _check_hashgen(name: str, arguments: list[str]) -> None:
    if name == "--install-completion":
        return
    parsed = typer.main.get_command(cli.app)
    command = parsed.get_command(typer.Context(parsed), name)  # type: ignore[attr-defined]
    assert command is not None, name
    if arguments != ["--help"]:
        command.make_context(name, arguments)  # raises UsageError for what it does not understand


def _check_module(module: str, arguments: list[str]) -> None:
    package, _, name = module.partition(".")
    if package == "benchmarks":
        assert (ROOT / "benchmarks" / f"{name}.py").is_file() and not arguments
        return
    assert package == "stages"
    app = typer.Typer(add_completion=False)
    app.command()(_command(importlib.import_module(module).main))
    parsed = typer.main.get_command(app)
    if arguments != ["--help"]:
        parsed.make_context(module, arguments)  # raises UsageError for what it does not understand


def _check_dvc(arguments: list[str], folder: Path) -> None:
    parsed = parse_args(arguments)
    for target in getattr(parsed, "targets", None) or []:
        assert target in PIPELINE or target in outputs()
    if changes := getattr(parsed, "set_param", None):
        for variant in get_hydra_sweeps({"params.yaml": changes}):
            path = folder / "params.yaml"
            path.write_bytes((ROOT / "params.yaml").read_bytes())
            apply_overrides(path, variant["params.yaml"])
            read_params(path)


@each_document
def test_every_command_would_be_understood(document: Path, tmp_path: Path) -> None:
    text = document.read_text()
    shown = [span for span in spans(text) if re.match(r"(make|dvc|git|hashgen|python -m) \S", span) and "…" not in span]
    for line in commands(text) + [part for span in shown for part in span.split(" && ")]:
        check_command(line, tmp_path)


@pytest.mark.parametrize("line", summary.NEXT)
def test_what_the_closing_box_names_would_be_understood(line: str, tmp_path: Path) -> None:
    check_command(line, tmp_path)


def test_blocks_of_commands_are_marked_as_such() -> None:
    kinds = {kind for document in DOCUMENTS for kind in re.findall(r"^```(\w*)$", document.read_text(), re.MULTILINE)}
    assert kinds == {"console", "json", ""}
    assert len([line for document in DOCUMENTS for line in commands(document.read_text())]) > 40


@pytest.mark.parametrize(
    "line",
    [
        "make reproduce",
        "python -m stages.nothing",
        "hashgen suggest photo.jpg --captoin x",
        "hashgen nothing",
        "python -m stages.train --out models",
        "python -m benchmarks.nothing",
        "dvc repro trian",
        "dvc exp run --nothing",
        "dvc exp run -S train.epochs=0",
        "dvc exp run -S train.epoch=3",
        "dvc exp run --queue -S train.lstm.hidden=8,0",
        "git rebase",
        "ray stat",
        "rm -rf data",
    ],
)
def test_a_wrong_command_is_found(line: str, tmp_path: Path) -> None:
    with pytest.raises(REFUSALS):
        check_command(line, tmp_path)


@each_document
def test_every_parameter_is_real(document: Path, tmp_path: Path) -> None:
    pattern = re.compile(rf"((?:{'|'.join(PARAMS)})(?:\.[a-z0-9_]+)+)(?:: (\S+))?")
    for key, value in (found.groups() for span in spans(document.read_text()) if (found := pattern.fullmatch(span))):
        if key.rpartition(".")[2] in ("md", "py", "json", "parquet"):
            continue
        section: Any = PARAMS
        for part in key.split("."):
            assert part in section, key
            section = section[part]
        if value is not None:
            check_command(f"dvc exp run -S {key}={value}", tmp_path)


def outputs() -> set[str]:
    """What the stages of the pipeline write, and the pages of comparisons."""
    entries = [
        out for stage in PIPELINE.values() for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])
    ]
    written = {next(iter(out)) if isinstance(out, dict) else str(out) for out in entries}
    pages = re.findall(r"\(call experiments,.*,(reports/\S+)\)$", MAKEFILE, re.MULTILINE)
    return {*written, *pages, str(inspect.signature(cli.compare).parameters["out"].default)}


@each_document
def test_every_path_exists_or_is_an_output(document: Path) -> None:
    folders = "benchmarks|data|docs|hashgen|metrics|models|plots|reports|stages|tests"
    for span in spans(document.read_text()):
        if re.fullmatch(rf"(?:{folders})/[\w./-]+", span):
            assert span.rstrip("/") in outputs() or (ROOT / span).exists(), span


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_document
def test_every_link_is_relative_and_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document.read_text())):
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.is_file() and place.is_relative_to(ROOT.resolve()), target
        if anchor:
            assert anchor in {slug(line) for line in re.findall(r"^#+ (.+)$", place.read_text(), re.MULTILINE)}, target


@each_document
def test_pictures_are_small_and_described(document: Path) -> None:
    for described, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", document.read_text()):
        data = (document.parent / target).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) < 120_000, target
        assert struct.unpack(">I", data[16:20])[0] <= 1280
        assert len(described) > 20, target


def test_the_readme_shows_the_page_first_and_is_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 250
    first = next(number for number, line in enumerate(lines) if line.startswith("!["))
    assert "docs/images/page.png" in lines[first] and first < 10
    assert lines.index("make repro") < 20


def test_the_figures_are_those_of_the_committed_run() -> None:
    """To two decimals, one more or less: another processor's last bits are no news."""
    scores = json.loads((ROOT / "metrics/evaluate.json").read_text())
    text = (ROOT / "README.md").read_text()
    number = r"([01]\.\d\d)"
    cell = rf"{number}(?: \[{number}, {number}\])?"
    rows = re.findall(rf"^\|[^|]*\| {cell} \| {cell} \| {number} \| `([\w.]+)` \|$", text, re.MULTILINE)
    assert len(rows) == 5
    figures = [f"{name}{part}" for name in ("f1_at_5", "p_at_1") for part in ("", "_ci95.0", "_ci95.1")] + ["bleu4"]
    for *shown, key in rows:
        block = lookup(scores, key)
        assert all(shown) or key == "test.ceiling.both", key  # no interval of what is known
        for value, figure in zip(shown, figures, strict=True):
            if value:
                assert float(value) == pytest.approx(lookup(block, figure), abs=0.011), (key, figure)
    named = re.findall(r"(0\.\d\d)[^`|()]*\(`(test\.[\w.]+)`\)", text)
    assert len(named) == 3
    for value, key in named:
        assert float(value) == pytest.approx(lookup(scores, key), abs=0.011), key


def lookup(scores: Any, key: str) -> Any:
    for part in key.split("."):
        scores = scores[int(part) if isinstance(scores, list) else part]
    return scores


def literals() -> Iterator[str]:
    """Every text in the code, with … for what is filled in; the Makefile's lines too."""
    for path in [*(ROOT / "hashgen").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        tree = ast.parse(path.read_text())
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
        bodies = [node.body[0] for node in ast.walk(tree) if isinstance(node, holders) and ast.get_docstring(node)]
        docs = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield node.value
    yield from MAKEFILE.splitlines()


def errors() -> list[str]:
    """The error texts that docs/troubleshooting.md quotes: first column of the tables headed so."""
    quoted: list[str] = []
    for table in re.findall(
        r"^\| error \|.*\n\|.*\n((?:\|.*\n)+)", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE
    ):
        quoted += re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    return quoted


def is_known(quoted: str, texts: list[str]) -> bool:
    pattern = re.compile(".*".join(re.escape(part) for part in quoted.split("…")), re.DOTALL)
    return any(pattern.search(text) for text in texts)


def test_every_quoted_error_is_in_the_code() -> None:
    texts = list(literals())
    quoted = errors()
    assert len(quoted) > 40
    assert [error for error in quoted if not is_known(error, texts)] == []
    assert not is_known("unknown parameter; remove it or correct its …!", texts)
