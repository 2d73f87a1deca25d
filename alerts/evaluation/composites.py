"""Composite alarms follow their children, in the transaction in which those change.

All changes of composites take one lock first, so that of two children that change at once the
second sees the first. Each composite is judged after its children, once for all changes of a
transaction. Actions run at once, or the suppressor holds them; the row stores how, so a process
that dies loses no wait. A put is checked for names and cycles, and judged at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, or_, select, update

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import (
    CompositeRecord,
    StateSince,
    above,
    change_of,
    crowds,
    list_composites,
    parents,
    set_links,
    states_since,
)
from driftline.alerts.alarms.records import (
    COMPOSITE,
    COMPOSITES,
    LOOK_AGAIN,
    METRIC,
    HistoryItem,
    add_history,
    check_channels,
    create_row,
    find_row,
    later,
    update_row,
)
from driftline.alerts.alarms.suppression import NOTHING_HELD, Held, step
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation import wording
from driftline.alerts.notify.event import alarm_path, cause_source, plain_cause
from driftline.alerts.notify.pipeline import notify
from driftline.alerts.tables import alarms, history
from driftline.database.dialects import advisory_lock
from driftline.database.engine import read_connection

# CloudWatch User Guide, "Composite alarms".
_PARENTS_MAX = 150
# Longer waits than a definition may name come of a clock that was far ahead.
_WAIT_MAX = timedelta(days=8)
# Children that a message names with their causes.
_CAUSES_NAMED = 3


def hold_above(connection: Connection, names: Iterable[str]) -> bool:
    """Lock all composites until the end of this transaction if any has one of these as a child.

    Called before notifications are queued: those take locks of their own, and two transactions that
    take the same locks in different orders would deadlock.
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
        states = states_since(connection, _suppressors(found))
        for record in found:
            work.act(record, None, states)
    return names


def _is_due(now: datetime) -> ColumnElement[bool]:
    until = alarms.c.suppressed_until
    return or_(until <= now, until > now + _WAIT_MAX)


@dataclass(slots=True)
class CompositePass:
    """One pass over composites in one transaction, which holds the lock of all composites."""

    connection: Connection
    now: datetime
    dashboard_url: str
    # Of composites that were just put: whether they are new.
    fresh: Mapping[str, bool] = field(default_factory=dict)

    def judge(self, first: Iterable[str], changed: Sequence[StateChange]) -> list[StateChange]:
        """Judge some composites and all above them and above what changed; return their changes."""
        asked = set(first)
        touched = asked | above(self.connection, asked | {one.alarm_name for one in changed})
        records = {one.name: one for one in list_composites(self.connection, sorted(touched))}
        rules = {name: one.definition.rule for name, one in records.items()}
        inner = {name for rule in rules.values() for name in rule.names}
        states = states_since(
            self.connection, inner | _suppressors(records.values()) | set(records)
        )
        latest = {one.alarm_name: one for one in changed}
        found: dict[str, StateChange] = {}
        values = {child: standing.state for child, standing in states.items()}
        for name in _order({name: rule.names for name, rule in rules.items()}):
            record, rule = records[name], rules[name]
            # A state that somebody set stays until a child changes; a grandchild is none.
            is_asked = name in asked or any(child in latest for child in rule.names)
            new = rule.state(values)
            if not is_asked or new == record.state:
                continue
            change = self._change(record, new, latest, states)
            found[name] = latest[name] = change
            states[name], values[name] = StateSince(new, self.now), new
        for name, record in records.items():
            self.act(record, found.get(name), states)
        return list(found.values())

    def act(
        self, record: CompositeRecord, change: StateChange | None, states: Mapping[str, StateSince]
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
            values |= wording.state_columns(change)
            wording.add_state_update(self.connection, change, record)
        elif held == record.held:
            return
        self.connection.execute(update(alarms).where(alarms.c.id == record.id).values(**values))
        if runs_now:
            self._run(record, change or self._owed(record))
        if change is not None and held.is_owed:
            self._note_held(record, change, held)

    def _held(
        self, record: CompositeRecord, change: StateChange | None, states: Mapping[str, StateSince]
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
        names = definition.channels(change.new) if definition.actions_enabled else ()
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
        states: Mapping[str, StateSince],
    ) -> StateChange:
        """Return what changed, and what for: the child that did so last, or the rule itself."""
        children = record.definition.rule.names
        moved = [one for name, one in latest.items() if name in children]
        if record.name in self.fresh or not moved:
            is_new = self.fresh.get(record.name, False)
            reason = wording.judged(record.name, new, is_new=is_new)
            moved_states = {name: states[name] for name in children if name in states}
        else:
            last = max(enumerate(moved), key=lambda pair: (pair[1].time, pair[0]))[1]
            reason = wording.transitioned(last.alarm_name, last.new, last.time)
            moved_states = {one.alarm_name: StateSince(one.new, one.time) for one in moved}
        change = change_of(record, new, reason, wording.triggering(moved_states), self.now)
        return replace(change, note=self._note(children, new, latest, states))

    def _note(
        self,
        children: Iterable[str],
        new: State,
        latest: Mapping[str, StateChange],
        states: Mapping[str, StateSince],
    ) -> Mapping[str, object] | None:
        """Return the note of a change: the causes of its children, and where to look.

        Of an ALARM the children that are in ALARM, those that have just changed first.
        """
        chosen = [name for name in children if name in latest]
        if new == "ALARM":
            firing = {name for name in children if name in states and states[name].state == "ALARM"}
            chosen = sorted(firing, key=lambda name: (name not in latest, name)) or chosen
        if not chosen:
            return None
        causes = [self._cause_of(name, latest.get(name)) for name in chosen[:_CAUSES_NAMED]]
        more = [f"and {len(chosen) - len(causes)} more"] if len(chosen) > len(causes) else []
        return {
            "cause": "; ".join([*(f"{name}: {one.cause}" for name, one in causes), *more]),
            "plain_cause": "; ".join([*(f"{name}: {one.plain}" for name, one in causes), *more]),
            "link": causes[0][1].link,
            "source": causes[0][1].source,
        }

    def _cause_of(self, name: str, change: StateChange | None) -> tuple[str, _Cause]:
        """Return what is known of a child's last change; what CloudWatch says where nothing is."""
        note = self._stored_note(name) if change is None else change.note or {}
        cause = str(note.get("cause") or "")
        if cause:
            plain = cause if change is None else plain_cause(note)
            link = str(note.get("link") or alarm_path(name))
            return name, _Cause(cause, plain, link, cause_source(note))
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
            time=self.now,
            period_end=record.state_changed_at,
            first_breach=None,
            evaluated=(),
            note=self._stored_note(record.name) or None,
        )


class _Cause(NamedTuple):
    """The cause of a composite's child: with values of rows, without, and its link."""

    cause: str
    plain: str
    link: str
    source: Mapping[str, object] = MappingProxyType({})


def _suppressors(records: Iterable[CompositeRecord]) -> set[str]:
    names = (one.definition.suppressor_name for one in records)
    return {name for name in names if name is not None}


def _sane(record: CompositeRecord, now: datetime) -> Held:
    """Return what is held; a wait beyond the longest one comes of a clock that went back."""
    held = record.held
    if held.until is None or held.until <= now + _WAIT_MAX:
        return held
    return Held(held.by, now, held.is_owed)


def put_composites(
    connection: Connection,
    definitions: Sequence[CompositeDefinition],
    now: datetime,
    *,
    dashboard_url: str = "",
) -> list[StateChange]:
    """Store composite alarms, or overwrite those of their names, and judge them.

    They may name each other, in any order. An existing one keeps its state until its rule says
    otherwise; another suppressor restarts the wait, and none ends it.
    """
    advisory_lock(connection, COMPOSITES)
    known = {one.name: one for one in list_composites(connection)}
    fresh: dict[str, bool] = {}
    for definition in definitions:
        check_channels(connection, definition)
        before = known.get(definition.alarm_name)
        if before is None or before.definition != definition:
            fresh[definition.alarm_name] = before is None
            _put(connection, definition, before, now)
    _check_references(connection, [one for one in definitions if one.alarm_name in fresh])
    _check_cycles(connection)
    return CompositePass(connection, now, dashboard_url, fresh).judge(fresh, ())


def _put(
    connection: Connection,
    definition: CompositeDefinition,
    before: CompositeRecord | None,
    now: datetime,
) -> None:
    """Write one definition and whom it looks at."""
    values: dict[str, object] = {"definition": definition.as_dict(), "updated_at": now}
    row = find_row(connection, definition.alarm_name)
    if row is None:
        values |= {"metric_key": "", "seen_revision": LOOK_AGAIN, "seen_at": now}
        alarm_id = create_row(connection, definition, COMPOSITE, values, now)
    elif row.kind == METRIC:
        raise AlarmError(
            f'alarm "{definition.alarm_name}": a metric alarm has this name; expected a name that '
            "is unique among alarms of all kinds"
        )
    else:
        alarm_id, values["updated_at"] = row.id, later(now, row.updated_at)
        # What cannot be read is replaced as a whole.
        if before is None or before.definition.suppressor_name != definition.suppressor_name:
            values |= {"suppressed_by": None, "suppressed_until": None}
        update_row(connection, alarm_id, definition, values, now)
    set_links(connection, alarm_id, definition)


def _check_references(connection: Connection, definitions: Sequence[CompositeDefinition]) -> None:
    """Refuse names of alarms that do not exist, and children with too many parents."""
    names = {name for one in definitions for name in (*one.rule.names, one.suppressor_name or "")}
    known = states_since(connection, names)
    crowded = crowds(connection, names, _PARENTS_MAX)
    for one in definitions:
        if missing := [name for name in one.rule.names if name not in known]:
            # CloudWatch's own sentence.
            raise AlarmError(
                f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm "
                "rule do not exist"
            )
        if one.suppressor_name is not None and one.suppressor_name not in known:
            raise AlarmError(
                f'alarm "{one.alarm_name}": actions_suppressor "{one.suppressor_name}" does not '
                "exist; expected the name or ARN of an alarm"
            )
        for name in one.rule.names:
            if name in crowded:
                raise AlarmError(
                    f'alarm "{one.alarm_name}": {crowded[name]} composite alarms look at "{name}"; '
                    f"expected {_PARENTS_MAX} or fewer"
                )


def _check_cycles(connection: Connection) -> None:
    """Refuse rules that lead back to themselves."""
    try:
        _order({one.name: one.definition.rule.names for one in list_composites(connection)})
    except CycleError as error:
        path = error.args[1][::-1]
        raise AlarmError(
            f'alarm "{path[0]}": its alarm_rule leads back to itself ({" -> ".join(path)}); change '
            "one of these rules"
        ) from error


def _order(children: Mapping[str, Sequence[str]]) -> list[str]:
    """Return composites, each behind those that its rule names; CycleError where none exists."""
    inner = {name: [one for one in below if one in children] for name, below in children.items()}
    return list(TopologicalSorter(inner).static_order())
