"""Requests by hour, variant and client, counted from what a spool and a sink have written."""

from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc
import pytest

from driftline.capture.audit import traffic
from driftline.capture.audit.traffic import CLIENTS_MAX, HOUR, OTHERS, read_traffic
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset, read_gaps
from tests.sinking import sink_all

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AGENT = "user-agent:curl/8"


@pytest.fixture
def root(tmp_path):
    writer = SpoolWriter(tmp_path / "spool")
    for at, status, more in (
        (NOON, 200, {"variant": "blue"}),
        (NOON + timedelta(minutes=59), 429, {"variant": "green", "headers": AGENT}),
        (NOON + HOUR, 200, {"variant": "blue"}),
        (NOON + 2 * HOUR, 0, {"variant": "blue"}),
    ):
        meta = {"endpoint": "orders", **more}
        writer.append(meta, status=status, wall_ns=int(at.timestamp() * 1e9), total_us=2_000)
    writer.close()
    sink_all(str(tmp_path / "root"), tmp_path / "spool")
    return str(tmp_path / "root")


def test_requests_are_counted_by_hour_variant_and_client(root):
    found = read_traffic(root, "orders", NOON, NOON + 2 * HOUR, read_gaps(root), 10.0)

    counts = {hour: (one.stored, one.refused) for hour, one in found.hours.items()}
    assert counts == {NOON: (2, 1), NOON + HOUR: (1, 0)}
    assert {name: one.stored for name, one in found.variants.items()} == {"blue": 2, "green": 1}
    assert {name: one.refused for name, one in found.clients.items()} == {"curl/8": 1}
    assert found.hours[NOON].latency.quantile_ms(0.99) == pytest.approx(2.0, rel=0.02)
    assert found.hours[NOON].lag.quantile_ms(0.99) == 0


def test_the_largest_clients_are_named_and_requests_without_a_name_are_of_none(tmp_path):
    writer = SpoolWriter(tmp_path / "spool")
    agents = [f"user-agent:{one}" for one in range(CLIENTS_MAX + 50)]
    for said in [*agents, *["user-agent:big-client"] * 100, *[None] * 100]:
        meta = {"endpoint": "orders", "variant": "blue"} | ({"headers": said} if said else {})
        writer.append(meta, status=200, wall_ns=int(NOON.timestamp() * 1e9), total_us=2_000)
    writer.close()
    sink_all(str(tmp_path / "root"), tmp_path / "spool")

    found = read_traffic(str(tmp_path / "root"), "orders", NOON, NOON + HOUR, (), 10.0)

    counts = {name: one.stored for name, one in found.clients.items()}
    assert (counts["big-client"], counts[OTHERS], len(counts)) == (100, 51, CLIENTS_MAX + 1)
    assert found.variants["blue"].stored == CLIENTS_MAX + 250


def test_rows_that_are_stored_twice_are_duplicates(root):
    rows = Dataset(root, "orders").open().to_table()
    Dataset(root, "orders", writer="again").append(rows, {"again": 1})

    found = read_traffic(root, "orders", NOON, NOON + 3 * HOUR, (), 10.0)

    assert [one.doubled for one in found.hours.values()] == [2, 1, 1]
    assert [one.refused for one in found.hours.values()] == [2, 0, 2]


def test_copies_that_shadows_answer_are_left_out_and_a_client_may_be_named_by_none(
    root, monkeypatch
):
    monkeypatch.setattr(traffic, "is_callers", lambda rows: pc.equal(rows["variant"], "none"))

    found = read_traffic(root, "orders", NOON, NOON + 3 * HOUR, (), 10.0)

    assert (found.hours, found.variants, found.clients) == ({}, {}, {})
