"""Replay of a composite alarm on states of its children that are given, with its suppressor."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.reason import INITIAL
from driftline.alerts.alarms.suppression import NOTHING_HELD, Held, Step, step
from driftline.alerts.documents import iso
from driftline.alerts.evaluation.replay_metric import Line
from driftline.alerts.evaluation.wording import judged, transitioned

# A child's state from a time on.
Turn = tuple[datetime, State]


@dataclass(slots=True)
class CompositeReplay:
    """A composite alarm on its way through time.

    It follows its children's changes when they happen, as live composites do; lines only report.
    """

    definition: CompositeDefinition
    turns: Mapping[str, Sequence[Turn]]  # Of its children and its suppressor, each ascending.
    start: datetime  # Changes up to it are how things stood, and run no actions.
    # None: what the rule says at the start, or INSUFFICIENT_DATA if no child has a state by then.
    state: State | None = None
    reason: str = INITIAL
    held: Held = NOTHING_HELD
    _states: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, turns in self.turns.items():
            for time, state in turns:
                if time <= self.start:
                    self._states[name] = state
        names = set(self.definition.rule.names)
        if self.state is None:
            known = not names or names & set(self._states)
            self.state = self.definition.rule.state(self._states) if known else "INSUFFICIENT_DATA"
        if self._suppressor() == "ALARM" and self.held == NOTHING_HELD:
            self.held = Held("Alarm")

    def evaluate(self, times: Iterable[datetime], *, with_cause: bool = False) -> Iterator[Line]:
        """Report at these times, ascending: the state, and the actions that ran since the last."""
        coming = heapq.merge(*(self._coming(name) for name in sorted(self.turns)))
        following = next(coming, None)
        for time in times:
            assert self.state is not None
            previous, ran = self.state, list[State]()
            while following is not None and following[0] <= time:
                at, together = following[0], dict[str, State]()
                while following is not None and following[0] == at:
                    together[following[1]] = following[2]
                    following = next(coming, None)
                ran += self._follow(at, together)
            ran += self._follow(time, {})
            actions = tuple(name for state in ran for name in self._actions(state))
            cause = self._cause() if with_cause else {}
            yield Line(time, self.state, previous, self.reason, self._shown(), actions, cause)

    def _coming(self, name: str) -> Iterator[tuple[datetime, str, State]]:
        for time, state in self.turns[name]:
            if time > self.start:
                yield time, name, state

    def _follow(self, at: datetime, changes: Mapping[str, State]) -> list[State]:
        """Take in what changes at a time; return the states whose actions run."""
        changed = [name for name, state in changes.items() if self._states.get(name) != state]
        self._states |= changes
        before, self.state = self.state, self.definition.rule.state(self._states)
        assert before is not None
        has_changed = before != self.state
        if has_changed:
            self.reason = self._why(at, changed)
        if self.definition.suppressor_name is None:
            return [self.state] if has_changed else []
        found: Step = step(
            self.held,
            self.definition.periods,
            at,
            suppressor=self._suppressor(),
            has_changed=has_changed,
        )
        self.held = found.held
        # A wait that was over before ran the actions of the state up to then.
        return [before] * (found.ran_at is not None) + [self.state] * found.runs_now

    def _why(self, at: datetime, changed: Sequence[str]) -> str:
        named = [name for name in changed if name in self.definition.rule.names]
        if not named:
            assert self.state is not None
            return judged(self.definition.alarm_name, self.state, is_new=True)
        return transitioned(named[-1], self._states[named[-1]], at)

    def _suppressor(self) -> State:
        return self._states.get(self.definition.suppressor_name or "", "INSUFFICIENT_DATA")

    def _actions(self, state: State) -> tuple[str, ...]:
        return self.definition.actions(state) if self.definition.actions_enabled else ()

    def _shown(self) -> tuple[dict[str, object], ...]:
        return tuple(
            {"name": name, "state": self._states.get(name, "INSUFFICIENT_DATA")}
            for name in self.definition.rule.names
        )

    def _cause(self) -> dict[str, object]:
        until = self.held.until
        return {
            "suppressed_by": self.held.by,
            "suppressed_until": None if until is None else iso(until),
            "suppressed_reason": self.held.reason,
        }
