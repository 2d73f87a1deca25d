"""Clocks that differ, and times that cannot be: no absurd day, nothing stops, nothing is silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset, read_gaps
from tests.capture.conftest import SIGNATURE, record
from tests.sinking import sink_all

ARRIVAL = datetime(2026, 1, 15, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> str:
    return str((moment - EPOCH) // timedelta(microseconds=1))


def stored(root: str) -> pl.DataFrame:
    return pl.read_delta(Dataset(root, "flights").uri)


@pytest.mark.parametrize(
    "told",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        EPOCH - timedelta(microseconds=1),
        ARRIVAL + timedelta(days=366, microseconds=1),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_a_time_that_cannot_be_is_that_of_arrival_and_says_so(
    root: str, spool_dir: Path, drain: Callable[..., Sink], told: datetime
) -> None:
    record(SpoolWriter(spool_dir), at=ARRIVAL, event_time_us=microseconds(told))
    drain()

    found = stored(root)
    assert found["event_time"].to_list() == [ARRIVAL]
    assert found["event_date"].to_list() == ["2026-01-15"]
    assert found["flags"][0] & Flag.EVENT_TIME_SUSPECT
    # pandas of any version can hold it.
    frame = DeltaTable(Dataset(root, "flights").uri).to_pandas()
    assert frame["event_time"].astype("datetime64[ns, UTC]")[0] == pd.Timestamp(ARRIVAL)


def test_late_records_go_to_their_day_which_is_put_together_again(
    root: str, spool_dir: Path, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    maintenance = TableMaintenance(root, spool_dir / NAMES, now=lambda: ARRIVAL + timedelta(days=9))
    for number in range(6):
        # The host's own clock steps back and forth.
        record(writer, event_id=f"e{number}", at=ARRIVAL - timedelta(days=number % 2, hours=number))
        drain()
        maintenance.step()
    maintenance.close()

    found = stored(root)
    files = DeltaTable(Dataset(root, "flights").uri).file_uris()
    assert sorted(found["event_id"]) == [f"e{number}" for number in range(6)]
    assert len(files) == 2
    assert maintenance.counters["compacted"] == 8


@given(
    times=st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(10**30), 10**30),
            st.integers(0, 2_000_000_000_000_000),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_time_is_told_the_sink_goes_on_and_every_record_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, times: list[int]
) -> None:
    home = tmp_path_factory.mktemp("skew")
    root, spool = str(home / "root"), home / "spool"
    writer = SpoolWriter(spool)
    for time_us in times:
        record(writer, at=ARRIVAL, event_time_us=str(time_us))
    record(writer, event_id="last", at=ARRIVAL)
    sink_all(root, spool, lambda _: SIGNATURE)

    found = stored(root)
    assert "last" in found["event_id"].to_list()
    assert len(found) + len(read_gaps(root)) == len(times) + 1
    assert found["event_date"].min() >= "1970-01-01"
    assert found["event_date"].max() <= "2027-01-16"
