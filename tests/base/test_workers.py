"""Work in processes: order, errors and death."""

import os

import pytest

from hashgen.base.errors import HashgenError
from hashgen.base.workers import map_in_order


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


def test_a_dead_worker_names_the_stage() -> None:
    with pytest.raises(HashgenError, match="filter: a worker process died"):
        list(map_in_order(die, range(3), workers=1, ahead=1, stage="filter"))
