"""Rows to erase by what their columns hold, also under the name of an older signature."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from driftline.capture.erasure.erasing import erase
from driftline.capture.spool.writer import SpoolWriter
from driftline.monitors.rules.captured_rows import row_condition
from tests.capture.conftest import SIGNATURE, record
from tests.sinking import sink_all


@pytest.mark.parametrize("condition", ["carrier == '7'", "carrier == '7' and temp > 1"])
def test_rows_of_an_older_type_are_found_under_the_name_of_their_column(
    condition: str, tmp_path: Path
) -> None:
    first, second, carrier, label = SIGNATURE.features
    older = replace(carrier, type="int64")
    newer = replace(carrier, column="feature_carrier_v2", former=("feature_carrier",))
    before, after = (
        replace(SIGNATURE, features=(first, second, one, label)) for one in (older, newer)
    )
    root, spool_dir = str(tmp_path / "root"), tmp_path / "spool"
    writer = SpoolWriter(spool_dir)
    for signature in (before, after):
        record(writer, b"1.5,3,7\n1.5,3,8", b"1,0.25\n0,0.5")
        record(writer, b"1.5,3,8")
        sink_all(root, spool_dir, lambda _, signature=signature: signature)
    writer.close()
    moment = datetime(2013, 1, 16, tzinfo=UTC)

    with row_condition(after, condition) as where:
        found = erase(
            root, tmp_path / "names", {}, endpoint="flights", where=where, keep=timedelta(days=1),
            now=moment,
        )  # fmt: skip

    assert (found.endpoints["flights"].requests, found.endpoints["flights"].rows) == (2, 4)
