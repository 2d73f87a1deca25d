"""Composite alarms follow their children, in the transaction in which those change.

All changes of composites take one lock first, so that of two children that change at once the
second sees the first. They are judged behind the alarms that they look at, each once for all
changes of a transaction; those on a cycle keep their state. Actions run at once, or are held by the
suppressor; how they are held stands in the row, so a process that dies loses no wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, or_, select, update

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite_records import (
    CompositeRecord,
    Standing,
    above,
    change_of,
    list_composites,
    parents,
    standings,
)
from driftline.alerts.alarms.order import order
from driftline.alerts.alarms.records import (
    COMPOSITES,
    HistoryItem,
    add_history,
)
from driftline.alerts.alarms.suppression import NOTHING_HELD, Held, step
from driftline.alerts.evaluation import wording
from driftline.alerts.notify.event import alarm_path, plain_cause
from driftline.alerts.notify.pipeline import notify
from driftline.alerts.tables import alarms, history
from driftline.database.engine import read_connection
from driftline.database.locks import advisory_lock

CYCLE: Final = "EVALUATION_ERROR"
# Longer waits than a definition may name come of a clock that was far ahead.
_WAIT_MAX = timedelta(days=8)
# Children that a message names with their causes.
_CAUSES_NAMED = 3


def hold_above(connection: Connection, names: Iterable[str]) -> bool:
    """Keep all composites to this transaction if any of them looks at one of these alarms.

    Before messages of a change are queued: those take locks of their own, and two transactions
    that take the same locks in different orders would wait for each other for ever.
    """
    is_wanted = bool(parents(connection, names))
    if is_wanted:
        advisory_lock(connection, COMPOSITES)
    return is_wanted


def follow(
    connection: Connection,
    changed: Sequence[StateChange],
    now: datetime,
    *,
    dashboard_url: str = "",
) -> list[StateChange]:
    """Judge the composites above alarms that have just changed, and those above them."""
    if not hold_above(connection, {change.alarm_name for change in changed}):
        return []
    return CompositePass(connection, now, dashboard_url).judge((), changed)


def release(engine: Engine, now: datetime, *, dashboard_url: str = "") -> list[str]:
    """Run the actions whose wait for a suppressor is over; return the names of the composites."""
    with read_connection(engine) as connection:
        if connection.execute(select(alarms.c.id).where(_is_due(now)).limit(1)).first() is None:
            return []
    with engine.begin() as connection:
        advisory_lock(connection, COMPOSITES)
        names = list(connection.scalars(select(alarms.c.name).where(_is_due(now))))
        work = CompositePass(connection, now, dashboard_url)
        found = list_composites(connection, names)
        states = standings(connection, _suppressors(found))
        for record in found:
            work.act(record, None, states)
    return names


def _is_due(now: datetime) -> ColumnElement[bool]:
    until = alarms.c.suppressed_until
    return or_(until <= now, until > now + _WAIT_MAX)


@dataclass(slots=True)
class CompositePass:
    """One pass over composites in one transaction, which holds the lock of all composites.

    Parameters
    ----------
    connection
        The transaction.
    now
        The time that changes carry.
    dashboard_url
        What links in messages begin with.
    fresh
        Of composites that were just put: whether they are new.
    """

    connection: Connection
    now: datetime
    dashboard_url: str
    fresh: Mapping[str, bool] = field(default_factory=dict)

    def judge(self, first: Iterable[str], changed: Sequence[StateChange]) -> list[StateChange]:
        """Judge some composites and all above them and above what changed; return their changes."""
        asked = set(first)
        touched = asked | above(self.connection, asked | {one.alarm_name for one in changed})
        records = {one.name: one for one in list_composites(self.connection, sorted(touched))}
        rules = {name: one.definition.rule for name, one in records.items()}
        inner = {name for rule in rules.values() for name in rule.names}
        states = standings(self.connection, inner | _suppressors(records.values()) | set(records))
        latest = {one.alarm_name: one for one in changed}
        found: dict[str, StateChange] = {}
        values = {child: standing.state for child, standing in states.items()}
        for name in order({name: rule.names for name, rule in rules.items()}).names:
            record, rule = records[name], rules[name]
            # A state that somebody set stays until a child changes; a grandchild is none.
            is_asked = name in asked or any(child in latest for child in rule.names)
            new = rule.state(values)
            if not is_asked or record.evaluation_state == CYCLE or new == record.state:
                continue
            change = self._change(record, new, latest, states)
            found[name] = latest[name] = change
            states[name], values[name] = Standing(new, self.now), new
        for name, record in records.items():
            self.act(record, found.get(name), states)
        return list(found.values())

    def act(
        self, record: CompositeRecord, change: StateChange | None, states: Mapping[str, Standing]
    ) -> None:
        """Store a composite's change, if any, and run its actions as its suppressor lets them."""
        if record.definition.suppressor_name is None:
            held, runs_now = NOTHING_HELD, change is not None
            if record.held.is_owed:  # Its suppressor was taken away while it held something.
                self._run(record, self._owed(record))
        else:
            held, runs_now = self._held(record, change, states)
        old = record.held_from if change is None else change.old
        values: dict[str, object] = {
            "suppressed_by": held.by,
            "suppressed_until": held.until,
            "held_from": old if held.is_owed else None,
        }
        if change is not None:
            values |= _state_values(change)
            wording.add_state_update(self.connection, change, record)
        elif held == record.held:
            return
        self.connection.execute(update(alarms).where(alarms.c.id == record.id).values(**values))
        if runs_now:
            self._run(record, change or self._owed(record))
        if change is not None and held.is_owed:
            self._note_held(record, change, held)

    def _held(
        self, record: CompositeRecord, change: StateChange | None, states: Mapping[str, Standing]
    ) -> tuple[Held, bool]:
        definition = record.definition
        suppressor = states.get(definition.suppressor_name or "")
        before = _sane(record, self.now)
        found = step(
            before,
            definition.periods,
            self.now,
            suppressor="INSUFFICIENT_DATA" if suppressor is None else suppressor.state,
            # What another suppressor held begins its wait anew.
            has_changed=change is not None or (before.is_owed and before.by is None),
        )
        if found.ran_at is not None:
            self._run(record, self._owed(record))
        return found.held, found.runs_now

    def _run(self, record: CompositeRecord, change: StateChange) -> None:
        notify(
            self.connection,
            change,
            record.definition,
            dashboard_url=self.dashboard_url,
            configured_at=record.updated_at,
            suppressed_by=record.held.by,
        )

    def _note_held(self, record: CompositeRecord, change: StateChange, held: Held) -> None:
        """Write to the history that actions are held, if there are any to hold."""
        definition = record.definition
        names = definition.actions(change.new) if definition.actions_enabled else ()
        if not names:
            return
        data = {
            "actionState": "Suppressed",
            "stateUpdateTimestamp": round(self.now.timestamp() * 1000),
            "actionsSuppressedBy": held.by,
            "actionsSuppressedReason": held.reason,
            "actionsSuppressor": definition.suppressor_name,
            "notificationResources": list(names),
            "seq": change.seq,
        }
        summary = f"Actions for {change.new} suppressed by {held.by}"
        item = HistoryItem(record.name, self.now, "Action", summary, data)
        add_history(self.connection, alarm_id=record.id, item=item)

    def _change(
        self,
        record: CompositeRecord,
        new: State,
        latest: Mapping[str, StateChange],
        states: Mapping[str, Standing],
    ) -> StateChange:
        """Say what changed, and what for: the child that did so last, or the rule itself."""
        children = record.definition.rule.names
        moved = [one for name, one in latest.items() if name in children]
        if record.name in self.fresh or not moved:
            is_new = self.fresh.get(record.name, False)
            reason = wording.judged(record.name, new, is_new=is_new)
            told = {name: states[name] for name in children if name in states}
        else:
            last = max(enumerate(moved), key=lambda pair: (pair[1].time, pair[0]))[1]
            reason = wording.transitioned(last.alarm_name, last.new, last.time)
            told = {one.alarm_name: Standing(one.new, one.time) for one in moved}
        change = change_of(record, new, reason, wording.triggering(told), self.now)
        return replace(change, note=self._note(children, new, latest, states))

    def _note(
        self,
        children: Iterable[str],
        new: State,
        latest: Mapping[str, StateChange],
        states: Mapping[str, Standing],
    ) -> Mapping[str, object] | None:
        """Return what people are told of a change: the causes of its children, and where to look.

        Of an ALARM the children that are in ALARM, those that have just changed first.
        """
        chosen = [name for name in children if name in latest]
        if new == "ALARM":
            firing = {name for name in children if name in states and states[name].state == "ALARM"}
            chosen = sorted(firing, key=lambda name: (name not in latest, name)) or chosen
        if not chosen:
            return None
        told = [self._told(name, latest.get(name)) for name in chosen[:_CAUSES_NAMED]]
        more = [f"and {len(chosen) - len(told)} more"] if len(chosen) > len(told) else []
        return {
            "cause": "; ".join([*(f"{name}: {one.cause}" for name, one in told), *more]),
            "plain_cause": "; ".join([*(f"{name}: {one.plain}" for name, one in told), *more]),
            "link": told[0][1].link,
        }

    def _told(self, name: str, change: StateChange | None) -> tuple[str, _Cause]:
        """Return what is known of a child's last change; what CloudWatch says where nothing is."""
        note = self._stored_note(name) if change is None else change.note or {}
        cause = str(note.get("cause") or "")
        if cause:
            plain = cause if change is None else plain_cause(note)
            return name, _Cause(cause, plain, str(note.get("link") or alarm_path(name)))
        query = select(alarms.c.state_reason).where(alarms.c.name == name)
        reason = change.reason if change is not None else str(self.connection.scalar(query) or "")
        return name, _Cause(reason, reason, alarm_path(name))

    def _stored_note(self, name: str) -> Mapping[str, object]:
        """Return the note of an alarm's last change, as its history keeps it."""
        query = (
            select(history.c.data)
            .where(history.c.alarm_name == name, history.c.type == "StateUpdate")
            .order_by(history.c.id.desc())
            .limit(1)
        )
        found: Mapping[str, Mapping[str, object]] = self.connection.scalar(query) or {}
        return found.get("note", {})

    def _owed(self, record: CompositeRecord) -> StateChange:
        return replace(_owed(record, self.now), note=self._stored_note(record.name) or None)


class _Cause(NamedTuple):
    """What a child of a composite has to say: with values of rows, without, and where to look."""

    cause: str
    plain: str
    link: str


def _suppressors(records: Iterable[CompositeRecord]) -> set[str]:
    names = (one.definition.suppressor_name for one in records)
    return {name for name in names if name is not None}


def _sane(record: CompositeRecord, now: datetime) -> Held:
    """Return what is held; a wait beyond the longest one comes of a clock that went back."""
    held = record.held
    if held.until is None or held.until <= now + _WAIT_MAX:
        return held
    return Held(held.by, now, held.is_owed)


def _owed(record: CompositeRecord, now: datetime) -> StateChange:
    """Return the change whose actions were held: the one that led to the state as it stands."""
    return StateChange(
        alarm_id=record.id,
        alarm_name=record.name,
        seq=record.state_seq,
        old=record.held_from or record.state,
        new=record.state,
        reason=record.state_reason,
        reason_data=record.state_reason_data or "",
        # Silences, limits and groups are asked about now, when the actions run.
        time=now,
        period_end=record.state_changed_at,
        first_breach=None,
        evaluated=(),
    )


def _state_values(change: StateChange) -> dict[str, object]:
    return {
        "state": change.new,
        "state_reason": change.reason,
        "state_reason_data": change.reason_data,
        "state_changed_at": change.time,
        "state_updated_at": change.time,
        "state_seq": change.seq,
    }
