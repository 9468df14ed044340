"""Runs by what they were set to: the parameters that differ, and the runs that only seeds set apart."""

import dataclasses
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

_SEED = ".seed"
_ABSENT = "–"
_OF_MODEL = re.compile(r"train\.\w+\.")
_WRITTEN = {None: "null", True: "true", False: "false"}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One run: name, metrics of the stage evaluate, parameters by section or dotted name, losses and scores per epoch.

    posts: a hash of the manifests; runs with the same hash are scored on the same posts. code: tells apart the code
    that ran. baselines: metrics of the stage baselines, empty where there are none. trained_on: training posts.
    seconds: wall time of the stage that trained the model that is shown. predictions: columns id, split, hashtags (the
    true ones), both (what is written), ranked, and group (posts that belong together), one row a post. These three are
    None where they are not known. others: such predictions of models that make no suggestions, by their names.
    """

    name: str
    evaluate: Mapping[str, Any]
    params: Mapping[str, Any]
    posts: str
    history: pd.DataFrame
    code: str = ""
    baselines: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trained_on: int | None = None
    seconds: float | None = None
    predictions: pd.DataFrame | None = None
    others: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)

    def by(self, model: str) -> pd.DataFrame | None:
        """What a model of this run predicts, whether or not it makes the suggestions; None where that is not known."""
        return self.predictions if self.evaluate.get("model") == model else self.others.get(model)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Runs of the same code and parameters but for seeds, at least one."""

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """The name of its first run, and how many more there are."""
        return self.runs[0].name + (f" and {len(self.runs) - 1} more" if len(self.runs) > 1 else "")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Runs of a setting that differ in one seed alone, two or more.

    seed: its dotted name. values: of each run, as written in YAML. fixed: the other seeds that differ in the setting.
    mean, deviation: of each score, by split and key; the deviation is that of a sample, over n - 1.
    """

    name: str
    seed: str
    values: list[str]
    fixed: Mapping[str, str]
    mean: Mapping[str, Mapping[str, float]]
    deviation: Mapping[str, Mapping[str, float]]


def settings_of(runs: Sequence[Run]) -> list[Setting]:
    """The settings of runs, in order of their first runs. Two runs with the same seeds too are two settings."""
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if all(_only_seeds_differ(run, other) for other in group)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return [Setting(tuple(group)) for group in groups]


def _only_seeds_differ(run: Run, other: Run) -> bool:
    names = differing_params([run, other])
    return run.code == other.code and bool(names) and all(name.endswith(_SEED) for name in names)


def spreads(setting: Setting, splits: Sequence[str], keys: Sequence[str]) -> list[Spread]:
    """How scores vary with each seed alone, as far as the setting has runs to tell."""
    differing = differing_params(setting.runs)
    found = []
    for seed, values in differing.items():
        alike: dict[tuple[str, ...], list[int]] = {}
        for number in range(len(setting.runs)):
            others = tuple(of[number] for name, of in differing.items() if name != seed)
            alike.setdefault(others, []).append(number)
        for others, numbers in alike.items():
            if len(numbers) > 1:
                fixed = dict(zip((name for name in differing if name != seed), others, strict=True))
                runs = [setting.runs[number] for number in numbers]
                mean, deviation = (_by_score(of, runs, splits, keys) for of in (statistics.fmean, statistics.stdev))
                found.append(Spread(runs[0].name, seed, [values[number] for number in numbers], fixed, mean, deviation))
    return found


def _by_score(
    statistic: Callable[[list[float]], float], runs: Sequence[Run], splits: Sequence[str], keys: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {
        split: {key: statistic([run.evaluate[split]["both"][key] for run in runs]) for key in keys} for split in splits
    }


def differing_params(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The parameters that differ between runs, by dotted name, in order: one value per run, as written in YAML.

    A parameter that a run does not have is `–`. Those of the report are left out: they change no score.
    """
    flat = [_flatten(run.params) for run in runs]
    names = dict.fromkeys(name for params in flat for name in params if not name.startswith("report."))
    values = {name: [params.get(name, _ABSENT) for params in flat] for name in names}
    return {name: found for name, found in values.items() if len(set(found)) > 1}


def telling_params(runs: Sequence[Run]) -> dict[str, list[str]]:
    """`differing_params` without those of a model that not all runs have, if all that have them have the same.

    That the model differs says as much.
    """

    def tells(name: str, values: list[str]) -> bool:
        return not _OF_MODEL.match(name) or len(set(values) - {_ABSENT}) > 1

    return {name: values for name, values in differing_params(runs).items() if tells(name, values)}


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = (
                _WRITTEN.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
            )
    return flat
