"""Composite alarms, read from the database: the rule as a tree, the suppressor, the parents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.composite_records import CompositeRecord, list_any, states_since
from driftline.alerts.alarms.rule import Condition, Rule
from driftline.dashboard.queries.alarm_views import CompositeView, RuleLine, SuppressorLine
from driftline.dashboard.queries.alarms import Suppression, alarm_line, held_words, story

PARENTS_SHOWN = 20

# A node of the tree: what it says, whether it holds, and what it joins.
_Node = tuple[str, bool, list["_Node"], Condition | None]


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


def rule_lines(rule: Rule, states: Mapping[str, tuple[str, datetime | None]]) -> list[RuleLine]:
    """Lay a rule out as the lines of a tree; AND within AND and OR within OR stand side by side.

    ``states`` are state and since when by name; alarms that are not there have no data.
    """
    values = {name: state for name, (state, _) in states.items()}
    stack: list[_Node] = []
    for step in rule.steps:
        if isinstance(step, Condition):
            stack.append((step.text, step.holds(values), [], step))  # type: ignore[arg-type] # States come as texts
        elif step == "NOT":
            inner = stack.pop()
            stack.append(("NOT", not inner[1], [inner], None))
        else:
            right, left = stack.pop(), stack.pop()
            holds = (left[1] and right[1]) if step == "AND" else (left[1] or right[1])
            parts = [
                node for side in (left, right) for node in (side[2] if side[0] == step else [side])
            ]
            stack.append((step, holds, parts, None))
    # No recursion: people nest deeper than Python does.
    lines: list[RuleLine] = []
    waiting = [(0, stack.pop())]
    while waiting:
        depth, (text, holds, parts, condition) = waiting.pop()
        names = () if condition is None else condition.names
        alarms = tuple((name, *states.get(name, ("INSUFFICIENT_DATA", None))) for name in names)
        lines.append(RuleLine(depth, text, holds, alarms))
        waiting += [(depth + 1, part) for part in reversed(parts)]
    return lines


def _suppressor(connection: Connection, record: CompositeRecord) -> SuppressorLine | None:
    name, periods = record.definition.suppressor_name, record.definition.periods
    if name is None:
        return None
    standing = states_since(connection, [name]).get(name)
    state = None if standing is None else standing.state
    return SuppressorLine(name, state, periods.wait_s, periods.extension_s, held_words(record))
