"""The logger: whatever holds a row is recorded as the tap would, and no call ever raises."""

from __future__ import annotations

import json
import logging
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import driftline as dl
from driftline.capture.audit.report import report
from driftline.capture.line.sink import Sink
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import read_gaps
from driftline.signature import Column, Signature
from tests.capture.counts import counted
from tests.capture.tap.test_tap import frames_of
from tests.driftline.formats.decode_tools import decode
from tests.together import together

SIGNATURE = Signature(
    features=(
        Column("temp", "feature_temp", "double"),
        Column("carrier", "feature_carrier", "string"),
        Column("late", "feature_late", "bool", role="label"),
    ),
    outputs=(
        Column("said_late", "prediction", "bool", role="prediction"),
        Column("p", "probability", "double", role="probability"),
    ),
)
FRAME = pd.DataFrame({"temp": [1.5, math.nan], "carrier": ["UA", None]})
ROWS = [(1.5, "UA"), (None, None)]


def read(folder: Path) -> list[tuple[Any, ...]]:
    """Decode all that was recorded: temp, carrier, prediction and probability of each row."""
    found = decode(frames_of(folder), SIGNATURE)
    assert [error for error in found.errors if error] == []
    assert [dict(row) for row in found.unfit.to_pylist() if row] == []
    names = ("feature_temp", "feature_carrier", "prediction", "probability")
    return list(zip(*(found.columns[name].to_pylist() for name in names), strict=True))


@pytest.mark.parametrize(
    "features",
    [
        {"temp": 1.5, "carrier": "UA"},
        [1.5, "UA"],
        (np.float32(1.5), "UA"),
        FRAME.iloc[0],
        {"carrier": "UA", "temp": Decimal("1.5")},
        np.array([1.5, "UA"], dtype=object),
    ],
    ids=["mapping", "list", "tuple", "pandas row", "decimal", "array"],
)
def test_one_row_of_any_kind_is_one_row_of_the_table(spool_dir: Path, features: Any) -> None:
    with dl.Logger("flights", spool_dir=spool_dir) as log:
        log(features, True, probability=0.75)

    assert read(spool_dir) == [(1.5, "UA", True, 0.75)]


@pytest.mark.parametrize(
    "features",
    [
        FRAME,
        pl.DataFrame({"temp": [1.5, None], "carrier": ["UA", None]}),
        pa.table({"temp": [1.5, None], "carrier": ["UA", None]}),
        [{"temp": 1.5, "carrier": "UA"}, {"temp": float("nan"), "carrier": None}],
        [FRAME.iloc[0], FRAME.iloc[1]],
        np.array([[1.5, "UA"], [None, None]], dtype=object),
    ],
    ids=["pandas", "polars", "arrow", "mappings", "pandas rows", "matrix"],
)
@pytest.mark.parametrize(
    ("prediction", "probability"),
    [
        ([True, False], [0.75, 0.25]),
        (np.array([1, 0]), np.array([0.75, 0.25], np.float32)),
        (pd.Series([True, False]), pl.Series([0.75, 0.25])),
        (pd.DataFrame({"said_late": [True, False], "p": [0.75, 0.25]}), None),
    ],
    ids=["lists", "arrays", "series", "frame"],
)
def test_several_rows_of_any_kind_are_one_record(
    spool_dir: Path, features: Any, prediction: Any, probability: Any
) -> None:
    with dl.Logger("flights", spool_dir=spool_dir) as log:
        log(features, prediction, probability=probability)

    assert len(frames_of(spool_dir)) == 1
    assert read(spool_dir) == [(*ROWS[0], True, 0.75), (*ROWS[1], False, 0.25)]


def test_a_record_tells_its_circumstances(spool_dir: Path) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir, model="m1", now_ns=lambda: 7_000)

    event = log(
        [1, "a"], None, inference_id="order-7", event_time=datetime(2013, 1, 15, tzinfo=UTC)
    )

    (frame,) = frames_of(spool_dir)
    assert (frame.request, frame.response) == (b'[[1,"a"]]', b'[{"prediction":null}]')
    assert (frame.status, frame.wall_ns, frame.flags) == (200, 7_000, Flag.EVENT_TIME_GIVEN)
    assert frame.meta == {
        "endpoint": "flights",
        "event_id": event,
        "variant": "AllTraffic",
        "model": "m1",
        "rate": "1.0",
        "request_content_type": "application/json",
        "response_content_type": "application/json",
        "inference_id": "order-7",
        "event_time_us": "1358208000000000",
    }


@pytest.mark.parametrize(
    "moment",
    [
        "2013-01-15T06:00:00+06:00",
        datetime(2013, 1, 15, 6, tzinfo=timezone(timedelta(hours=6))),
        pd.Timestamp("2013-01-15", tz="UTC"),
    ],
)
def test_an_event_time_may_come_in_the_usual_forms(spool_dir: Path, moment: Any) -> None:
    dl.Logger("flights", spool_dir=spool_dir)([1, "a"], 1, event_time=moment)

    (frame,) = frames_of(spool_dir)
    assert frame.meta["event_time_us"] == "1358208000000000"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2013, 1, 15),  # noqa: DTZ001
        pd.Timestamp("2013-01-15"),
        np.datetime64("2013-01-15T00:00:00"),
        "2013-01-15T00:00:00",
    ],
)
def test_a_time_without_a_zone_is_utc_as_in_files_and_is_counted(
    root: str, spool_dir: Path, drain: Callable[..., Sink], caplog: pytest.LogCaptureFixture,
    moment: Any,
) -> None:  # fmt: skip
    log = dl.Logger("flights", spool_dir=spool_dir)
    for _ in range(2):
        log([1, "a"], 1, event_time=moment)
    frames = frames_of(spool_dir)
    log.close()
    drain(SIGNATURE)

    # date -ud 2013-01-15 +%s
    assert [frame.meta["event_time_us"] for frame in frames] == ["1358208000000000"] * 2
    assert {frame.flags for frame in frames} == {Flag.EVENT_TIME_GIVEN | Flag.EVENT_TIME_ZONELESS}
    assert log.counters["zoneless_times"] == 2
    assert report(root, "flights", now=datetime.now(UTC)).event_times["without_zone"] == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("features", "prediction", "sentence"),
    [
        ("1.5,UA", 1, "features are of type str"),
        (None, 1, "features are of type NoneType"),
        (17, 1, "features are of type int"),
        ([{"temp": 1}, 2], [1, 2], "a list of rows and of other values"),
        ([{"temp": 1}, {"temp": 2}], 1, "one value for 2 rows"),
        ([{"temp": 1}, {"temp": 2}], [1], "1 values for 2 rows"),
    ],
)
def test_misuse_never_raises_and_is_counted_and_told_once(
    root: str, spool_dir: Path, drain: Callable[..., Sink], caplog: pytest.LogCaptureFixture,
    features: Any, prediction: Any, sentence: str,
) -> None:  # fmt: skip
    log = dl.Logger("flights", spool_dir=spool_dir)
    with caplog.at_level(logging.ERROR, "driftline.capture"):
        events = {log(features, prediction) for _ in range(3)}
    log({"temp": 1.0}, 1)
    log.close()
    drain()

    assert len(events) == 3
    assert log.counters == {"calls": 4, "stored": 1, "dropped": 0, "misused": 3}
    assert [sentence in record.message for record in caplog.records] == [True]
    assert [(gap.reason, gap.records) for gap in read_gaps(root)] == [("misuse", 3)]
    assert counted(root, "flights").overall.dropped == 3


def test_a_value_that_breaks_is_named_by_its_kind_alone(
    spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("secret")

    circle: list[Any] = []
    circle.append({"again": circle})
    log = dl.Logger("flights", spool_dir=spool_dir)

    log({"temp": Odd()}, 1)
    log({"temp": circle}, 1)

    assert log.counters["misused"] == 2
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.datetimes(), st.decimals(), st.complex_numbers(), st.sampled_from([pd.NA, pd.NaT]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner, max_size=3),
        st.sets(st.integers(), max_size=2),
    ),
    max_leaves=6,
)  # fmt: skip


@given(values, values, values)
def test_nothing_at_all_raises(features: Any, prediction: Any, probability: Any) -> None:
    log = QUIET
    before = dict(log.counters)

    assert log(features, prediction, probability=probability)

    assert log.counters["calls"] == before["calls"] + 1


QUIET = dl.Logger("flights", spool_dir="/proc/no-such-folder/spool")


def test_sampling_chooses_by_the_inference_id_as_the_tap_does(spool_dir: Path) -> None:
    log = dl.Logger("f", spool_dir=spool_dir, sampling_percentage=30)
    for number in range(400):
        log([1, "a"], 1, inference_id=f"id-{number}")

    kept = {frame.meta["inference_id"] for frame in frames_of(spool_dir)}
    assert log.counters == {"calls": 400, "stored": len(kept), "dropped": 0, "misused": 0}
    assert 80 < len(kept) < 160  # As in test_tap: fixed ids, no chance involved.


def test_threads_lose_nothing_and_count_right(spool_dir: Path) -> None:
    log = dl.Logger("f", spool_dir=spool_dir)
    events: list[str] = []
    together(*[lambda: events.extend(log([1, "a"], 1) for _ in range(250))] * 4)

    assert log.counters["stored"] == 1_000
    assert {frame.meta["event_id"] for frame in frames_of(spool_dir)} == set(events)


FORKED = """
import os, signal, sys
import driftline as dl

log = dl.Logger("flights")
print(log({"temp": 0}, 0), flush=True)
for number in range(1, 4):
    if not os.fork():
        print(log({"temp": number}, number), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
print(log({"temp": 4}, 4), flush=True)
assert log.counters["calls"] == 2
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_forks_and_kills_lose_nothing(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert found.returncode == -signal.SIGKILL, found.stderr
    spool = tmp_path / ".driftline" / "spool"
    frames = frames_of(spool)
    assert sorted(frame.meta["event_id"] for frame in frames) == sorted(found.stdout.split())
    assert sorted(json.loads(frame.request)[0]["temp"] for frame in frames) == [0, 1, 2, 3, 4]
    assert len(list(spool.iterdir())) == 4
