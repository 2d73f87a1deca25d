"""Compaction, vacuum and erasure in a bucket, against a real server of S3's kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector

from driftline.capture.erasure.erasing import EndpointErased, erase
from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from tests.capture.conftest import SIGNATURE, record
from tests.servers.s3 import S3Server
from tests.sinking import sink_all

pytestmark = pytest.mark.s3

DAY = datetime(2026, 1, 15, 12, tzinfo=UTC)
NOW = DAY + timedelta(days=2)


def test_small_files_are_put_together_and_erased_rows_are_gone_from_the_bucket(
    s3_server: S3Server, s3_root: str, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool)
    for number in range(12):
        record(writer, event_id=f"e{number}", inference_id=f"person-{number}", at=DAY)
        if number % 4 == 3:
            sink_all(s3_root, spool, lambda _: SIGNATURE)
    folder = Dataset(s3_root, "flights")
    assert compact(folder, "2026-02-01") == 3

    found = erase(
        s3_root, spool / NAMES, {"inference_id": ["person-5"]}, now=NOW, keep=timedelta(days=1)
    )
    maintenance = TableMaintenance(s3_root, spool / NAMES, vacuum_after_h=0, now=lambda: NOW)
    maintenance.step()
    maintenance.close()

    assert found.endpoints == {"flights": EndpointErased(requests=1, rows=1, files=2)}
    data = folder.open()
    assert data is not None
    expected = sorted(f"e{number}" for number in range(12) if number != 5)
    assert sorted(data.to_table(["event_id"])["event_id"].to_pylist()) == expected
    assert maintenance.counters["vacuumed"] == 2
    selector = folder.filesystem.get_file_info(FileSelector(folder.path, recursive=True))
    left = [entry for entry in selector if entry.path.endswith(".parquet")]
    assert len(left) == 1
    everything = FileSelector(s3_root.removeprefix("s3://"), recursive=True)
    contents = [
        folder.filesystem.open_input_stream(entry.path).readall()
        for entry in folder.filesystem.get_file_info(everything)
        if entry.is_file
    ]
    assert not any(b"person-5" in content for content in contents)
