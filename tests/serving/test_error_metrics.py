"""Errors of invocations as metrics: what the model itself answered counts, as in SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.serving.conftest import NOW, Running, resource
from tests.serving.hosting.formats.archives import pack

# Refuses, fails or ends as the body tells it to, and hands on anything else.
CODE = """
import os

class Refused(Exception):
    def __init__(self, status_code):
        super().__init__("refused")
        self.status_code = status_code

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    if body == "raise":
        raise ValueError("no such airport")
    if body == "end":
        os._exit(3)
    if body.isdigit():
        raise Refused(int(body))
    return body, content_type
"""
# Requests by what the model does with them: caller's errors, server's errors.
ASKED = {"422": (1, 0), "400": (1, 0), "503": (0, 1), "raise": (0, 1), "end": (0, 1), "ok": (0, 0)}


@pytest.fixture(scope="module")
def asked(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that was asked everything at two endpoints, and has written what it counted."""
    folder = tmp_path_factory.mktemp("errors")
    path = pack(folder / "odd.tar.gz", {"code/inference.py": CODE})
    containers = [{"container_hostname": name, "model_name": "odd"} for name in ("a", "b")]
    with start(folder, trust_pickle=True) as server:
        answer = server.apply(
            resource("Model", "odd", path=str(path)),
            resource("Model", "line", mode="Serial", containers=containers),
            *(resource("Endpoint", n, model=m) for n, m in (("alone", "odd"), ("line", "line"))),
        )
        assert answer.status_code == 200, answer.text
        for endpoint in ("alone", "line"):
            for body in ASKED:
                server.invoke(endpoint, body)
    # A server that stops writes the minute that is not over.
    with start(folder, trust_pickle=True) as server:
        yield server


def total(server: Running, name: str, **dimensions: str) -> float:
    """Return the sum of a metric."""
    asked = {
        "namespace": "AWS/SageMaker", "metric_name": name, "dimensions": dimensions,
        "start_time": (NOW - timedelta(hours=1)).isoformat(),
        "end_time": (NOW + timedelta(hours=1)).isoformat(), "period": 60, "statistics": ["Sum"],
    }  # fmt: skip
    answer = server.client.post("/api/v1/metrics/statistics", json=asked)
    return sum(datapoint["sum"] for datapoint in answer.json()["datapoints"])


@pytest.mark.parametrize(
    "dimensions",
    [
        {"EndpointName": "alone", "VariantName": "AllTraffic"},
        {"EndpointName": "line", "VariantName": "AllTraffic"},
        {"EndpointName": "line", "VariantName": "AllTraffic", "ContainerName": "a"},
    ],
    ids=["model", "pipeline", "its container"],
)
def test_the_models_own_status_is_counted(asked, dimensions):
    found = [
        total(asked, name, **dimensions)
        for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")
    ]

    assert found == [len(ASKED), *map(sum, zip(*ASKED.values(), strict=True))]
