"""Composite alarms, read from the database: the rule as a tree, the suppressor, the parents."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.composite_records import CompositeRecord, list_any, states_since
from driftline.alerts.alarms.rule_tree import rule_lines
from driftline.dashboard.queries.alarm_views import CompositeView, SuppressorLine
from driftline.dashboard.queries.alarms import Suppression, alarm_line, held_words, story

PARENTS_SHOWN = 20


def composite_view(connection: Connection, record: CompositeRecord, now: datetime) -> CompositeView:
    """Read everything about one composite alarm."""
    suppression = Suppression.read(connection, now)
    rule = record.definition.rule
    states = {
        name: (one.state, one.since) for name, one in states_since(connection, rule.names).items()
    }
    parents = list_any(connection, parents_of=record.name, limit=PARENTS_SHOWN)
    return CompositeView(
        **story(connection, record, now),
        lines=tuple(rule_lines(rule, states)),
        suppressor=_suppressor(connection, record),
        parents=tuple(alarm_line(connection, one, suppression=suppression) for one in parents),
    )


def _suppressor(connection: Connection, record: CompositeRecord) -> SuppressorLine | None:
    name, periods = record.definition.suppressor_name, record.definition.periods
    if name is None:
        return None
    standing = states_since(connection, [name]).get(name)
    state = None if standing is None else standing.state
    return SuppressorLine(name, state, periods.wait_s, periods.extension_s, held_words(record))
