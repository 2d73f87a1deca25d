"""What people are told of a monitor's standing with its baseline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from driftline.baseline.store import Baseline
from driftline.monitors.commissioning.commission import StableSpan
from driftline.monitors.commissioning.stable import stable_span
from driftline.monitors.commissioning.store import Standing, standing
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.memory.store import Key, read
from driftline.monitors.tables import commissions
from driftline.monitors.violation import JsonValue

__all__ = ["commission_status", "newest_state"]

# How far back a stretch that agrees with itself is looked for.
LOOK_BACK = timedelta(days=28)


def commission_status(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline
) -> dict[str, JsonValue]:
    """Say where a monitor stands with a version of its baseline, as plain JSON values.

    ``state`` is "waiting" before the first window, then "fitting", "fitted", or "accepted";
    ``stable`` is what a baseline could be made of now.
    """
    key = Key.of(definition, baseline.version)
    found = standing(connection, key)
    stable = _stable(connection, key, baseline)
    shown: dict[str, JsonValue] = {
        "monitor": definition.name,
        "baseline": definition.baseline,
        "baseline_version": baseline.version,
        "state": "waiting" if found is None else found.state,
        "begun_at": None,
        "fitted_at": None,
        "held": {},
        "is_shuffled": False,
        "finding": None,
        "told_in": None,
        "accepted_at": None,
        "accepted_by": None,
        "accepted_reason": None,
        "stable": None if stable is None else stable.to_dict(),
    }
    return shown if found is None else shown | _facts(found)


def _facts(found: Standing) -> dict[str, JsonValue]:
    return {
        "begun_at": found.begun_at.isoformat(),
        "fitted_at": _text(found.fitted_at),
        "held": dict(found.held),
        "is_shuffled": found.is_shuffled,
        "finding": found.finding["text"] if found.finding else None,
        "told_in": None if found.told is None else found.told.stamp,
        "accepted_at": _text(found.accepted_at),
        "accepted_by": found.accepted_by,
        "accepted_reason": found.accepted_reason,
    }


def newest_state(connection: Connection, definition: MonitorDefinition) -> str:
    """Say how a monitor stands with the baseline that it judged against last."""
    key = Key.of(definition, "")
    table = commissions.c
    version = connection.scalar(
        select(table.baseline_version)
        .where(table.monitor == key.monitor, table.source == key.source)
        .order_by(table.begun_at.desc())
        .limit(1)
    )
    found = None if version is None else standing(connection, Key.of(definition, version))
    return "waiting" if found is None else found.state


def _stable(connection: Connection, key: Key, baseline: Baseline) -> StableSpan | None:
    ids = {name: one.id for name, one in baseline.cells.items()}
    newest = read(connection, key, datetime.max.replace(tzinfo=UTC), ids, limit=1)
    if not newest or newest[0].end is None:
        return None
    end = newest[0].end
    return stable_span(read(connection, key, end, ids, since=end - LOOK_BACK), baseline.cells)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
