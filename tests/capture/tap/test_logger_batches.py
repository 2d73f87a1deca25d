"""Batches larger than a body may be: every row is stored under its index, or counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import driftline as dl
from driftline.capture.audit.audit import audit
from driftline.capture.audit.report import EndpointReport, report
from driftline.capture.labels.labels import put
from driftline.capture.line.sink import Sink
from driftline.capture.sagemaker.export import lines_between
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tap.tap import Capture
from driftline.capture.windows.window import Labels, Window, read_window
from driftline.signature import Column, Signature
from tests.capture.tap.test_tap import answering

ROWS = 1_000
LIMIT = 20_000  # Bytes; the batch takes about five times as many.
NAMES = ["a", "b", "c", "d"]
SIGNATURE = Signature(
    features=tuple(Column(name, f"feature_{name}", "double") for name in NAMES),
    outputs=(Column("p", "prediction", "int64", role="prediction"),),
)
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


def made(rows: int) -> pd.DataFrame:
    values = np.random.default_rng(7).normal(size=(rows, len(NAMES))).round(6)
    return pd.DataFrame(values, columns=NAMES)


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setenv("DRIFTLINE_CAPTURE__MAX_BODY_BYTES", str(LIMIT))
    return made(ROWS)


def stored(root: str) -> pa.Table:
    data = Dataset(root, "flights").open()
    assert data is not None
    return data.to_table().sort_by([("spool_seq", "ascending"), ("row_index", "ascending")])


def counted(root: str, spool_dir: Path) -> EndpointReport:
    return report(root, "flights", now=datetime.now(UTC), counts=read_counts(spool_dir))


@pytest.mark.full
def test_a_batch_beyond_the_limit_of_a_body_keeps_every_row_under_its_index(
    root: str, spool_dir: Path, drain: Callable[..., Sink]
) -> None:
    count = 100_000
    frame = made(count)
    log = dl.Logger("flights", spool_dir=spool_dir)
    event = log(frame, np.arange(count), event_time=TIME)
    drain(SIGNATURE)
    found = stored(root)
    parts = len(found["spool_seq"].unique())
    stats = counted(root, spool_dir)

    assert log.counters == {"calls": 1, "stored": 1, "dropped": 0, "misused": 0}
    assert set(found["event_id"].to_pylist()) == {event}
    assert found["row_index"].to_pylist() == list(range(count))
    assert found["prediction"].to_pylist() == list(range(count))
    pd.testing.assert_frame_equal(
        found.select([f"feature_{name}" for name in NAMES]).to_pandas(),
        frame.add_prefix("feature_"),
    )
    assert set(found["event_time"].to_pylist()) == {TIME}
    assert len(set(found["arrival_time"].to_pylist())) == 1
    assert parts > 1
    assert (stats.seen, stats.requests, stats.rows) == (parts, parts, count)
    assert (dict(stats.unparsed), stats.overall.ratio) == ({}, 1.0)


def test_labels_join_the_rows_of_a_batch_in_parts_by_inference_id_and_row_index(
    root: str, spool_dir: Path, drain: Callable[..., Sink], frame: pd.DataFrame
) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir)
    log(frame, np.arange(ROWS), inference_id="batch-7", event_time=TIME)
    drain(SIGNATURE)
    sought = [0, 499, ROWS - 1]

    labels = pa.table(
        {
            "key": ["batch-7"] * 3,
            "row_index": pa.array(sought, pa.int32()),
            "label": [str(at) for at in sought],
        }
    )
    put(root, "flights", labels, lambda: datetime.now(UTC))
    window = Window(TIME, TIME.replace(hour=13))
    read = read_window(root, "flights", window, SIGNATURE, labels=Labels("late", "int64"))
    rows = pa.Table.from_batches(read.batches())

    assert (read.labelled_count, read.stray_label_count) == (3, 0)
    labelled = rows.filter(pc.is_valid(rows["late"]))
    assert labelled["late"].to_pylist() == labelled["p"].to_pylist() == sought


def test_an_audit_adds_up_over_the_parts_of_a_batch_and_finds_one_that_is_gone(
    root: str, spool_dir: Path, drain: Callable[..., Sink], frame: pd.DataFrame
) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir)
    log(frame, np.arange(ROWS))
    drain(SIGNATURE)
    parts = len(stored(root)["spool_seq"].unique())
    second = stored(root).filter(pc.field("spool_seq") == 2)["row_index"][0].as_py()
    whole = audit(root, now=lambda: datetime.now(UTC), spool_dir=spool_dir)
    folder = Dataset(root, "flights")
    folder.open()
    assert folder.table is not None
    folder.table.delete(f"row_index = {second}")
    found = audit(root, now=lambda: datetime.now(UTC), spool_dir=spool_dir)

    assert whole.requests == {"flights": parts}
    assert whole.adds_up
    assert found.by_endpoint(lambda spool: spool.missing) == {"flights": 1}


def test_a_row_that_is_too_long_by_itself_is_counted_and_told_and_not_covered(
    root: str, spool_dir: Path, drain: Callable[..., Sink], caplog: pytest.LogCaptureFixture
) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir)
    with caplog.at_level(logging.ERROR, "driftline.capture"):
        log([{"a": 1.0}, {"a": "x" * (2 << 20)}, {"a": 3.0}], [1, 2, 3])
    log({"a": 4.0}, 4)
    drain(SIGNATURE)
    found = stored(root)
    stats = counted(root, spool_dir)

    assert found["feature_a"].to_pylist() == [1.0, None, 3.0, 4.0]
    assert found["row_index"].to_pylist() == [0, 1, 2, 0]
    assert log.counters["truncated"] == 1
    assert [
        "longer than max_body_bytes (1048576)" in record.message for record in caplog.records
    ] == [True]
    assert (stats.requests, stats.cut, stats.overall.ratio) == (4, 1, 0.75)
    assert stats.recent.ratio == 0.75


def test_a_request_that_the_tap_cut_is_undecodable_and_not_covered(
    root: str, spool_dir: Path, drain: Callable[..., Sink], call: Callable[..., Any]
) -> None:
    csv = [(b"content-type", b"text/csv")]
    tap = Capture(
        answering(b"1", headers=csv), endpoint="flights", spool_dir=spool_dir, max_body_bytes=10
    )
    for body in (b"1,2,3,4", b"1,2,3,4\n5,6,7,8"):
        call(tap, body, headers=csv)
    drain(SIGNATURE)
    stats = counted(root, spool_dir)

    assert stored(root)["flags"].to_pylist() == [0, Flag.REQUEST_TRUNCATED | Flag.REQUEST_UNPARSED]
    assert dict(stats.unparsed) == {"request: only … of … bytes were kept": 1}
    assert (stats.cut, stats.overall.ratio) == (1, 0.5)


def test_lines_of_a_batch_in_parts_are_exported_each_under_an_id_of_its_own(
    root: str, spool_dir: Path, drain: Callable[..., Sink], frame: pd.DataFrame
) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir)
    event = log(frame, np.arange(ROWS), event_time=TIME)
    drain(SIGNATURE)
    parts = len(stored(root)["spool_seq"].unique())

    lines = list(lines_between(root, "flights", TIME, TIME.replace(hour=13)))

    ids = [line.event_id for line in lines]
    assert (len(ids), len(set(ids)), ids[0]) == (parts, parts, event)
