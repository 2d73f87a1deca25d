"""Metrics over HTTP."""

import gzip
import json
from datetime import timedelta

import pytest

from tests.serving.conftest import NOW

DATUM = {"MetricName": "orders", "Value": 3, "Dimensions": [{"Name": "region", "Value": "north"}]}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("metrics")) as found:
        yield found


def post(server, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    return server.client.post("/api/v1/metrics", content=content, headers=headers)


def test_what_boto_sends_is_stored_and_read_by_its_names(server):
    body = {"Namespace": "boto", "MetricData": [DATUM, DATUM | {"Value": 5}]}
    assert post(server, body).json() == {"stored": 2}

    asked = {
        "namespace": "boto",
        "metric_name": "orders",
        "dimensions": DATUM["Dimensions"],
        "start_time": NOW.isoformat(),
        "end_time": (NOW + timedelta(minutes=5)).isoformat(),
        "period": 60,
        "statistics": ["Average", "SampleCount"],
        "extended_statistics": ["p90"],
    }
    answer = server.client.post("/api/v1/metrics/statistics", json=asked)

    assert answer.json() == {
        "label": "orders",
        "datapoints": [
            {
                "timestamp": "2026-01-15T06:00:00Z",
                "unit": "None",
                "sample_count": 2.0,
                "average": 4.0,
                "extended_statistics": {"p90": 5.0},
            }
        ],
    }


@pytest.mark.parametrize("header", ["idempotency-key", "amz-sdk-invocation-id"])
def test_a_call_that_is_repeated_under_its_id_adds_once(server, header):
    body = {"Namespace": header, "MetricData": [DATUM]}

    stored = [post(server, body, **{header: f"{header}-{id_}"}).json() for id_ in (1, 1, 2)]
    other = {**body, "MetricData": [{**DATUM, "Value": 4}]}
    refused = post(server, other, **{header: f"{header}-1"})

    assert stored == [{"stored": 1}, {"stored": 0}, {"stored": 1}]
    assert (refused.status_code, server.error_of(refused)["code"]) == (409, "conflict")


LONG = {"idempotency-key": "k" * 129}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"1" * 4301, {}, 400),
        (b" " * ((1 << 20) + 1), {}, 413),
        (b"{}", {"content-encoding": "odd"}, 415),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, 400),
        (gzip.compress(bytes(11 << 20), 1), {"content-encoding": "gzip"}, 413),
        ({"Namespace": "x", "MetricData": [{"MetricName": "m"}]}, {}, 400),
        ({"Namespace": "x", "MetricData": [DATUM]}, LONG, 400),
    ],
)
def test_what_is_wrong_is_refused(server, body, headers, status):
    answer = post(server, body, **headers)

    assert answer.status_code == status
    server.error_of(answer)
