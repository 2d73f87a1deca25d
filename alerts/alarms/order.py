"""In which order composite alarms are judged, and which of them can never be: pure.

A composite is judged behind the alarms of its rule. Alarms whose rules lead back to themselves
have no order; CloudWatch lets them be stored and keeps their state (User Guide, "Composite
alarms").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """The names of composites, each behind those that it looks at; and those on a cycle."""

    names: tuple[str, ...]
    on_cycle: frozenset[str]


def order(children: Mapping[str, Sequence[str]]) -> Order:
    """Put composites in order by their rules.

    Parameters
    ----------
    children
        For each composite the alarms of its rule; names that are no key are metric alarms.

    References
    ----------
    Tarjan, Depth-first search and linear graph algorithms, 1972: its strongly connected components
    come out children first. Without recursion, for chains may be long.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    names: list[str] = []
    on_cycle: set[str] = set()

    def enter(name: str) -> Iterator[str]:
        index[name] = low[name] = len(index)
        stack.append(name)
        on_stack.add(name)
        return iter(children[name])

    for root in children:
        if root in index:
            continue
        work = [(root, enter(root))]
        while work:
            name, rest = work[-1]
            child = next(rest, None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    names += _component(name, stack, on_stack, children, on_cycle)
            elif child in on_stack:
                low[name] = min(low[name], index[child])
            elif child in children and child not in index:
                work.append((child, enter(child)))
    return Order(tuple(names), frozenset(on_cycle))


def _component(
    first: str,
    stack: list[str],
    on_stack: set[str],
    children: Mapping[str, Sequence[str]],
    on_cycle: set[str],
) -> list[str]:
    """Take the component that begins with a name off the stack; note it if it is a cycle."""
    found: list[str] = []
    while not found or found[-1] != first:
        found.append(stack.pop())
        on_stack.discard(found[-1])
    if len(found) > 1 or first in children[first]:
        on_cycle.update(found)
    return found[::-1]
