"""What people see of a monitor's warm-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.results.violation import JsonValue
from driftline.monitors.warm_up.stable_span import stable_span
from driftline.monitors.warm_up.store import WarmUpStatus, has_warm_up, read_status
from driftline.monitors.warm_up.warm_up import StableSpan, SuppressedDrift
from driftline.monitors.window_history.store import Key, read

# How far back a span that agrees with itself is looked for.
LOOK_BACK = timedelta(days=28)


def describe_warm_up(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline
) -> dict[str, JsonValue]:
    """Return the status of a monitor with a version of its baseline as plain JSON values.

    ``state`` is "waiting" before the first window, then "fitting", "fitted", or "accepted", and
    "exempt" of monitors that suppress nothing; ``held`` and ``finding`` are what is suppressed now;
    ``stable`` is what a baseline could be made of, within the last 28 days.
    """
    key = Key.of(definition, baseline.version)
    status = read_status(connection, key)
    stable = _stable(connection, key, baseline) if has_warm_up(definition) else None
    reported_in = None if status is None else status.reported_in
    is_accepted = status is not None and status.accepted_at is not None
    return {
        "monitor": definition.name,
        "baseline": definition.baseline,
        "baseline_version": baseline.version,
        "state": _state(definition, status),
        "begun_at": None if status is None else status.begun_at.isoformat(),
        "fitted_at": None if status is None else _text(status.ended_at),
        "held": {} if status is None or is_accepted else dict(status.misfits),
        "is_shuffled": False,
        "finding": _described(status, stable, definition.name) or None,
        "told_in": None if reported_in is None else reported_in.stamp,
        "accepted_at": None if status is None else _text(status.accepted_at),
        "accepted_by": None if status is None else status.accepted_by,
        "accepted_reason": None if status is None else status.accepted_reason,
        "stable": None if stable is None else stable.to_dict(),
    }


def suppressed_columns(connection: Connection, definition: MonitorDefinition) -> tuple[str, ...]:
    """Return the columns whose drift a monitor suppresses now, in order."""
    status = read_status(connection, Key.of(definition, definition.baseline_version or ""))
    return () if status is None else tuple(sorted(status.reasons_now))


def suppressed_now(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline
) -> tuple[str, StableSpan | None]:
    """Describe what is suppressed now, "" for nothing; and what a baseline could be made of."""
    key = Key.of(definition, baseline.version)
    status, stable = read_status(connection, key), _stable(connection, key, baseline)
    return _described(status, stable, definition.name), stable


def _described(status: WarmUpStatus | None, stable: StableSpan | None, monitor: str) -> str:
    """Describe what is suppressed as it is now; the ticket has the words of its own window."""
    reasons = {} if status is None else status.reasons_now
    if status is None or not reasons:
        return ""
    return SuppressedDrift(reasons, status.misfits, stable).describe(monitor)


def state_now(connection: Connection, definition: MonitorDefinition) -> str:
    """Return the state of a monitor with the version of its baseline that it uses, in a word."""
    key = Key.of(definition, definition.baseline_version or "")
    return _state(definition, read_status(connection, key))


def _state(definition: MonitorDefinition, status: WarmUpStatus | None) -> str:
    if not has_warm_up(definition):
        return "exempt"
    return "waiting" if status is None else status.state


def _stable(connection: Connection, key: Key, baseline: Baseline) -> StableSpan | None:
    ids = {name: cells.id for name, cells in baseline.cells.items()}
    newest = read(connection, key, datetime.max.replace(tzinfo=UTC), ids, limit=1)
    if not newest or newest[0].end is None:
        return None
    end = newest[0].end
    return stable_span(read(connection, key, end, ids, since=end - LOOK_BACK), baseline.cells)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
