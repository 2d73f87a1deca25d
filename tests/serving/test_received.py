"""What is sent to a server beside requests of its models: labels, datapoints, KServe's events."""

import gzip
import json
import socket
import uuid
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from driftline.capture.labels.labels import label_folder
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.frame import Flag, Kind
from driftline.capture.tables.dataset import list_endpoints
from tests.capture.events.event_tools import attributes, binary
from tests.capture.sagemaker.sagemaker_tools import sample_lines
from tests.serving.conftest import NOW

SIGNATURE = {"features": [{"name": "x", "column": "feature_x", "type": "double"}]}
DATUM = {"MetricName": "orders", "Value": 3, "Dimensions": [{"Name": "region", "Value": "north"}]}


@pytest.fixture(scope="module")
def server(start, declare, tmp_path_factory):
    with start(tmp_path_factory.mktemp("received"), max_request_bytes=2_000_000) as found:
        spec = {"signature": SIGNATURE, "trust_event_time": True}
        found.apply(*(declare("Endpoint", name, **spec) for name in ("flights", "Trusted")))
        yield found


def post(server, path, body, media="application/json", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.client.post(path, content=content, headers={"content-type": media, **headers})


def labels(server):
    data = label_folder(server.context.root, "flights").open()
    rows = [] if data is None else data.to_table().to_pylist()
    return sorted((row["key"], row["row_index"], row["label"]) for row in rows)


def test_labels_are_stored_all_of_a_body_or_none(server):
    path = "/api/v1/endpoints/flights/truth"
    event = {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "a"}}
    for media, body, status in (
        ("application/jsonlines", {**event, "eventVersion": "0"}, 200),
        ("application/json", [{"inference_id": "a", "label": 1, "row_index": 0}], 200),
        ("text/csv; charset=utf-8", b"event_id,label\na,1\n", 200),
        ("text/csv", b"a,b\n1,2\n", 400),
        ("application/json", [{"id": "a", "label": 1}, 5], 400),
        ("application/xml", b"<a/>", 415),
        ("text/csv", b"id,label\n" + b"abcdefgh,1\n" * 200_000, 413),
    ):
        assert post(server, path, body, media).status_code == status
    assert labels(server) == [("a", 0, "1")] * 3


def test_datapoints_are_stored_once_under_an_id_and_read_by_their_names(server):
    path, body = "/api/v1/metrics", {"Namespace": "boto", "MetricData": [DATUM, DATUM]}

    stored = [post(server, path, body, **{"idempotency-key": key}).json() for key in "aab"]
    other = {**body, "MetricData": [{**DATUM, "Value": 4}]}
    refused = post(server, path, other, **{"idempotency-key": "a"})
    asked = {
        "namespace": "boto", "metric_name": "orders", "dimensions": DATUM["Dimensions"],
        "start_time": NOW.isoformat(), "end_time": (NOW + timedelta(minutes=5)).isoformat(),
        "period": 60, "statistics": ["Average", "SampleCount"], "extended_statistics": ["p90"],
    }  # fmt: skip
    (point,) = post(server, f"{path}/statistics", asked).json()["datapoints"]

    assert stored == [{"stored": 2}, {"stored": 0}, {"stored": 2}]
    assert refused.status_code == 409
    assert (point["average"], point["sample_count"]) == (3.0, 4.0)
    assert point["extended_statistics"] == {"p90": 3.0}


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"[" * 100_000, "", 400),
        (b"1" * 4301, "", 400),
        (b" " * ((1 << 20) + 1), "", 413),
        (b"{}", "odd", 415),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400),
        (gzip.compress(bytes(11 << 20), 1), "gzip", 413),
        ({"Namespace": "x", "MetricData": [{"MetricName": "m"}]}, "", 400),
    ],
)
def test_hostile_datapoints_are_refused(server, body, encoding, status):
    headers = {"content-encoding": encoding} if encoding else {}

    assert post(server, "/api/v1/metrics", body, **headers).status_code == status


def spoken(server, raw: bytes) -> bytes:
    """Send bytes over a connection, as they are; give all that comes back."""
    host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(raw.replace(b"Accept-Encoding", b"Connection: close\r\nAccept-Encoding"))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def records(server, service: str):
    tail = SpoolFollower(Path(server.context.spool_dir))
    try:
        found = [frame for delivery in tail.receive(10_000) for frame in delivery.frames]
    finally:
        tail.close()
    return [f for f in found if f.kind == Kind.RECORD and f.meta["endpoint"] == service]


@pytest.mark.parametrize(
    ("service", "known_as", "order"),
    [("iris", "iris", ("request", "response")), ("trusted", "Trusted", ("response", "request"))],
)
def test_what_kserve_sends_becomes_one_record_in_either_order(
    server, service, known_as, order
) -> None:
    bodies = {"request": b'{"instances":[[6.8,2.8,4.8,1.4]]}', "response": b'{"predictions":[1]}'}

    answers = [spoken(server, binary(kind, bodies[kind], service=service)) for kind in order]

    # KServe takes anything but 200 for a failure.
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    (found,) = records(server, known_as)
    assert (found.request, found.response, found.status) == (*bodies.values(), 200)
    assert found.meta["inference_id"] == "0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11"
    # Only a declared endpoint may say that times are trusted.
    assert found.flags == (Flag.EVENT_TIME_GIVEN if known_as == "Trusted" else 0)


def _event(server, name, *, body=b"[1]"):
    headers = attributes(name, uuid.uuid4().hex)
    return server.client.post("/v1/cloudevents?expect=request", content=body, headers=headers)


def test_an_event_of_no_name_is_refused_without_its_payload(server) -> None:
    answer = _event(server, "../../etc", body=b"secret")

    assert answer.status_code == 400
    assert "secret" not in server.error_of(answer)["message"]


def _lines(server, name: str) -> httpx.Response:
    body = b"\n".join(sample_lines("capture/capture.jsonl"))
    path = f"/api/v1/endpoints/{name}/capture/lines"
    return post(server, path, body, "application/jsonlines")


def test_as_many_endpoints_begin_undeclared_as_the_settings_allow(start, declare, tmp_path) -> None:
    with start(tmp_path, max_undeclared_endpoints=2) as server:
        assert server.apply(declare("Endpoint", "declared", signature=SIGNATURE)).is_success

        assert _event(server, "first").is_success
        assert _lines(server, "second").is_success
        refused = [_event(server, "third"), _lines(server, "fourth")]

        assert [answer.status_code for answer in refused] == [409, 409]
        # Whoever is known, or declared, goes on.
        for name in ("first", "second", "declared"):
            assert _event(server, name).is_success
        assert list_endpoints(server.context.root) == ["second"]
        assert server.apply(declare("Endpoint", "third", signature=SIGNATURE)).is_success
        assert _event(server, "third").is_success
    with start(tmp_path, max_undeclared_endpoints=1) as server:  # What is captured counts then.
        assert _event(server, "fifth").status_code == 409
        assert _event(server, "second").is_success
