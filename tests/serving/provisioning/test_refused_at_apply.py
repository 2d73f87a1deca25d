"""What can never work is refused when it is asked for, not in every window or job afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.kit.data import ORDERS, labelled, stream
from tests.kit.installation import Installation


@pytest.fixture(scope="module")
def installation(install: Callable[..., Installation]) -> Installation:
    return install(words=("--only", "server"), is_forked=True)


@pytest.fixture(scope="module", autouse=True)
def _orders(installation: Installation) -> None:
    """An endpoint and its baseline: km and rain_mm are numbers, city is a text."""
    orders = labelled(stream({**ORDERS}, rows=500, seed=1))
    orders.to_parquet(installation.folder / "reference.parquet")
    roles = {"prediction": "late"}
    baseline = {"data": str(installation.folder / "reference.parquet"), **roles}
    installation.apply(
        {"kind": "Baseline", "name": "orders", "spec": baseline},
        {"kind": "Endpoint", "name": "orders", "spec": {"baseline": "orders"}},
    )


def _monitor(rule: object, **spec: object) -> dict[str, Any]:
    known = {"kind": "data-quality", "endpoint": "orders", "baseline": "orders", "rules": [rule]}
    return {
        "kind": "Monitor",
        "name": "watch",
        "spec": {**known, "schedule": "rate(1 hour)", **spec},
    }


def _apply(installation: Installation, resource: dict[str, Any]) -> httpx.Response:
    return installation.request("POST", "/api/v1/apply", json={"resources": [resource]})


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"check": "not_null", "column": "kilometres"}, '"kilometres"'),
        ({"check": "non_negative", "column": "city"}, "city"),
        ({"check": "freshness", "column": "km", "max_age": "1d"}, "km"),
        ("city > 5", "city"),
        ({"check": "not_null", "column": "city", "where": "km == 'abc'"}, "number"),
    ],
)
def test_a_rule_that_could_judge_no_row_is_refused_by_apply(
    installation: Installation, rule: object, word: str
) -> None:
    planned = installation.request(
        "POST", "/api/v1/apply", json={"resources": [_monitor(rule)], "dry_run": True}
    )
    refused = _apply(installation, _monitor(rule))

    assert (planned.status_code, refused.status_code) == (400, 400)
    assert planned.json()["error"]["message"] == refused.json()["error"]["message"]
    message = refused.json()["error"]["message"]
    assert message.startswith('Monitor "watch"')
    assert word in message
    assert installation.request("GET", "/api/v1/monitors/watch").status_code == 404


@pytest.mark.parametrize("place", ["/", "/*", "/**/*.csv", "/../", "file:///"])
def test_a_folder_above_the_systems_is_no_data(installation: Installation, place: str) -> None:
    job = {
        "transform_job_name": "all", "endpoint_name": "orders",
        "transform_input": {"data_source": {"s3_data_source": {"s3_uri": place}}},
        "transform_output": {"s3_output_path": str(installation.folder / "store" / "outputs")},
    }  # fmt: skip
    baseline = {"kind": "Baseline", "name": "all", "spec": {"data": place}}

    began = time.monotonic()
    answers = [
        installation.request("POST", "/api/v1/transform-jobs", json=job),
        _apply(installation, baseline),
    ]

    assert [one.status_code for one in answers] == [400, 400]
    assert all("system" in one.json()["error"]["message"] for one in answers)
    assert time.monotonic() - began < 20
