"""Errors of invocations as metrics: what the model itself answered counts, as in SageMaker."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.installation import Installation

# Refuses, fails or ends as the body tells it to, and hands on anything else.
CODE = b"""
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


def pack(file: Path) -> str:
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(CODE)
        archive.addfile(member, io.BytesIO(CODE))
    return str(file)


@pytest.fixture(scope="module")
def asked(install: Callable[..., Installation]) -> Installation:
    """A server that was asked everything at two endpoints, and has written what it counted."""
    found = install("[serving]\ntrust_pickle = true\n", words=("--only", "server"), is_forked=True)
    path = pack(found.folder / "odd.tar.gz")
    containers = [{"container_hostname": name, "model_name": "odd"} for name in ("a", "b")]
    found.apply(
        {"kind": "Model", "name": "odd", "spec": {"path": path}},
        {"kind": "Model", "name": "line", "spec": {"mode": "Serial", "containers": containers}},
        {"kind": "Endpoint", "name": "alone", "spec": {"model": "odd"}},
        {"kind": "Endpoint", "name": "line", "spec": {"model": "line"}},
    )
    for endpoint in ("alone", "line"):
        for body in ASKED:
            found.invoke(endpoint, body)
    found.restart()  # A server that stops writes the minute that is not over.
    return found


def total(installation: Installation, name: str, **dimensions: str) -> float:
    """Return the sum of a metric, from the command line."""
    words = [word for item in dimensions.items() for word in ("-d", "=".join(item))]
    out = installation.done(
        "metric", "stats", "AWS/SageMaker", name, *words, "--stat", "Sum", "--json"
    )
    return sum(datapoint["sum"] for datapoint in json.loads(out))


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


def test_a_container_that_was_not_asked_has_no_errors(asked):
    dimensions = {"EndpointName": "line", "VariantName": "AllTraffic", "ContainerName": "b"}

    assert total(asked, "Invocations", **dimensions) == 1
    assert total(asked, "Invocation5XXErrors", **dimensions) == 0
