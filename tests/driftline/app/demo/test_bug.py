from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.app.demo.bug import CELSIUS_COLUMNS, Planted, bug_days, plant
from driftline.app.demo.flights import EVENT_TIME, Flights, load


@pytest.fixture(scope="module")
def flights() -> Flights:
    return load(datetime(2026, 11, 18, tzinfo=UTC))


@pytest.fixture(scope="module")
def planted(flights: Flights) -> Planted:
    return plant(flights.table, flights.shift)


def _changed(before: pa.Table, after: pa.Table, name: str) -> np.ndarray:
    same = pc.fill_null(pc.equal(before[name], after[name]), True)
    return pc.invert(same).to_numpy()


def test_the_fault_lasts_from_monday_to_friday(flights: Flights) -> None:
    days = bug_days(flights.shift)

    assert [day.weekday() for day in days] == [0, 1, 2, 3, 4]
    assert days[0] - flights.shift == datetime(2013, 11, 18, tzinfo=UTC)


def test_only_the_faulty_columns_change_and_only_in_the_faulty_rows(
    flights: Flights, planted: Planted
) -> None:
    for name in flights.table.column_names:
        changed = _changed(flights.table, planted.table, name)
        expected = planted.rows.get(name, np.zeros(len(changed), dtype=bool))
        np.testing.assert_array_equal(changed, expected, err_msg=name)


def test_newark_sends_celsius(flights: Flights, planted: Planted) -> None:
    rows = pa.array(planted.rows["temp"])
    before = flights.table.filter(rows)
    after = planted.table.filter(rows)

    assert set(before["origin"].to_pylist()) == {"EWR"}
    for name in CELSIUS_COLUMNS:
        # Fahrenheit = 1.8 Celsius + 32; the feed gives tenths of a degree.
        back = after[name].to_numpy() * 1.8 + 32
        np.testing.assert_allclose(back, before[name].to_numpy(), atol=0.05 * 1.8 + 1e-9)


def test_one_airline_comes_under_its_other_code(flights: Flights, planted: Planted) -> None:
    rows = pa.array(planted.rows["carrier"])

    assert set(flights.table.filter(rows)["carrier"].to_pylist()) == {"9E"}
    assert set(planted.table.filter(rows)["carrier"].to_pylist()) == {"EDV"}
    assert "EDV" not in flights.table["carrier"].to_pylist()


def test_days_outside_the_fault_hold_no_faulty_row(flights: Flights) -> None:
    last_month = flights.between(flights.end - timedelta(days=31), flights.end)

    found = plant(last_month, flights.shift)

    assert not any(rows.any() for rows in found.rows.values())
    assert found.table.equals(last_month)


def test_an_empty_table_stays_empty(flights: Flights) -> None:
    found = plant(flights.table.slice(0, 0), flights.shift)

    assert found.table.num_rows == 0
    assert found.table.schema.field(EVENT_TIME) == flights.table.schema.field(EVENT_TIME)
