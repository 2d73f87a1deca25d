"""Sidecar, a real Kafka broker and sink: everything once, whatever goes wrong between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.capture.dataset import Dataset, read_gaps
from driftline.capture.spool import SpoolWriter
from driftline.signature import Signature
from tests.capture.kafka_tools import options, ship_all, sink_until, stored
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka
Write = Callable[..., bool]


def test_what_is_sent_arrives_once_and_in_order(
    kafka_broker: KafkaBroker,
    topic: str,
    root: str,
    spool_dir: Path,
    tmp_path: Path,
    write: Write,
    signature: Signature,
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(2_500):
        write(writer, event_id=f"e{number}")
    writer.close()
    found = options(kafka_broker.bootstrap, topic)

    sidecar = ship_all(found, spool_dir)
    sink = sink_until(
        found, root, tmp_path / "state", signature, lambda s: s.counters["records"] == 2_500
    )

    table = stored(root)
    assert table["event_id"].to_pylist() == [f"e{number}" for number in range(2_500)]
    assert table["spool_seq"].to_pylist() == list(range(1, 2_501))
    assert sidecar.counters["records"] == 2_500
    assert sink.counters["duplicates"] == 0
    assert [path for path in spool_dir.iterdir() if path.is_dir()] == []
    assert read_gaps(root) == []
