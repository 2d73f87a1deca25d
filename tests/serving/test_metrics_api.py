"""Metrics over HTTP, by the client and by the commands."""

import gzip
import json
from datetime import timedelta

import pytest

from driftline.app.client.client import Client
from tests.serving.conftest import NOW

DATUM = {"MetricName": "orders", "Value": 3, "Dimensions": [{"Name": "region", "Value": "north"}]}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("metrics")) as found:
        yield found


@pytest.fixture
def client(server):
    with Client(server.url) as found:
        yield found


def post(server, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    return server.client.post("/api/v1/metrics", content=content, headers=headers)


def test_what_boto_sends_is_stored_and_read_by_its_names(server):
    body = {"Namespace": "boto", "MetricData": [DATUM, DATUM | {"Value": 5}]}
    assert post(server, body).json() == {"stored": 2}

    asked = {
        "Namespace": "boto",
        "MetricName": "orders",
        "Dimensions": DATUM["Dimensions"],
        "StartTime": NOW.isoformat(),
        "EndTime": (NOW + timedelta(minutes=5)).isoformat(),
        "Period": 60,
        "Statistics": ["Average", "SampleCount"],
        "ExtendedStatistics": ["p90"],
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

    assert post(server, body, **{header: f"{header}-1"}).json() == {"stored": 1}
    assert post(server, body, **{header: f"{header}-1"}).json() == {"stored": 0}
    assert post(server, body, **{header: f"{header}-2"}).json() == {"stored": 1}


def test_a_repeated_id_with_another_body_is_refused_in_one_sentence(server):
    body = {"Namespace": "twice", "MetricData": [DATUM]}
    post(server, body, **{"idempotency-key": "twice"})

    answer = post(
        server, body | {"MetricData": [DATUM | {"Value": 4}]}, **{"idempotency-key": "twice"}
    )

    assert answer.status_code == 409
    assert server.error_of(answer) == {
        "code": "conflict",
        "message": 'request id "twice" came at 2026-01-15T06:00:00Z with another body; '
        "expected the same body again, or a new id",
    }


def test_what_inflates_without_end_is_refused(server):
    content = gzip.compress(bytes(11 << 20))

    answer = post(server, content, **{"content-encoding": "gzip"})

    assert answer.status_code == 413
    assert "inflates to more than" in server.error_of(answer)["message"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"{", {}, 400, "the body is no JSON"),
        (b"[" * 100_000, {}, 400, "the body is no JSON (nested too deeply)"),
        (b"\xff", {}, 400, "the body is no JSON"),
        (b"1" * 4301, {}, 400, "no JSON (a whole number of more than 4,300 digits)"),
        (b" " * ((1 << 20) + 1), {}, 413, "1048577 bytes; expected 1048576"),
        (b"{}", {"content-encoding": "br"}, 415, 'Content-Encoding is "br"'),
        (b"{}", {"content-encoding": "gzip"}, 400, "the body is no gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, 400, "cut off"),
        (b'{"Namespace": "x"}', {}, 400, "The parameter MetricData is required."),
        (
            json.dumps({"Namespace": "x", "MetricData": [{"MetricName": "m"}]}).encode(),
            {"idempotency-key": "k" * 129},
            400,
            "MetricData.member.1.Value is required",
        ),
        (
            json.dumps({"Namespace": "x", "MetricData": [DATUM]}).encode(),
            {"idempotency-key": "k" * 129},
            400,
            "expected 1 to 128 characters",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_sentence(server, body, headers, status, message):
    answer = post(server, body, **headers)

    assert answer.status_code == status
    assert message in server.error_of(answer)["message"]
