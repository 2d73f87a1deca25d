"""An audit far from the spool learns from the tables alone what is still on its way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftline.capture.audit.audit import Audit, audit
from driftline.capture.line.low_watermark import LowWatermarkTransport, settle
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import gap_folder
from driftline.capture.tables.delta_log import read_watermarks
from driftline.capture.tables.storage import StorageError
from driftline.signature import Signature
from tests.capture.conftest import SIGNATURE

Write = Callable[..., bool]


def far_audit(root: str) -> Audit:
    return audit(root, now=lambda: datetime(2013, 3, 1, tzinfo=UTC))


def run_sink(root: str, spool_dir: Path, *, broken: str = "") -> None:
    def signatures(endpoint: str) -> Signature | None:
        if endpoint == broken:
            raise StorageError("the disk is full")
        return SIGNATURE

    transport = LowWatermarkTransport(LocalTransport(spool_dir), root)
    try:
        Sink(root, transport, signatures).step()
    finally:
        transport.close()


def test_what_the_sink_left_half_done_is_in_flight_and_what_is_removed_then_is_missing(
    root: str, spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        write(writer, endpoint=f"e{number % 2}")
    run_sink(root, spool_dir)
    for number in range(20):
        write(writer, endpoint=f"e{number % 2}")
    with pytest.raises(StorageError):
        run_sink(root, spool_dir, broken="e1")

    half = far_audit(root)
    assert (half.missing, half.in_flight, half.stored) == (0, 9, 30)
    run_sink(root, spool_dir)
    assert far_audit(root).stored == 40

    for file in Path(root).glob("capture/e1/*/*.parquet"):
        file.unlink()
    found = far_audit(root)
    assert (found.missing, found.in_flight) == (20, 0)


def test_what_is_settled_never_goes_back(root: str) -> None:
    spool = "01900000-0000-7000-8000-000000000000"
    settle(root, {spool: 9})
    settle(root, {spool: 4})

    assert read_watermarks(gap_folder(root)).settled == {spool: 9}
    assert gap_folder(root).open() is not None
