"""The command as a shell sees it: help, exit codes, one line for each fault, and the JSON that it prints."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema_rs
import pytest

import hashgen
from tests.doubles.model_folder import write_model_folder

ANSWER = {
    "type": "object",
    "required": ["hashtags", "warnings"],
    "additionalProperties": False,
    "properties": {
        "warnings": {"type": "array", "items": {"type": "string"}},
        "hashtags": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["hashtag", "confidence", "posts"],
                "additionalProperties": False,
                "properties": {
                    "hashtag": {"type": "string", "pattern": r"^\w+$"},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    "posts": {"type": "integer", "minimum": 0},
                    "why": {
                        "type": "object",
                        "required": ["words", "picture", "caption", "copied", "tags", "posts", "mine"],
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("terminal"))


def shell(*words: str, cwd: Path, stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"} | more
    command = [sys.executable, "-m", "hashgen", *words]
    return subprocess.run(command, cwd=cwd, input=stdin, env=environment, capture_output=True, text=True)


def words_of(text: str) -> str:
    """The words of a help text, without the frames around them."""
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", text).split())


@pytest.mark.parametrize("command", [(), ("suggest",), ("mine",), ("sets",), ("doctor",), ("serve",)])
def test_help_is_what_was_agreed(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = shell(*command, "--help", cwd=tmp_path)
    golden = Path(__file__).parent / "golden" / f"{'-'.join(command) or 'hashgen'}.txt"
    assert done.returncode == 0 and words_of(done.stdout) == words_of(golden.read_text())


def test_json_is_the_answer_of_the_server(model: Path, tmp_path: Path) -> None:
    picture = str(model.parent / "picture.png")
    done = shell(
        "suggest", picture, "morning run", "--model", str(model), "--json", "--explain", "-k", "2", cwd=tmp_path
    )
    assert done.returncode == 0 and done.stderr == ""
    answer = json.loads(done.stdout)
    jsonschema_rs.validate(ANSWER, answer)
    assert len(answer["hashtags"]) == 2 and "why" in answer["hashtags"][0]


def test_a_caption_from_standard_input_and_sets(model: Path, tmp_path: Path) -> None:
    picture, sets = str(model.parent / "picture.png"), str(tmp_path / "sets.json")
    assert shell("sets", "save", "brand", "--add", "tiger", "--sets", sets, cwd=tmp_path).returncode == 0
    words = ("suggest", picture, "-", "--model", str(model), "--plain", "--set", "brand", "--sets", sets)
    done = shell(*words, cwd=tmp_path, stdin="morning run\n")
    assert done.returncode == 0 and done.stdout.startswith("#tiger #") and done.stderr == ""


def test_a_long_caption_and_letters_that_the_output_lacks(model: Path, tmp_path: Path) -> None:
    picture, sets = str(model.parent / "picture.png"), tmp_path / "sets.json"
    sets.write_text('{"city": {"add": ["東京"]}}', encoding="utf-8")
    words = ("suggest", picture, "morning run " * 100, "--model", str(model), "--set", "city", "--sets", str(sets))
    done = shell(*words, "--plain", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stdout.startswith(r"#\u6771\u4eac #") and done.stderr == ""
    done = shell(*words, "--json", cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert done.stdout.isascii() and json.loads(done.stdout)["hashtags"][0]["hashtag"] == "東京"


def test_without_the_packages_it_says_what_to_do(tmp_path: Path) -> None:
    root = str(Path(hashgen.__file__).parent.parent)
    # -S: without what is installed.
    command = [sys.executable, "-S", "-m", "hashgen", "suggest", "--caption", "x"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True)
    said = f"error: the package typer is not installed for {sys.executable}; in a clone of hashgen: make setup, then "
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}.venv/bin/hashgen\n")


def test_closed_streams_are_as_empty_ones(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hashgen", "suggest", "--batch", "-", "--model", str(model)]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&-', "sh", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("suggest", "none.jpg"), 1, "error: none.jpg: no such file; give the path of a picture"),
        (("suggest",), 1, "error: nothing to suggest for; write hashgen suggest"),
        (
            ("suggest", "--caption", "x"),
            1,
            "error: models/hashgen: no trained model here; give its folder with --model",
        ),
        (("suggest", "--caption", "x", "--json", "--plain"), 1, "error: --json: cannot go with --plain"),
        (("suggest", "--caption", "x", "--mix", "odd"), 1, "error: mix: no 'odd'; use one of balanced, broad, niche"),
        (("suggest", "--caption", "x", "--tags", "a-b"), 1, "error: tags: 'a-b' is no hashtag"),
        (("suggest", "--caption", "x", "--set", "gone", "--sets", "s.json"), 1, "error: s.json: no set 'gone'"),
        (("suggest", "--batch", "none.jsonl", "--max", "3"), 1, "error: models/hashgen: no trained model here"),
        (("mine", "none"), 1, "error: none: no such file or folder"),
        (("mine", "."), 1, "error: .: no posts here; give a folder of pictures with metadata.csv"),
        (("suggest", "slow sunday"), 1, "error: slow sunday: no such file; give the path of a picture, or a caption"),
        (("suggest", "-"), 1, "error: nothing to suggest for"),
        (("suggest", "--caption", "x", "--max", "0"), 2, "Invalid value for '--max'"),
        (("sugest",), 2, "No such command 'sugest'"),
    ],
)
def test_faults_are_one_line_with_an_exit_code(tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = shell(*words, cwd=tmp_path)
    assert done.returncode == code and done.stdout == ""
    assert message in words_of(done.stderr) and "Traceback" not in done.stderr
    assert code == 2 or done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_program_that_waits_for_each_answer_gets_it(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hashgen", "suggest", "--batch", "-", "--model", str(model)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for number in range(2):
            process.stdin.write(json.dumps({"id": number, "caption": "morning run"}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_interrupted_at_any_moment_it_says_so_in_one_line(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hashgen", "suggest", "--caption", "run", "--model", str(model), "--plain"]
    said = set()
    for moment in (1.0, 1.5, 2.5):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) in ((0, ""), (130, "interrupted\n"), (-signal.SIGINT, ""))
        said.add(errors)
    assert "interrupted\n" in said
