"""The fault that the demo plants in its traffic.

From 18 to 22 November of the flights' calendar, as if two feeds upstream had been changed on a
Monday and fixed by the weekend: Newark's weather station sends Celsius instead of Fahrenheit, and
one airline comes under its ICAO code instead of the IATA code. Every request is well formed and
every answer is a 200: only a monitor can see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.app.demo.flights import is_between

AIRPORT = "EWR"
CELSIUS_COLUMNS = ("temp", "dewp")
CARRIER = "9E"  # Endeavor Air, IATA.
WRONG_CARRIER = "EDV"  # Endeavor Air, ICAO.
FIRST_DAY = datetime(2013, 11, 18, tzinfo=UTC)
DAY_COUNT = 5


@dataclass(frozen=True, slots=True)
class Planted:
    """Traffic with the fault in it."""

    table: pa.Table
    rows: Mapping[str, np.ndarray]  # By faulty column: which rows, booleans of shape (rows,).
    shift: timedelta


def bug_days(shift: timedelta) -> list[datetime]:
    """Return the beginnings of the faulty days, moved with the flights."""
    return [FIRST_DAY + shift + timedelta(days=day) for day in range(DAY_COUNT)]


def plant(table: pa.Table, shift: timedelta) -> Planted:
    """Put the fault into the rows of its days; all others stay as they are."""
    days = bug_days(shift)
    inside = is_between(table, days[0], days[-1] + timedelta(days=1))
    cold = pc.and_(inside, pc.equal(table["origin"], AIRPORT))
    renamed = pc.and_(inside, pc.equal(table["carrier"], CARRIER))
    found = _put(table, "carrier", pc.if_else(renamed, WRONG_CARRIER, table["carrier"]))
    rows = {"carrier": renamed.to_numpy()}
    for name in CELSIUS_COLUMNS:
        celsius = pc.round(pc.divide(pc.subtract(table[name], 32.0), 1.8), ndigits=1)
        found = _put(found, name, pc.if_else(cold, celsius, table[name]))
        rows[name] = pc.and_(cold, pc.is_valid(table[name])).to_numpy()
    return Planted(found, rows, shift)


def told(shift: timedelta, start: datetime) -> str:
    """Return what is planted in a replay from a start on, and what is no fault of the demo's."""
    replayed = [day for day in bug_days(shift) if day >= start]
    fault = "no planted fault (its days come before the first day replayed)"
    if replayed:
        fault = (
            f"planted fault, {replayed[0]:%d %B} to {replayed[-1]:%d %B %Y}: {AIRPORT} sends "
            f"{' and '.join(CELSIUS_COLUMNS)} in Celsius, and {CARRIER} comes as {WRONG_CARRIER}"
        )
    return f"{fault}; not planted: the data package has no weather for the last day"


def _put(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
