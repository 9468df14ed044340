"""What holds for all tests: the examples of property tests, and one thread for each process."""

import importlib
import os
import pkgutil

import pytest
from hypothesis import HealthCheck, settings

import hashgen

# Tests run side by side, one process a core. Here, as it must stand in the environment before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

# The same examples in every run. Neither a deadline nor too_slow: how busy the machine is decides no test.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# `make fuzz`: new examples in every run, ten times as many. What failed is tried first in the next one.
settings.register_profile(
    "fuzz", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

# The longest modules, to be run first: one alone at the end would leave the other processes idle. The first and the
# last copy one run, which the first makes while another process is busy with the second.
FIRST = ("test_cookbook.py", "test_pipeline_sources.py", "test_pipeline.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import the whole library before the first property test.

    Hypothesis draws constants of the code that is imported by then: examples would hang on which tests ran before.
    """
    if any(item.get_closest_marker("hypothesis") for item in session.items):
        for module in pkgutil.walk_packages(hashgen.__path__, "hashgen."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
