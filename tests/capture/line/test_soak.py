"""Memory stays bounded over many records; ``bench/soak.py`` does the same with ten million."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.servers.kafka import KafkaBroker

BENCH = Path(__file__).parents[3] / "bench" / "soak.py"
RECORDS = 60_000


@pytest.mark.kafka
def test_sidecar_and_sink_hold_little_however_many_records_pass(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path
) -> None:
    bench = runpy.run_path(str(BENCH))

    found = bench["soak"](kafka_broker.bootstrap, topic, tmp_path, RECORDS)

    assert (found.stored, found.gaps) == (RECORDS, 0)
    _, peaks = found.peaks[-1]
    assert max(peaks.values()) < bench["LIMIT_MIB"]
