"""Questions to the database about composite alarms: the rule as a tree, the suppressor, parents."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.composite_records import (
    CompositeRecord,
    list_any,
    standings,
)
from driftline.alerts.alarms.rule import Condition, Rule
from driftline.dashboard.queries.alarm_views import CompositeView, RuleLine, SuppressorLine
from driftline.dashboard.queries.alarms import (
    alarm_line,
    changes_of,
    explained,
)
from driftline.dashboard.queries.messages import channels_of, messages_of
from driftline.dashboard.queries.suppression import Surroundings, held_words

PARENTS_SHOWN = 20

# A node of the tree: what it says, whether it holds, and what it joins.
_Node = tuple[str, bool, list["_Node"], Condition | None]


def composite_view(connection: Connection, record: CompositeRecord, now: datetime) -> CompositeView:
    """Read everything about one composite alarm."""
    around = Surroundings.read(connection, now)
    why, why_not = explained(connection, record.name, now, None)
    found = list_any(connection, parents_of=record.name, limit=PARENTS_SHOWN)
    return CompositeView(
        now=now,
        alarm=alarm_line(connection, record, around=around),
        description=record.definition.alarm_description,
        changed_at=record.updated_at,
        lines=_lines(connection, record.definition.rule),
        suppressor=_suppressor(connection, record),
        parents=tuple(alarm_line(connection, one, around=around) for one in found),
        changes=changes_of(connection, record),
        messages=messages_of(connection, alarm=record.name),
        channels=channels_of(connection, record.definition),
        why=why,
        why_not=why_not,
        silences=around.silences_of(record),
    )


def rule_lines(rule: Rule, states: dict[str, tuple[str, datetime | None]]) -> list[RuleLine]:
    """Lay a rule out as the lines of a tree; AND within AND and OR within OR stand side by side.

    Parameters
    ----------
    states
        State and since when by name; alarms that are not there have no data.
    """
    known = {name: found[0] for name, found in states.items()}
    stack: list[_Node] = []
    for step in rule.steps:
        if isinstance(step, Condition):
            stack.append((step.text, step.holds(known), [], step))  # type: ignore[arg-type] # States come as texts
        elif step == "NOT":
            inner = stack.pop()
            stack.append(("NOT", not inner[1], [inner], None))
        else:
            right, left = stack.pop(), stack.pop()
            holds = (left[1] and right[1]) if step == "AND" else (left[1] or right[1])
            parts = [
                one for side in (left, right) for one in (side[2] if side[0] == step else [side])
            ]
            stack.append((step, holds, parts, None))
    # No recursion: people nest deeper than Python does.
    found: list[RuleLine] = []
    waiting = [(0, stack.pop())]
    while waiting:
        depth, (text, holds, parts, condition) = waiting.pop()
        names = () if condition is None else condition.names
        alarms = tuple((name, *states.get(name, ("INSUFFICIENT_DATA", None))) for name in names)
        found.append(RuleLine(depth, text, holds, alarms))
        waiting += [(depth + 1, part) for part in reversed(parts)]
    return found


def _lines(connection: Connection, rule: Rule) -> tuple[RuleLine, ...]:
    found = standings(connection, rule.names)
    return tuple(rule_lines(rule, {name: (one.state, one.since) for name, one in found.items()}))


def _suppressor(connection: Connection, record: CompositeRecord) -> SuppressorLine | None:
    name = record.definition.suppressor_name
    if name is None:
        return None
    standing = standings(connection, [name]).get(name)
    periods = record.definition.periods
    return SuppressorLine(
        name,
        None if standing is None else standing.state,
        periods.wait_s,
        periods.extension_s,
        held_words(record),
    )
