"""What people are told of a monitor's standing with its baseline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.results.violation import JsonValue
from driftline.monitors.warm_up.stable import stable_span
from driftline.monitors.warm_up.store import Standing, holds_back, standing
from driftline.monitors.warm_up.warm_up import Finding, StableSpan
from driftline.monitors.warm_up.wording import finding_text
from driftline.monitors.window_history.store import Key, read

# How far back a stretch that agrees with itself is looked for.
LOOK_BACK = timedelta(days=28)


def commission_status(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline
) -> dict[str, JsonValue]:
    """Say where a monitor stands with a version of its baseline, as plain JSON values.

    ``state`` is "waiting" before the first window, then "fitting", "fitted", or "accepted", and
    "exempt" of monitors that hold nothing back; ``held`` and ``finding`` are what is held back now;
    ``stable`` is what a baseline could be made of, within the last 28 days.
    """
    key = Key.of(definition, baseline.version)
    found = standing(connection, key)
    is_asked = holds_back(definition)
    stable = _stable(connection, key, baseline) if is_asked else None
    shown: dict[str, JsonValue] = {
        "monitor": definition.name,
        "baseline": definition.baseline,
        "baseline_version": baseline.version,
        "state": _state(definition, found),
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
    return shown if found is None else shown | _facts(found, stable, definition.name)


def _facts(found: Standing, stable: StableSpan | None, monitor: str) -> dict[str, JsonValue]:
    return {
        "begun_at": found.begun_at.isoformat(),
        "fitted_at": _text(found.fitted_at),
        "held": {} if found.accepted_at else dict(found.held),
        "is_shuffled": found.is_shuffled,
        "finding": _worded(found, stable, monitor) or None,
        "told_in": None if found.told is None else found.told.stamp,
        "accepted_at": _text(found.accepted_at),
        "accepted_by": found.accepted_by,
        "accepted_reason": found.accepted_reason,
    }


def held_now(connection: Connection, definition: MonitorDefinition) -> tuple[str, ...]:
    """Name the columns whose drift a monitor holds back now, in order."""
    found = standing(connection, Key.of(definition, definition.baseline_version or ""))
    return () if found is None else tuple(sorted(found.grounds_now))


def text_now(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline
) -> tuple[str, StableSpan | None]:
    """Word what is held back now, "" for nothing; and give what a baseline could be made of."""
    key = Key.of(definition, baseline.version)
    found, stable = standing(connection, key), _stable(connection, key, baseline)
    return "" if found is None else _worded(found, stable, definition.name), stable


def _worded(found: Standing, stable: StableSpan | None, monitor: str) -> str:
    """Word what is held back as it is now; the ticket was worded by its own window."""
    grounds = found.grounds_now
    if not grounds:
        return ""
    return finding_text(Finding(grounds, found.held, found.is_shuffled, stable), monitor)


def state_now(connection: Connection, definition: MonitorDefinition) -> str:
    """Say in a word how a monitor stands with the version of its baseline that it uses."""
    key = Key.of(definition, definition.baseline_version or "")
    return _state(definition, standing(connection, key))


def _state(definition: MonitorDefinition, found: Standing | None) -> str:
    if not holds_back(definition):
        return "exempt"
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
