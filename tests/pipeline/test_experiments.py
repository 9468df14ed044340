"""The targets of the Makefile that run several experiments and compare them, in a fresh clone, small."""

import re

import pytest

from tests.doubles.clone import MAKE, copy_of_run, stages_run

pytestmark = pytest.mark.slow


def test_experiments_are_run_once_and_compared(tmp_path_factory: pytest.TempPathFactory) -> None:
    clone = copy_of_run(tmp_path_factory, "experiments")
    commit = clone.run("git", "rev-parse", "HEAD")[:7]
    command = [*MAKE, "ablations", "INPUTS=both caption", "MODELS=", "BACKBONES=", "LIMITS="]
    said = clone.run(*command)
    # Both inputs are what the commit has: nothing runs, and there is nothing to compare.
    assert stages_run(said) == ["train", "suggester", "evaluate", "report"]
    assert re.search(rf"^HEAD \({commit}\) +0\.\d+", said, re.MULTILINE)
    assert re.search(rf"^train\.inputs-caption-{commit} \(.{{7}}\) +0\.\d+  [+-]0\.\d+ \[", said, re.MULTILINE)
    assert "inputs-both" not in said.split("against the first", 1)[1]
    page = (clone.root / "reports/ablations.html").read_text()
    assert "Paired differences, test" in page  # no figure of seconds: two trainings may take the same
    assert clone.run("git", "status", "--porcelain") == ""
    assert stages_run(clone.run(*command)) == []
    (clone.root / "params.yaml").write_text((clone.root / "params.yaml").read_text() + "\n")
    assert "error: a file differs from the last commit" in clone.run(*command, check=False)
