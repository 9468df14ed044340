"""dvc.yaml against the code: deps against import closures, paths against commands, dvc.lock against both."""

import ast
import hashlib
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hashgen.params import SECTIONS, read_params

ROOT = Path(__file__).parents[2]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
LOCK = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
STAGES = list(PIPELINE["stages"])
# Sources that the sample never touches and blocks that another selector leaves out.
SELECTORS = {"scrape.${scrape.source}": "scrape", "train.${train.model}": "train"}


def module_path(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def imported_modules(path: Path) -> set[str]:
    """Project modules that a file imports anywhere in its code, their packages included; typing-only imports apart."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)}
    return {name for name in names | parents if name.split(".")[0] in ("hashgen", "stages") and module_path(name)}


def import_closure(stage: str) -> set[str]:
    """All project files that a stage's module reaches by imports, relative to the root."""
    todo, seen = {f"stages.{stage}", "stages"}, set()
    while todo:
        module = todo.pop()
        seen.add(module)
        path = module_path(module)
        assert path is not None
        todo |= imported_modules(path) - seen
    files = {module_path(module) for module in seen}
    return {path.relative_to(ROOT).as_posix() for path in files if path is not None and path.read_text().strip()}


def data_files(stage: str) -> set[str]:
    """Files beside the code that a module of the closure names (templates)."""
    files = [path for path in (ROOT / "hashgen").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    code = [(ROOT / module).read_text() for module in import_closure(stage)]
    return {path.relative_to(ROOT).as_posix() for path in files if any(f'"{path.name}"' in text for text in code)}


def declared(stage: str, kind: str) -> set[str]:
    entries = PIPELINE["stages"][stage].get(kind, [])
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def lookup(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params[part]
    return params


def outputs(stage: str) -> set[str]:
    return declared(stage, "outs") | declared(stage, "metrics") | declared(stage, "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_import_closure(stage: str) -> None:
    code = {dep for dep in declared(stage, "deps") if dep.startswith(("hashgen/", "stages/"))}
    assert code == import_closure(stage) | data_files(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_command_paths_are_declared(stage: str) -> None:
    words = shlex.split(PIPELINE["stages"][stage]["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    assert all(option.startswith("--") for option in words[3::2])
    named = dict(zip(words[3::2], words[4::2], strict=True))
    named.pop("--times", None)  # no input: how long the stages took decides nothing
    paths = set(named.values())
    data = {dep for dep in declared(stage, "deps") if not dep.endswith(".py")} - data_files(stage)
    assert paths == data | outputs(stage)


def test_every_input_is_made_by_one_stage() -> None:
    made = [path for stage in STAGES for path in outputs(stage)]
    assert len(made) == len(set(made))
    for stage in STAGES:
        data = {dep for dep in declared(stage, "deps") if not dep.endswith(".py")} - data_files(stage)
        assert data <= set(made), stage


def test_no_output_persists_and_every_stage_says_what_it_does() -> None:
    for stage, entry in PIPELINE["stages"].items():
        assert entry["desc"], stage
        for kind in ("outs", "metrics", "plots"):
            for out in entry.get(kind, []):
                options = next(iter(out.values())) if isinstance(out, dict) else {}
                assert not options.get("persist"), (stage, out)
                if kind == "metrics":
                    assert options["cache"] is False, (stage, out)


def test_stages_and_sections_bear_the_same_names() -> None:
    assert list(SECTIONS) == STAGES


def test_params_cover_each_section() -> None:
    for stage in STAGES:
        names = PIPELINE["stages"][stage]["params"]
        if names == [stage]:
            continue
        section = PARAMS[stage]
        blocks = {key for key, value in section.items() if isinstance(value, dict)}
        own = {name for name in names if name == stage or name.startswith(f"{stage}.")}
        selected = own & SELECTORS.keys()
        for name in set(names) - own:
            lookup(PARAMS, name)  # of another stage, to be shown
        if own != {stage}:
            assert {name.removeprefix(f"{stage}.") for name in own - selected} == set(section) - blocks
            assert selected and all(SELECTORS[name] == stage for name in selected)


def test_params_file_is_valid() -> None:
    read_params(ROOT / "params.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_lock_agrees_with_pipeline_params_and_code(stage: str) -> None:
    """dvc.lock is the record of a run of exactly this code and these parameters; no data is needed to tell."""
    assert stage in LOCK["stages"], "run make repro and commit dvc.lock"
    entry = LOCK["stages"][stage]
    assert entry["cmd"] == PIPELINE["stages"][stage]["cmd"]
    assert {dep["path"] for dep in entry["deps"]} == declared(stage, "deps")
    assert {out["path"] for out in entry["outs"]} == outputs(stage)
    for dep in entry["deps"]:
        path = ROOT / dep["path"]
        if path.suffix == ".py" or dep["path"] in data_files(stage):
            assert dep["md5"] == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(), dep["path"]
    selected = {"${scrape.source}": PARAMS["scrape"]["source"], "${train.model}": PARAMS["train"]["model"]}
    names = set(PIPELINE["stages"][stage]["params"])
    for selector, block in selected.items():
        names = {name.replace(selector, block) for name in names}
    assert set(entry["params"]["params.yaml"]) == names
    for key, value in entry["params"]["params.yaml"].items():
        assert lookup(PARAMS, key) == value, key


def test_lock_agrees_with_itself_and_with_the_committed_metrics() -> None:
    made = {out["path"]: out["md5"] for entry in LOCK["stages"].values() for out in entry["outs"]}
    for stage, entry in LOCK["stages"].items():
        for dep in entry["deps"]:
            if dep["path"] in made:
                assert dep["md5"] == made[dep["path"]], (stage, dep["path"])
    for stage in STAGES:
        for path in declared(stage, "metrics") | declared(stage, "plots"):
            assert made[path] == hashlib.md5((ROOT / path).read_bytes(), usedforsecurity=False).hexdigest(), path
