"""What sidecar, sink and taps count, as Prometheus' own parser reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from driftline.app.process_metrics import exposed
from driftline.capture.line.instruments import Counted, HostTaps, SinkInstruments, Spools
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.settings.schema import Metrics
from driftline.signature import Signature
from tests.servers.ports import free_port

Write = Callable[..., bool]


def samples(registry: CollectorRegistry) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_a_scripted_load_is_counted_to_the_record(
    root: str, spool_dir: Path, write: Write, signature: Signature
) -> None:
    registry = CollectorRegistry()
    instruments = SinkInstruments(registry, now=lambda: 1_358_251_260.0)  # A minute later.
    transport = LocalTransport(spool_dir)
    sink = Sink(root, transport, lambda _: signature, observe=instruments.observe)
    registry.register(Counted("driftline_sink_", lambda: sink.counters, {"records": "Stored."}))
    registry.register(HostTaps(spool_dir))
    registry.register(Spools(spool_dir, 1 << 20))
    writer = SpoolWriter(spool_dir)
    for _ in range(7):
        write(writer, b"1.5,3,UA\n2.5,4,AA\n", b"1,0.5\n0,0.25\n")
    for number in range(3):
        write(writer, b"1.5,3\n" * (number + 1))
    for _ in range(4):
        writer.count_drop("tap_error", "flights")
    write(writer)

    sink.step()
    transport.close()
    found = samples(registry)

    assert found["driftline_sink_records_total"] == {(): 11}
    assert found["driftline_sink_endpoint_records_total"] == {("flights",): 11}
    assert found["driftline_sink_endpoint_rows_total"] == {
        ("flights",): found["driftline_sink_rows_total"][()]
    }
    assert sum(found["driftline_sink_unparsed_total"].values()) == 3
    assert len(found["driftline_sink_unparsed_total"]) == 1  # One kind, whatever the numbers in it.
    assert found["driftline_sink_gaps_total"] == {(): 1}
    assert found["driftline_sink_commit_seconds_count"] == {(): 1}
    assert found["driftline_sink_lag_seconds"] == {("flights",): 60}
    assert found["driftline_tap_dropped_total"] == {("flights", "tap_error"): 4}
    assert found["driftline_spool_oldest_seconds"] == {(): 0}
    assert found["driftline_spool_budget_bytes"] == {(): 1 << 20}
    assert found["driftline_spool_segments"] == {(): 1}


def test_a_process_shows_its_metrics_to_this_machine_only() -> None:
    port = free_port()
    registry = CollectorRegistry()
    registry.register(Counted("driftline_sink_", lambda: {"records": 5}, {}))
    address = f"http://127.0.0.1:{port}"
    with exposed(registry, Metrics(port=port - 1), "sink"):
        response = _answer(f"{address}/metrics")
        assert "driftline_sink_records_total 5.0" in response.text
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{address}/other").status_code == 404
        assert httpx.get(f"{address}/metrics", headers={"host": "evil.example"}).status_code == 403
        # A second process on the same port goes on without.
        with exposed(registry, Metrics(port=port - 1), "sink"):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/metrics")


def test_metrics_for_others_are_shown_to_the_token_by_any_name() -> None:
    port, token = free_port(), "t" * 40
    address = f"http://127.0.0.1:{port}"
    registry = CollectorRegistry()
    registry.register(Counted("driftline_sink_", lambda: {"records": 5}, {}))
    right = {"host": "10.0.0.7:8083", "authorization": f"Bearer {token}"}
    wrong = [{}, {"authorization": f"Bearer {token}t"}, {"authorization": f"Basic {token}"}]
    with exposed(registry, Metrics(host="0.0.0.0", port=port - 1, token=token), "sink"):
        _answer(f"{address}/healthz")
        assert "records_total 5.0" in httpx.get(f"{address}/metrics", headers=right).text
        for headers in wrong:
            refused = httpx.get(f"{address}/metrics", headers=headers)
            assert refused.status_code == 401
            assert "driftline_sink" not in refused.text
            assert refused.headers["www-authenticate"] == 'Bearer realm="driftline"'
        assert httpx.get(f"{address}/healthz").status_code == 200


def _answer(url: str) -> httpx.Response:
    until = time.monotonic() + 10
    while True:
        try:
            return httpx.get(url)
        except httpx.ConnectError:
            assert time.monotonic() < until
