"""Several models behind one endpoint: shares, named ones, changes while requests come."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.tap.target import CaptureTarget
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.routing import Route, ServedEndpoint
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import DesiredVariant
from driftline.serving.resources.variant_overrides import override
from driftline.serving.resources.worker_spec import WorkerSpec

ROW = "UA,EWR,1400,39.02"
HEADER = "x-amzn-invoked-production-variant"


def variant(name: str, weight: float = 1.0, **more: Any) -> dict[str, Any]:
    model = more.pop("model_name", name)
    return {
        "variant_name": name,
        "model_name": model,
        "initial_variant_weight": weight,
        **more,
    }


def served(*weights: float) -> ServedEndpoint:
    """Return an endpoint of variants "0", "1", … that nobody starts."""
    one = DesiredVariant("flights", "0", 1.0, WorkerSpec("f"), None, None, False, 1)
    return ServedEndpoint.of(
        Route(
            replace(one, name=str(number), weight=weight),
            Pool("flights", WorkerSpec("f"), Limits()),
            CaptureTarget("flights", variant=str(number)),
        )
        for number, weight in enumerate(weights)
    )


@pytest.fixture(scope="module")
def server(start: Any, trained: Any, declare: Any, tmp_path_factory: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("variants")
    pipeline = trained.model
    again = type(pipeline)([("prepare", pipeline[0]), ("classify", pipeline[-1])])
    skops.io.dump(again, folder / "green.skops")
    with start(folder) as found:
        answer = found.apply(
            declare("Model", "blue", path=str(trained.file)),
            declare("Model", "green", path=str(folder / "green.skops")),
            declare("Baseline", "flights", data=str(trained.reference), label="late"),
        )
        assert answer.status_code == 200, answer.text
        yield found


@pytest.fixture
def put(server: Any, declare: Any) -> Any:
    """Return what declares the endpoint with some variants."""

    def apply(*variants: dict[str, Any], **more: Any) -> httpx.Response:
        spec = {"production_variants": list(variants), "baseline": "flights", **more}
        return server.apply(declare("Endpoint", "flights", **spec))

    return apply


@given(
    st.lists(st.floats(0, 1e300), min_size=1, max_size=10).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_variant_of_weight_0_is_never_drawn_and_there_is_always_one(
    weights: list[float], draw: float
) -> None:
    chosen = served(*weights).by_weight(draw)

    assert chosen.desired.weight > 0


def test_requests_are_dealt_by_weight() -> None:
    draws = np.linspace(0, 1, 1000, endpoint=False)

    chosen = Counter(served(9, 0, 1).by_weight(draw).desired.name for draw in draws)

    assert chosen == {"0": 900, "2": 100}


class Traffic:
    """Two callers who send rows until they are told to stop."""

    def __init__(self, url: str, endpoint: str = "flights") -> None:
        self.answers: list[tuple[int, str]] = []
        self._path = f"/endpoints/{endpoint}/invocations"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(url,)) for _ in range(2)]

    def _send(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not self._stop.is_set():
                answer = client.post(
                    self._path,
                    content=ROW,
                    headers={"content-type": "text/csv"},
                )
                self.answers.append((answer.status_code, answer.headers.get(HEADER, "")))

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_new_weights_and_counts_cost_no_request_and_restart_nobody(
    server: Any, put: Any, until: Any
) -> None:
    put(variant("blue", 1), variant("green", 0))
    until(lambda: len(server.worker_ids()) == 2)
    before = server.worker_ids()

    with Traffic(server.url) as traffic:
        until(lambda: len(traffic.answers) > 50)
        put(variant("blue", 0), variant("green", 1))
        at = len(traffic.answers)
        until(lambda: len(traffic.answers) > at + 50)
        weighted = server.worker_ids()
        put(variant("blue", 0), variant("green", 1, initial_instance_count=3))
        until(lambda: len(server.worker_ids()) == len(before) + 2)
        more = server.worker_ids()
        put(variant("blue", 1), variant("green", 1))
        until(lambda: len(server.worker_ids()) == len(before))
        after = len(traffic.answers)
        until(lambda: len(traffic.answers) > after + 50)

    assert {status for status, _ in traffic.answers} == {200}
    # Of the two callers each may have had one request under way.
    assert Counter(name for _, name in traffic.answers[at : at + 50])["blue"] <= 2
    assert weighted == before
    assert set(before) < set(more)
    assert set(server.worker_ids()) == set(before)


def test_what_was_changed_of_a_variant_holds_until_the_endpoint_is_applied_again(
    server: Any, put: Any, until: Any
) -> None:
    put(variant("blue", 1), variant("green", 1))
    with server.engine.begin() as connection:
        endpoint = store.get(connection, "Endpoint", "flights")
        override(connection, endpoint, "Blue", reason="too busy", instance_count=2)
        override(connection, endpoint, "blue", reason="moved", weight=0, instance_count=3)

    def state() -> list[tuple[str, float, int]]:
        found = server.client.get("/api/v1/endpoints/flights").json()["status"]["variants"]
        return [(one["name"], one["share"], one["instance_count"]) for one in found]

    until(lambda: state() == [("blue", 0.0, 3), ("green", 1.0, 1)])
    assert {server.invoke("flights", ROW).headers[HEADER] for _ in range(20)} == {"green"}

    put(variant("blue", 3), variant("green", 1))

    until(lambda: state() == [("blue", 0.75, 1), ("green", 0.25, 1)])


def test_a_request_whose_body_is_late_is_answered_by_the_variant_that_it_began_with(
    server: Any, put: Any, until: Any
) -> None:
    put(variant("blue"))
    until(lambda: len(server.worker_ids()) == 1)
    (blue,) = server.worker_ids()
    address = httpx.URL(server.url)
    head = (
        f"POST /endpoints/flights/invocations HTTP/1.1\r\nhost: {address.host}\r\n"
        f"content-type: text/csv\r\ncontent-length: {len(ROW)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=30) as caller:
        caller.sendall(head.encode())
        put(variant("green"))
        until(lambda: server.invoke("flights", ROW).headers[HEADER] == "green")
        caller.sendall(ROW.encode())
        answer = b"".join(iter(lambda: caller.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"variant: blue" in answer
    until(lambda: blue not in server.worker_ids())  # Then it goes.
