"""Derived columns against pandas, row by row; the same in any parts; kept and read again."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.derived_columns import (
    DAY_ENDS,
    DAY_OLD,
    DECIMALS,
    IDS,
    ORDER,
    ROWS_IN_HOUR,
    SAME,
    UNKNOWN,
    DerivedColumn,
    DerivedCounter,
    DerivedCounts,
    OrderedRows,
    derived_codes,
)
from driftline.baseline.store import Baseline

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    """Hourly rows of three stations, with values that repeat now and then, in any order."""
    hours = np.repeat(np.arange(24 * 6), 3)
    found = pd.DataFrame(
        {
            "station": np.tile(["north", "south", "west"], 24 * 6),
            "temp": rng.integers(0, 4, hours.size) / 2,
            "dew": rng.integers(0, 4, hours.size) / 2,
            "at": START + pd.to_timedelta(hours * 60 + np.tile([0, 7, 9], 24 * 6), unit="min"),
        }
    )
    found.loc[rng.random(len(found)) < 0.1, "temp"] = np.nan
    return found.sample(frac=1, random_state=1).reset_index(drop=True)


def codes(table: pd.DataFrame, column: DerivedColumn, *, whole: bool = False) -> list[int]:
    batch = pa.RecordBatch.from_pandas(table, preserve_index=False)
    rows = OrderedRows.of(batch, "at")
    found = np.full(len(table), UNKNOWN)
    found[rows.index] = derived_codes(rows, column, whole=whole)
    return found.tolist()


def marked(found: pd.Series, known: pd.Series, index: pd.Index) -> list[int]:
    return list(found.astype(int).where(known, UNKNOWN).reindex(index))


def test_values_repeat_the_row_before_or_two_of_their_source(table: pd.DataFrame) -> None:
    ordered = table.sort_values("at")
    own = ordered.groupby("station")["temp"]
    twice = (ordered["temp"] == own.shift(1)) & (own.shift(1) == own.shift(2))
    expected = (ordered["temp"] == ordered["temp"].shift(1)) | twice

    found = codes(table, DerivedColumn(SAME, ("temp",), ("station",)))

    assert found == marked(expected, ordered["temp"].notna(), table.index)
    assert 0 < sum(one == 1 for one in found) < len(found)


def test_rows_of_one_time_repeat_nothing() -> None:
    table = pd.DataFrame({"temp": [1.0, 1.0, 1.0], "at": [START, START, START]})

    assert codes(table, DerivedColumn(SAME, ("temp",))) == [0, 0, 0]


def test_an_hour_has_the_values_of_the_hour_a_day_before_in_any_order(table: pd.DataFrame) -> None:
    hour = table["at"].dt.floor("h")
    values = table.groupby(hour)["temp"].apply(lambda own: sorted(own[own != 0].dropna()))
    expected, known = {}, {}
    for one, own in values.items():
        before = values.get(one - pd.Timedelta(days=1), [])
        known[one], expected[one] = bool(own) and bool(before), own == before

    found = codes(table, DerivedColumn(DAY_OLD, ("temp",)))

    assert found == marked(hour.map(expected), hour.map(known), table.index)
    assert {*found} == {UNKNOWN, 0, 1}


def test_the_ends_of_a_day_are_repeats_of_its_largest_and_smallest_values(
    table: pd.DataFrame,
) -> None:
    days = table["at"].dt.floor("D")
    by_day = table.groupby(days)["temp"]
    expected = pd.Series(0, table.index)
    for code, end in ((1, by_day.transform("max")), (2, by_day.transform("min"))):
        at_end = table[table["temp"] == end].sort_values("at", kind="stable")
        expected[at_end.index[at_end.groupby(days).cumcount() > 0]] = code

    found = codes(table, DerivedColumn(DAY_ENDS, ("temp",)))

    assert {1, 2} <= {*expected}
    assert found == list(expected.where(table["temp"].notna(), UNKNOWN))


def test_a_part_of_a_day_has_no_ends(table: pd.DataFrame) -> None:
    start = table["at"].dt.floor("D").min() + pd.Timedelta(days=1)
    morning = table[table["at"].between(start, start + pd.Timedelta(hours=10))]

    assert {*codes(morning, DerivedColumn(DAY_ENDS, ("temp",)))} == {UNKNOWN}


@pytest.mark.parametrize("rows", [60, 2_000])
def test_a_day_of_other_values_has_no_row_at_an_end_however_many_it_has(
    rng: np.random.Generator, rows: int
) -> None:
    times = pd.date_range("2026-01-05", periods=rows, freq=pd.Timedelta(days=3) / rows, tz="UTC")
    table = pd.DataFrame({"temp": rng.normal(size=rows), "at": times})

    assert {*codes(table, DerivedColumn(DAY_ENDS, ("temp",)))} == {0}


def test_decimals_are_those_that_a_number_is_written_with(rng: np.random.Generator) -> None:
    texts = [f"{rng.uniform(1, 90):.{n}f}" for n in range(5) for _ in range(200)]
    texts = [one for one in texts if not one.endswith("0") or "." not in one]
    for kind in (np.float64, np.float32):
        table = pd.DataFrame({"temp": np.array(texts, np.float64).astype(kind), "at": START})

        found = codes(table, DerivedColumn(DECIMALS, ("temp",)), whole=True)

        assert found == [len(one.partition(".")[2]) for one in texts]


def test_decimals_are_counted_once_for_each_value_of_an_hour(table: pd.DataFrame) -> None:
    hour = table["at"].dt.floor("h")
    once = ~table.assign(hour=hour).sort_values("at").duplicated(["hour", "temp"])

    found = codes(table, DerivedColumn(DECIMALS, ("temp",)))

    known = once.reindex(table.index) & table["temp"].notna() & (table["temp"] != 0)
    assert [one != UNKNOWN for one in found] == known.tolist()


def test_an_order_is_reversed_where_the_first_is_below(table: pd.DataFrame) -> None:
    found = codes(table, DerivedColumn(ORDER, ("temp", "dew")))

    assert found == marked(table["temp"] < table["dew"], table["temp"].notna(), table.index)


def test_rows_come_again_within_their_hour_and_ids_anywhere(table: pd.DataFrame) -> None:
    columns = ("station", "temp")
    again = pd.concat([table, table[:30]]).sort_values("at", kind="stable").reset_index(drop=True)
    again["hour"] = again["at"].dt.floor("h")

    found = codes(again, DerivedColumn(ROWS_IN_HOUR, columns))
    ids = codes(again.assign(id=again["temp"]), DerivedColumn(IDS, ("id",)))

    assert found == list(again.duplicated(["hour", *columns]).astype(int))
    assert sum(found) >= 30
    assert ids == marked(again.duplicated("temp"), again["temp"].notna(), again.index)


def test_parts_add_up_and_rows_without_a_time_are_left_out(table: pd.DataFrame) -> None:
    columns = (DerivedColumn(ORDER, ("temp", "dew")), DerivedColumn(SAME, ("temp",), ("station",)))
    table = table.assign(dew=table["temp"] - 1)
    table.loc[:4, "at"] = pd.NaT
    whole = DerivedCounter.start(columns, "at", by_hour=True)
    parts = [DerivedCounter.start(columns, "at", by_hour=True) for _ in range(2)]

    whole.update(pa.RecordBatch.from_pandas(table))
    for part, rows in zip(parts, (table[:200], table[200:]), strict=True):
        part.update(pa.RecordBatch.from_pandas(rows))
    merged = DerivedCounts.of(parts[0].merge(parts[1]))
    found = DerivedCounts.of(whole)

    assert found is not None
    assert merged is not None
    order = columns[0].name
    assert merged.counts[order].tolist() == found.counts[order].tolist()
    assert found.counts[order].sum() == len(table) - 5
    assert found.blocks is not None
    for name, counts in found.counts.items():
        assert found.blocks.counts[name].sum(axis=0).tolist() == counts.tolist()


def test_a_baseline_keeps_derived_columns_and_leaves_out_those_of_some(
    table: pd.DataFrame, tmp_path
) -> None:
    baseline = Baseline.fit(table, timestamp="at")
    baseline.save(tmp_path)

    again = Baseline.load(tmp_path).derived

    assert baseline.derived is not None
    assert again is not None
    assert again.columns == baseline.derived.columns
    assert again.blocks is not None
    assert baseline.derived.blocks is not None
    for name, counts in baseline.derived.counts.items():
        assert np.array_equal(again.counts[name], counts)
        assert np.array_equal(again.blocks.counts[name], baseline.derived.blocks.counts[name])
    left = again.without(["dew"])
    assert left is not None
    assert {name for one in left.columns for name in one.columns} == {"temp"}
    assert again.without(["dew", "temp"]) is None


def test_neighbours_are_unknown_where_rows_came_in_no_order_of_time(
    rng: np.random.Generator,
) -> None:
    """A shuffled table would show no value that repeats the one before, and its windows many."""
    hours = np.arange(200_000)
    table = pd.DataFrame({"x": rng.normal(size=hours.size).round(1), "y": 1.5 * hours,
                          "at": START + pd.to_timedelta(hours, unit="min")})  # fmt: skip

    kinds = [
        {one.kind for one in fitted.columns}
        for rows in (table, table.sample(frac=1, random_state=1))
        if (fitted := Baseline.fit(rows, timestamp="at").derived) is not None
    ]

    assert {SAME, ROWS_IN_HOUR} <= kinds[0]
    assert kinds[1].isdisjoint({SAME, DAY_OLD, DAY_ENDS, ROWS_IN_HOUR})
