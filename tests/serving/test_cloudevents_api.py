"""KServe's logger against the real server, with the bytes that it sends."""

import socket
import uuid
from pathlib import Path

import httpx
import pytest

from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.frame import Flag, Kind
from driftline.capture.tables.dataset import list_endpoints
from tests.capture.events.event_tools import binary
from tests.capture.sagemaker.sagemaker_tools import sample_lines

BINARY = {
    "ce-specversion": "1.0",
    "ce-source": "http://localhost:9081/",
    "ce-type": "org.kubeflow.serving.inference.request",
    "ce-inferenceservicename": "iris",
    "content-type": "application/json",
}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("events"), max_request_bytes=100_000) as found:
        yield found


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


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_what_kserve_sends_becomes_one_record_in_either_order(server, order) -> None:
    service = f"iris-{uuid.uuid4().hex[:8]}"
    bodies = {"request": b'{"instances":[[6.8,2.8,4.8,1.4]]}', "response": b'{"predictions":[1]}'}

    answers = [spoken(server, binary(kind, bodies[kind], service=service)) for kind in order]

    # KServe takes anything but 200 for a failure.
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    (found,) = records(server, service)
    assert (found.request, found.response, found.status) == (*bodies.values(), 200)
    assert found.meta["inference_id"] == "0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11"
    assert found.total_us == 7_000


def test_a_declared_endpoint_gives_its_spelling_and_whether_times_are_trusted(
    server, declare
) -> None:
    signature = {"features": [{"name": "x", "column": "feature_x", "type": "double"}]}
    declared = declare("Endpoint", "Trusted", signature=signature, trust_event_time=True)
    answer = server.apply(declared)
    assert answer.status_code == 200, answer.text

    for kind in ("request", "response"):
        spoken(server, binary(kind, b"[1]", service="trusted"))

    (found,) = records(server, "Trusted")
    assert found.meta["event_time_us"] == "1795179600123456"
    assert found.flags == Flag.EVENT_TIME_GIVEN


def test_bad_events_are_refused_without_their_payload(server) -> None:
    for wrong in (
        {"ce-id": ""}, {"ce-inferenceservicename": "../../etc"},
        {"content-type": "application/cloudevents+json"},
    ):  # fmt: skip
        headers = {**BINARY, "ce-id": "a", **wrong}
        answer = server.client.post("/v1/cloudevents", content=b"secret", headers=headers)

        assert answer.status_code == 400
        assert "secret" not in server.error_of(answer)["message"]


def _event(server, name: str) -> httpx.Response:
    """Record a request of an endpoint."""
    return server.client.post(
        "/v1/cloudevents?expect=request",
        content=b"[1]",
        headers={**BINARY, "ce-id": uuid.uuid4().hex, "ce-inferenceservicename": name},
    )


def _lines(server, name: str) -> httpx.Response:
    return server.client.post(
        f"/api/v1/endpoints/{name}/capture/lines",
        content=b"\n".join(sample_lines("capture/capture.jsonl")),
        headers={"content-type": "application/jsonlines"},
    )


def test_as_many_endpoints_begin_undeclared_as_the_settings_allow(start, declare, tmp_path) -> None:
    signature = {"features": [{"name": "x", "column": "feature_x", "type": "double"}]}
    with start(tmp_path, max_undeclared_endpoints=2) as server:
        assert server.apply(declare("Endpoint", "declared", signature=signature)).is_success

        assert _event(server, "first").is_success
        assert _lines(server, "second").is_success
        refused = [_event(server, "third"), _lines(server, "fourth")]

        assert [answer.status_code for answer in refused] == [409, 409]
        assert "driftline_undeclared_refused_total 2.0" in server.client.get("/metrics").text
        # Whoever is known, or declared, goes on.
        for name in ("first", "second", "declared"):
            assert _event(server, name).is_success
        assert list_endpoints(server.context.root) == ["second"]
        assert server.apply(declare("Endpoint", "third", signature=signature)).is_success
        assert _event(server, "third").is_success
    with start(tmp_path, max_undeclared_endpoints=1) as server:  # What is captured counts then.
        assert _event(server, "fifth").status_code == 409
        assert _event(server, "second").is_success
