"""dvc.yaml against the code: deps against import closures, paths against commands, dvc.lock against both."""

import ast
import functools
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from hashgen.params import SECTIONS, read_params
from hashgen.params.scrape import Scrape
from hashgen.params.train import Train
from stages.train import training_code

ROOT = Path(__file__).parents[2]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
LOCK = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
STAGES = list(PIPELINE["stages"])
# Functions that import the kind that a selector of params chooses, the selectors, and where that kind is.
CHOSEN = {
    "open_source": (("scrape.source",), "hashgen.sources.{}.source"),
    "model_class": (("train.model", "suggester.model"), "hashgen.models.{}"),
}
KINDS = {
    "scrape.source": Scrape.model_fields["source"].annotation,
    "train.model": Train.model_fields["model"].annotation,
    "suggester.model": Train.model_fields["model"].annotation,
}
SELECTORS = {
    "scrape.${scrape.source}": "scrape",
    "train.${train.model}": "train",
    "train.${suggester.model}": "suggester",
}
# Of two stages that learn a model, each learns its own.
NOT_OF = {"train": "suggester.model", "suggester": "train.model"}


def module_path(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported_modules(path: Path, kinds: Mapping[str, str]) -> set[str]:
    """Project modules that a file imports anywhere in its code, their packages included; typing-only imports apart."""
    tree = tree_of(path)
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
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CHOSEN:
            selectors, place = CHOSEN[node.func.id]
            names.update(place.format(kinds[selector]) for selector in selectors if selector in kinds)
    parents = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)}
    return {name for name in names | parents if name.split(".")[0] in ("hashgen", "stages") and module_path(name)}


def has_code(path: Path) -> bool:
    """Whether a file holds more than a docstring, which is all that most packages have."""
    body = tree_of(path).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def import_closure(stage: str, **kinds: str) -> set[str]:
    """All project files with code that a stage's module reaches by imports, relative to the root.

    kinds: other choices than those of params.yaml. `hashgen/__init__.py` is left out: it holds public names and the
    version, and decides no result.
    """
    chosen_kinds = {selector: lookup(PARAMS, selector) for selector in KINDS} | kinds
    chosen_kinds.pop(NOT_OF.get(stage, ""), None)
    todo, seen = {f"stages.{stage}", "stages"}, set()
    while todo:
        module = todo.pop()
        seen.add(module)
        path = module_path(module)
        assert path is not None
        todo |= imported_modules(path, chosen_kinds) - seen
    files = {module_path(module) for module in seen}
    return {path.relative_to(ROOT).as_posix() for path in files if path is not None and has_code(path)} - {
        "hashgen/__init__.py"
    }


def data_files(stage: str) -> set[str]:
    """Files beside the code that a module of the closure names (templates)."""
    files = [path for path in (ROOT / "hashgen").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    code = [(ROOT / module).read_text() for module in import_closure(stage)]
    return {path.relative_to(ROOT).as_posix() for path in files if any(f'"{path.name}"' in text for text in code)}


def choices() -> Iterator[dict[str, str]]:
    """Every source and every model that params may choose, one after the other."""
    for selector, kind in KINDS.items():
        yield from ({selector: name} for name in get_args(kind))


def code_deps(stage: str, **kinds: str) -> set[str]:
    """Files and folders of the code that a stage declares.

    kinds: other choices than those of params.yaml.
    """
    deps = (chosen(dep, **kinds) for dep in declared(stage, "deps"))
    return {dep for dep in deps if dep.startswith(("hashgen/", "stages/"))}


def data_deps(stage: str) -> set[str]:
    """What a stage reads besides code."""
    return set(map(chosen, declared(stage, "deps"))) - code_deps(stage)


def chosen(name: str, **kinds: str) -> str:
    """A name in dvc.yaml with the values of params, or those of `kinds`, in place of `${...}`."""
    return re.sub(r"\$\{([^}]*)\}", lambda match: kinds.get(match[1]) or str(lookup(PARAMS, match[1])), name)


def covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


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
def test_code_deps_cover_the_import_closure_and_nothing_else(stage: str) -> None:
    needed: set[str] = set()
    for kinds in choices():
        deps, files = code_deps(stage, **kinds), import_closure(stage, **kinds) | data_files(stage)
        assert all((ROOT / dep).exists() for dep in deps)
        assert [file for file in sorted(files) if not any(covers(dep, file) for dep in deps)] == [], kinds
        assert [dep for dep in deps if any(covers(other, dep) for other in deps - {dep})] == []
        needed |= {dep for dep in deps if any(covers(dep, file) for file in files)}
    assert code_deps(stage) <= needed


# The metrics by which models choose: an epoch, a calibration, how many hashtags to write.
TRAINED_BY = ("written", "ranked", "calibration")


def test_code_that_only_a_report_needs_does_not_make_training_stale() -> None:
    unneeded = [path.relative_to(ROOT).as_posix() for room in ("report", "scoring") for path in files_of(room)]
    unneeded += [path.relative_to(ROOT).as_posix() for path in files_of("metrics") if path.stem not in TRAINED_BY]
    # The split counts what is in captions too, so its definition is looked at for training alone.
    assert not any(covers(dep, "hashgen/text/in_caption.py") for dep in code_deps("train"))
    for stage in STAGES[: STAGES.index("train") + 1]:
        if stage != "baselines":
            assert not [file for file in unneeded if any(covers(dep, file) for dep in code_deps(stage))], stage


def files_of(room: str) -> list[Path]:
    return [path for path in (ROOT / "hashgen" / room).rglob("*.py") if has_code(path)]


@pytest.mark.parametrize("model", get_args(KINDS["train.model"]))
def test_the_checkpoint_goes_by_the_code_that_training_uses(model: str) -> None:
    """Its key takes the files that training imports, but for what only reads parameters or talks to the user."""
    named = {path.relative_to(ROOT).as_posix() for path in training_code(model)}
    used = {file for file in import_closure("train", **{"train.model": model}) if file.startswith("hashgen/")}
    used = {file for file in used if not file.startswith(("hashgen/base/", "hashgen/params/", "hashgen/commands.py"))}
    assert used <= named
    if model == PARAMS["train"]["model"]:
        others = {"metrics/calibration", "models/habits"}
        others |= {f"training/{name}" for name in ("hashtag_words", "lookup", "perceptron", "similarity", "trees")}
        assert named - used == {f"hashgen/{name}.py" for name in others}
    deps = code_deps("train", **{"train.model": model})
    assert not [file for file in named if not any(covers(dep, file) for dep in deps)]


def test_a_parameter_makes_only_the_stages_stale_that_read_its_section() -> None:
    for section in SECTIONS:
        file = f"hashgen/params/{section}.py"
        stale = {stage for stage in STAGES if any(covers(dep, file) for dep in code_deps(stage))}
        # The training parameters are part of a model: who loads one depends on what they may be.
        users = {"train": {"train", "suggester", "baselines", "evaluate", "report"}}.get(section, {section})
        assert section in stale and stale <= users, (section, stale)


@pytest.mark.parametrize("stage", STAGES)
def test_command_paths_are_declared(stage: str) -> None:
    words = shlex.split(PIPELINE["stages"][stage]["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    assert all(option.startswith("--") for option in words[3::2])
    named = dict(zip(words[3::2], words[4::2], strict=True))
    named.pop("--times", None)  # no input: how long the stages took decides nothing
    paths = set(named.values())
    data = data_deps(stage)
    assert paths == data | outputs(stage)


def test_every_input_is_made_by_one_stage() -> None:
    made = [path for stage in STAGES for path in outputs(stage)]
    assert len(made) == len(set(made))
    for stage in STAGES:
        data = data_deps(stage)
        assert data <= set(made), stage


def test_no_output_but_the_live_model_persists_and_every_stage_says_what_it_does() -> None:
    for stage, entry in PIPELINE["stages"].items():
        assert entry["desc"], stage
        for kind in ("outs", "metrics", "plots"):
            for out in entry.get(kind, []):
                options = next(iter(out.values())) if isinstance(out, dict) else {}
                live = isinstance(out, dict) and "models/hashgen" in out  # suggesting goes on while the stage runs
                assert bool(options.get("persist")) == live, (stage, out)
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
            lookup(PARAMS, chosen(name))  # of another stage
        if own != {stage}:
            assert {name.removeprefix(f"{stage}.") for name in own - selected} == set(section) - blocks
            assert selected and all(SELECTORS[name] == stage for name in selected)


def test_params_file_is_valid() -> None:
    read_params(ROOT / "params.yaml")


def md5(path: Path) -> str:
    """What DVC records of a file, or of a folder: the hash of the sorted list of its files with theirs."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    listed = [{"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    text = json.dumps(sorted(listed, key=lambda entry: tuple(entry["relpath"].split("/"))))
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


@pytest.mark.parametrize("stage", STAGES)
def test_lock_agrees_with_pipeline_params_and_code(stage: str) -> None:
    """dvc.lock is the record of a run of exactly this code and these parameters; no data is needed to tell."""
    assert stage in LOCK["stages"], "run make repro and commit dvc.lock"
    entry = LOCK["stages"][stage]
    assert entry["cmd"] == PIPELINE["stages"][stage]["cmd"]
    assert {dep["path"] for dep in entry["deps"]} == set(map(chosen, declared(stage, "deps")))
    assert {out["path"] for out in entry["outs"]} == outputs(stage)
    for dep in entry["deps"]:
        if dep["path"] in code_deps(stage):
            assert dep["md5"] == md5(ROOT / dep["path"]), dep["path"]
    names = set(map(chosen, PIPELINE["stages"][stage]["params"]))
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
