"""Work in processes and threads: order, errors and death."""

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hashgen.base import workers as workers_module
from hashgen.base.errors import HashgenError
from hashgen.base.workers import Pixels, map_between, map_in_order, map_pixels
from tests import ROOT


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise HashgenError("three: not allowed; leave it out")
    return number


def die(number: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    jobs = list(range(20))
    results = list(map_in_order(square, jobs, workers=workers, ahead=2, stage="test"))
    assert results == [(job, job * job) for job in jobs]


def test_jobs_are_taken_only_a_little_ahead() -> None:
    taken = []

    def jobs() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(square, jobs(), workers=1, ahead=3, stage="test")  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 5
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_of_a_job_is_raised_here(workers: int) -> None:
    done = []
    with pytest.raises(HashgenError, match="three: not allowed"):
        for job, _ in map_in_order(fail_at_three, range(9), workers=workers, ahead=1, stage="test"):
            done.append(job)
    assert done == [0, 1, 2]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_between_results_nothing_is_worked_ahead(threads: int) -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number * number

    results = map_between(work, iter(range(20)), threads=threads, chunk=2)
    seen = []
    for job, result in results:
        chunk = 2 * max(1, threads)
        assert sorted(begun) == list(range(min(20, (job // chunk + 1) * chunk)))
        seen.append((job, result))
    assert seen == [(job, job * job) for job in range(20)]


def test_the_error_of_a_thread_is_raised_here() -> None:
    with pytest.raises(HashgenError, match="three: not allowed"):
        list(map_between(fail_at_three, range(9), threads=2, chunk=1))


def paint(number: int) -> Pixels:
    """A picture of one colour, of another height for each number."""
    if number == 13:
        raise HashgenError("thirteen: not allowed; leave it out")
    return np.full((1 + number % 3, 4, 3), number, np.uint8)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_pixels_are_good_until_the_next_are_asked_for(workers: int) -> None:
    done = []
    with pytest.raises(HashgenError, match="thirteen: not allowed"):
        for job, pixels in map_pixels(paint, range(20), workers=workers, ahead=2, most=36, stage="test"):
            time.sleep(0.01)  # the workers go on meanwhile
            assert np.array_equal(pixels, np.full((1 + job % 3, 4, 3), job, np.uint8))
            done.append(job)
    assert done == list(range(13))


def test_without_memory_to_share_pixels_come_through_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=300))
    assert workers_module._room() == 150
    monkeypatch.setattr(ctypes, "c_uint8", None)  # no array is made
    found = map_pixels(paint, range(6), workers=1, ahead=4, most=36, stage="test")
    assert [int(pixels.max()) for _, pixels in found] == list(range(6))


def test_pixels_for_which_there_is_no_room_are_an_error() -> None:
    with pytest.raises(ValueError, match="could not broadcast"):
        list(map_pixels(paint, range(3), workers=1, ahead=1, most=24, stage="test"))


def test_a_dead_worker_names_the_stage() -> None:
    with pytest.raises(HashgenError, match="filter: a worker process died"):
        list(map_in_order(die, range(3), workers=1, ahead=1, stage="filter"))


SLOW_WORK = """
import itertools, time
from hashgen.base.workers import map_in_order
if __name__ == "__main__":
    for job, _ in map_in_order(time.sleep, itertools.repeat(0.01), workers=2, ahead=1, stage="test"):
        print(job, flush=True)
"""


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the workers in /proc")
def test_no_worker_outlives_a_killed_process(tmp_path: Path) -> None:
    script = tmp_path / "slow_work.py"
    script.write_text(SLOW_WORK)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0.01\n"
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    assert len(workers) >= 2
    for _ in range(500):
        if not any(is_running(int(worker)) for worker in workers):
            break
        time.sleep(0.02)
    assert not any(is_running(int(worker)) for worker in workers)
