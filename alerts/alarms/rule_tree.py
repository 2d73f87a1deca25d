"""The rule of a composite alarm as the lines of a tree, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from driftline.alerts.alarms.rule import Condition, Rule

# A node of the tree: what it says, whether it holds, and what it joins.
_Node = tuple[str, bool, list["_Node"], Condition | None]


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One line of a composite's rule drawn as a tree: AND, OR, NOT, or a condition.

    ``depth`` is 0 for the whole rule; ``alarms`` holds (name, state, since) of a condition's
    alarms, since is None for one that does not exist.
    """

    depth: int
    text: str
    holds: bool
    alarms: tuple[tuple[str, str, datetime | None], ...] = ()


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
