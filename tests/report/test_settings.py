"""Runs that only seeds set apart, and how scores spread over them."""

from typing import Any

import pandas as pd
import pytest

from hashgen.report.settings import Run, settings_of, spreads


def a_run(name: str, f1: float = 0.5, code: str = "c", **params: Any) -> Run:
    both = {"both": {"f1": f1}}
    return Run(name, {"val": both, "test": {"both": {"f1": f1 / 2}}}, params, "posts", pd.DataFrame(), code)


def seeded(name: str, train: int, split: int, f1: float = 0.5, limit: int | None = None) -> Run:
    params: dict[str, Any] = {"train.seed": train, "split": {"seed": split, "limit": limit}}
    return a_run(name, f1, **params)


def names(runs: list[Run]) -> list[list[str]]:
    return [[run.name for run in setting.runs] for setting in settings_of(runs)]


def test_runs_that_only_seeds_set_apart_are_one_setting() -> None:
    wide = seeded("wide", 1, 1, limit=250)
    runs = [seeded("a", 1, 1), wide, seeded("b", 2, 1), seeded("c", 2, 3)]
    assert names(runs) == [["a", "b", "c"], ["wide"]]
    assert [setting.name for setting in settings_of(runs)] == ["a and 2 more", "wide"]


def test_runs_of_the_same_seeds_and_of_other_code_are_apart() -> None:
    assert names([a_run("old", seed=1), a_run("new", seed=1)]) == [["old"], ["new"]]
    assert names([a_run("a", s={"seed": 1}), a_run("b", code="d", s={"seed": 2})]) == [["a"], ["b"]]
    assert names([a_run("a", s={"seed": 1}), a_run("b", s={"seed": 2}), a_run("again", s={"seed": 2})]) == [
        ["a", "b"],
        ["again"],
    ]


def test_the_parameters_of_the_report_set_nothing_apart() -> None:
    runs = [a_run("a", s={"seed": 1}, report={"cards": 1}), a_run("b", s={"seed": 2}, report={"cards": 2})]
    assert names(runs) == [["a", "b"]]


def test_the_spread_over_each_seed_by_hand() -> None:
    runs = [seeded("a", 1, 1, 0.25), seeded("b", 2, 1, 0.75), seeded("c", 1, 3, 0.5), seeded("d", 1, 4, 0.75)]
    (setting,) = settings_of(runs)
    training, split = spreads(setting, ["val", "test"], ["f1"])
    assert (training.seed, training.values, training.fixed) == ("train.seed", ["1", "2"], {"split.seed": "1"})
    assert training.mean == {"val": {"f1": 0.5}, "test": {"f1": 0.25}}
    assert training.deviation["val"]["f1"] == pytest.approx(0.125**0.5)
    assert (split.seed, split.values, split.fixed) == ("split.seed", ["1", "3", "4"], {"train.seed": "1"})
    assert split.mean["val"]["f1"] == 0.5 and split.deviation["val"]["f1"] == pytest.approx(0.25)


def test_one_run_has_no_spread() -> None:
    (setting,) = settings_of([seeded("a", 1, 1)])
    assert spreads(setting, ["val"], ["f1"]) == []
