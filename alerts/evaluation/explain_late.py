"""Values that are different now from when they decided: "it went off, but the graph shows nothing".

The values that decided stand with the change of state; late datapoints may have changed them since.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import Point
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points

# Reasons and stores round in different places.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A period's value when it decided, and now; None: nothing is there."""

    start: datetime
    decided: float | None
    now: float | None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {"start": self.start.isoformat(), "decided": self.decided, "now": self.now}


def changed_values(
    connection: Connection, record: AlarmRecord, entry: Entry, bands: BandsOf | None
) -> tuple[ChangedValue, ...]:
    """Compare the values that decided an alarm's state with those in the store, oldest first.

    None where the state was set by hand, or is that of a definition that has changed since.
    """
    decided = _decided(record.state_reason_data)
    if not decided or record.updated_at > record.state_changed_at:
        return ()
    period = timedelta(seconds=record.definition.period)
    first, last = min(decided), max(decided)
    if last > record.state_changed_at:
        return ()  # No evaluation wrote that.
    if (last - first) / period > record.definition.range_periods:
        return ()  # Days of a time zone; their borders are not told.
    edges = [first]
    while edges[-1] <= last:
        edges.append(edges[-1] + period)
    question = Question(record.definition, entry.plan, tuple(edges))
    points: list[Point] = []
    for _, found in read_points(connection, [question], bands):
        points = [] if isinstance(found, Exception) else found
    return tuple(
        ChangedValue(point.start, decided[point.start], point.value)
        for point in points
        if point.start in decided and not _is_same(decided[point.start], point.value)
    )


def _decided(text: str | None) -> dict[datetime, float | None]:
    """Read the values of a StateReasonData by the start of their periods; nothing if it is none."""
    try:
        found = json.loads(text or "{}")
        entries = found.get("evaluatedDatapoints", []) if isinstance(found, Mapping) else []
        values = {_time(str(entry["timestamp"])): entry.get("value") for entry in entries}
        return {time: _number(value) for time, value in values.items()}
    # Whoever sets a state may write what looks like ours and is not.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)


def _number(value: object) -> float | None:
    found = float(value) if isinstance(value, int | float) else None
    return found if found is not None and math.isfinite(found) else None


def _is_same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
