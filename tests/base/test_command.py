"""What all stages share on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hashgen.base.devices import choose_device
from hashgen.base.errors import HashgenError
from stages.command import SECONDS, SECONDS_OF_EXPERIMENTS, input_path, read_seconds, record_seconds, suggestion_of
from tests import ROOT


def test_relative_paths_start_at_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert input_path("../photos") == tmp_path / "../photos"
    assert input_path("/data/photos") == Path("/data/photos")
    assert input_path("~/photos") == Path.home() / "photos"


@pytest.mark.parametrize("copy", [".dvc/tmp/exps/tmpx", ".dvc/tmp/exps/standalone/tmpx"])
def test_in_a_copy_of_an_experiment_the_root_is_the_users_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: str
) -> None:
    (tmp_path / copy).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / copy)
    assert input_path("../photos") == tmp_path / "../photos"


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(HashgenError, match="choose auto, cpu or cuda"):
        choose_device("tpu")


STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem not in ("__init__", "command"))


@pytest.mark.parametrize("stage", STAGES)
def test_help_says_what_a_stage_does_without_loading_torch(stage: str) -> None:
    code = f"import sys, runpy; sys.argv = ['x', '--help']; runpy.run_module('stages.{stage}', run_name='__main__')"
    hook = f"import atexit, sys; atexit.register(lambda: print('TORCH' if 'torch' in sys.modules else 'light')); {code}"
    done = subprocess.run([sys.executable, "-c", hook], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--quiet" in done.stdout and "light" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "v/words.json: no such file; the stage vocab creates it"),
        (["--params", "none.yaml"], "none.yaml: no such file"),
        (["--device", "tpu"], "choose auto, cpu or cuda"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_1(tmp_path: Path, arguments: list[str], message: str) -> None:
    env = os.environ | {"HASHGEN_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    paths = ["--manifest", "m", "--vocab", "v", "--features", "f", "--out", "o", "--history", "h"]
    command = [sys.executable, "-m", "stages.train", *paths, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize(("code", "recorded"), [("pass", True), ("raise HashgenError('x: y')", False)])
def test_wall_times_are_noted_where_dvc_has_its_folder(tmp_path: Path, code: str, recorded: bool) -> None:
    script = tmp_path / "train.py"
    imports = "from hashgen.base.errors import HashgenError\nfrom stages.command import run\n"
    script.write_text(f"{imports}def main() -> None:\n    {code}\nrun(main)\n")
    env = os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": "train"}
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=env, capture_output=True)
    assert not (tmp_path / ".dvc").exists()
    notes = tmp_path / SECONDS
    notes.parent.mkdir(parents=True)
    notes.write_text('{"split": 2.5, "train": 99}')
    for arguments in (["--help"], []):
        subprocess.run([sys.executable, str(script), *arguments], cwd=tmp_path, env=env, capture_output=True)
    by_hand = {name: value for name, value in env.items() if name != "DVC_STAGE"}
    found = json.loads(notes.read_text())
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=by_hand, capture_output=True)
    assert json.loads(notes.read_text()) == found
    assert found["split"] == 2.5 and (found["train"] < 99) == recorded


def test_the_times_of_an_experiment_are_recorded_in_the_repository(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmpx"
    (copy / SECONDS.parent).mkdir(parents=True)
    script = tmp_path / "stage.py"
    script.write_text("from stages.command import run\n\ndef main() -> None:\n    pass\n\nrun(main)\n")
    env = os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": "train", "DVC_ROOT": str(tmp_path)}
    for name in ("wide", "narrow"):
        experiment = {"DVC_EXP_BASELINE_REV": "ab" * 20, "DVC_EXP_NAME": name}
        done = subprocess.run([sys.executable, str(script)], cwd=copy, env=env | experiment, capture_output=True)
        assert done.returncode == 0
    notes = sorted((tmp_path / SECONDS_OF_EXPERIMENTS / ("ab" * 20)).iterdir())
    assert [note.name for note in notes] == ["narrow.json", "wide.json"]
    assert all(list(read_seconds(note)) == ["train"] for note in notes)
    assert list(read_seconds(copy / SECONDS)) == ["train"]


def test_parts_of_a_stage_are_noted_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / SECONDS
    notes.parent.mkdir(parents=True)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    record_seconds(suggestion_of("lstm"), 0.5)
    assert not notes.exists()  # run by hand
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    record_seconds("evaluate", 2.5)
    record_seconds(suggestion_of("lstm"), 0.000123)
    assert read_seconds(notes) == {"evaluate": 2.5, "one suggestion: lstm": 0.000123}


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00"])
def test_broken_notes_of_times_are_none(tmp_path: Path, text: str) -> None:
    notes = tmp_path / "seconds.json"
    assert read_seconds(notes) == {}
    notes.write_text(text)
    assert read_seconds(notes) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "setting"), [(["-q"], ""), ([], "1"), (["--quiet"], "0")])
def test_quiet_says_nothing_but_errors(tmp_path: Path, arguments: list[str], setting: str) -> None:
    params = (ROOT / "params.yaml").read_text().replace("posts: 3000", "posts: 12")
    (tmp_path / "params.yaml").write_text(params)
    env = os.environ | {"HASHGEN_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "HASHGEN_QUIET": setting}
    paths = ["--out", "raw", "--truth", "truth.parquet", "--metrics", "metrics.json"]
    command = [sys.executable, "-m", "stages.scrape", *paths]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    loud = subprocess.run(command, cwd=tmp_path, env=env | {"HASHGEN_QUIET": "0"}, capture_output=True, text=True)
    assert loud.stdout.startswith("scrape: 12 posts")
    failed = subprocess.run(
        [*command, *arguments, "--params", "none.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert failed.returncode == 1 and failed.stderr.startswith("error: ")


def where(arguments: list[str], folder: Path, home: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with the options --home and --state in a folder; it prints what they are."""
    main = "def main(home: HomeOption, state: StateOption = None): print(home, state)"
    script = f"from stages.command import *\n{main}\nrun(main)"
    env = os.environ | {"PYTHONPATH": str(ROOT)} | ({} if home is None else {"HASHGEN_HOME": home})
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, env=env, capture_output=True, text=True
    )


def untracked(folder: Path) -> list[str]:
    """What git would add."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"], cwd=folder, capture_output=True, text=True
    )
    return [line.removeprefix("?? ") for line in status.stdout.splitlines()]


def test_a_home_within_a_repository_is_kept_from_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    below = tmp_path / "below"
    below.mkdir()
    (below / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    done = where(["--state", "posts/kept"], below, "home")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{below / 'home'} {below / 'posts/kept'}\n", "")
    for arguments in (["--home", "../other"], ["--home", "home"], ["--home", "linked"]):
        assert where(arguments, below).returncode == 0
    for home in ("below/home", "below/posts/kept", "other", "elsewhere"):
        (tmp_path / home / "salt").write_text("secret")
        assert (tmp_path / home / ".gitignore").read_text() == "*\n"
    assert untracked(tmp_path) == ["below/linked"]


def test_a_home_outside_a_repository_is_left_alone(tmp_path: Path) -> None:
    assert where(["--home", "home"], tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("home", [".", "data"])
def test_a_home_that_git_keeps_files_of_is_refused(tmp_path: Path, home: str) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".gitignore").write_text("/raw\n")
    done = where(["--home", home], tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.endswith(": git keeps files of this folder; choose a folder of its own with --home\n")
    assert untracked(tmp_path) == ["data/.gitignore"]
