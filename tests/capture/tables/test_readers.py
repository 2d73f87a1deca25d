"""Everyone's tools read the table without driftline, with exact counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable

from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.conftest import SIGNATURE

REQUESTS, ROWS = 300, 450


@pytest.fixture
def folder(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> Path:
    """A table of 300 requests, every second of two rows, over three days, in several commits."""
    writer = SpoolWriter(spool_dir)
    for number in range(REQUESTS):
        write(
            writer,
            b"1.5,3,UA\n2.5,x,AA" if number % 2 else b"0.5,1,DL",
            b"1,0.25\n0,0.5" if number % 2 else b"1,0.75",
            event_id=f"e{number}",
            at=datetime(2013, 1, 15, tzinfo=UTC) + timedelta(minutes=10 * number),
        )
        if number % 100 == 99:
            drain()
    return Path(root, "capture", "flights")


def test_pandas(folder: Path) -> None:
    found: pd.DataFrame = DeltaTable(folder).to_pyarrow_table().to_pandas()

    assert len(found) == ROWS
    assert found["event_id"].nunique() == REQUESTS
    assert found["feature_temp"].sum() == 150 * 0.5 + 150 * 4.0
    assert found["feature_carrier"].value_counts().to_dict() == {"DL": 150, "UA": 150, "AA": 150}


def test_polars(folder: Path) -> None:
    found = (
        pl.scan_delta(str(folder))
        .filter(pl.col("status") < 400, pl.col("event_date") == "2013-01-15")
        .select(pl.len(), pl.col("event_id").n_unique().alias("requests"))
        .collect()
    )

    assert found.rows() == [(216, 144)]


def test_duckdb(folder: Path) -> None:
    captured = DeltaTable(folder).to_pyarrow_dataset()

    found = duckdb.sql(
        "select count(*), count(distinct event_id), sum(prediction), avg(probability) "
        "from captured where status = 200 and event_time >= '2013-01-15T00:00:00Z'"
    ).fetchall()

    assert captured is not None
    assert found == [(ROWS, REQUESTS, 300, 0.5)]


@pytest.mark.parametrize("column", ["status", "row_index", "prediction", "event_time", "variant"])
def test_filters_on_any_column_find_rows(folder: Path, column: str) -> None:
    # With minima and maxima for some columns only in the log, deltalake 1.6.6 makes a dataset in
    # which filters on all other columns find nothing.
    captured = DeltaTable(folder).to_pyarrow_dataset()

    null, filled = duckdb.sql(
        f"select count(*) filter ({column} is null), count(*) filter ({column} is not null) "
        f"from captured"
    ).fetchall()[0]

    assert captured is not None
    assert null + filled == ROWS


def test_a_plain_parquet_glob(folder: Path) -> None:
    found = duckdb.sql(
        f"select count(*), count(distinct event_id) from "
        f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true) "
        f"where event_date = '2013-01-16'"
    ).fetchall()
    whole = pl.scan_parquet(f"{folder}/**/*.parquet").select(pl.len()).collect().item()

    assert found == [(216, 144)]
    assert whole == ROWS


def test_rows_carry_their_bodies_once(folder: Path) -> None:
    found = DeltaTable(folder).to_pyarrow_table()

    assert found["request_body"].null_count == ROWS - REQUESTS
    assert sum(size for size in found["request_bytes"].to_pylist() if size) == 150 * (8 + 17)


def test_the_table_stays_readable_for_old_readers(folder: Path) -> None:
    protocol = DeltaTable(folder).protocol()

    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_readers_go_on_when_the_signature_grows(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    narrow = replace(SIGNATURE, features=SIGNATURE.features[:1], outputs=SIGNATURE.outputs[:1])
    write(writer, b"1.5", b"1", event_id="old")
    drain(narrow)
    write(writer, event_id="new")
    drain()
    folder = Path(root, "capture", "flights")
    expected = [("new", "UA"), ("old", None)]

    frame = DeltaTable(folder).to_pandas(columns=["event_id", "feature_carrier"])
    lazy = pl.scan_delta(str(folder)).select("event_id", "feature_carrier").sort("event_id")
    captured = DeltaTable(folder).to_pyarrow_dataset()
    told = duckdb.sql("select event_id, feature_carrier from captured order by 1").fetchall()
    # Of a plain glob, as docs/capture.md says.
    glob = f"{folder}/**/*.parquet"
    plain = duckdb.sql(
        "select event_id, feature_carrier from read_parquet("
        f"'{glob}', hive_partitioning = true, union_by_name = true) order by 1"
    ).fetchall()

    assert captured is not None
    rows = frame.sort_values("event_id").itertuples(index=False, name=None)
    assert [(name, None if pd.isna(carrier) else carrier) for name, carrier in rows] == expected
    assert lazy.collect().rows() == told == plain == expected
