"""The API against its own schema: schemathesis sends what the schema allows, and what it does not."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from tests.serving.conftest import Listening, Start

OPERATIONS = [
    ("GET", "/api/about"),
    ("GET", "/api/examples"),
    ("GET", "/api/examples/{place}"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("POST", "/api/pictures"),
    ("POST", "/api/suggest"),
]
# What a schema cannot say: which texts are hashtags, and which bytes are a picture.
BEYOND = ["positive_data_acceptance"]


TAKING = [OPERATIONS[2], OPERATIONS[6]]  # those that can be asked wrongly: any bytes are a body of an upload


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "method", "path"),
    [(GenerationMode.POSITIVE, *one) for one in OPERATIONS] + [(GenerationMode.NEGATIVE, *one) for one in TAKING],
)
def test_the_api_keeps_to_its_schema(listening: Listening, mode: GenerationMode, method: str, path: str) -> None:
    address = listening()
    with requests.Session() as session:
        schema = schemathesis.openapi.from_dict(session.get(f"{address}/openapi.json").json())
        excluded = [CHECKS.get_one(name) for name in BEYOND]

        @given(case=schema[path][method].as_strategy(generation_mode=mode))
        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        def run(case: Any) -> None:
            case.call_and_validate(address, session=session, excluded_checks=excluded)

        run()


def test_all_operations_are_tried(start: Start) -> None:
    paths = start().get("/openapi.json").json()["paths"]
    assert sorted((method.upper(), path) for path, its in paths.items() for method in its) == OPERATIONS
