"""One line of a replay: what an evaluation came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from driftline.alerts.alarms.alarm import State
from driftline.alerts.times import iso


@dataclass(frozen=True, slots=True)
class Line:
    """One evaluation.

    Parameters
    ----------
    time
        When it was done.
    state, previous
        The state after it, and before it.
    reason
        CloudWatch's StateReason: that of the last change of state.
    datapoints
        What was judged, oldest first, as plain JSON values.
    actions
        Names of the channels that are told at this moment.
    cause
        More fields: which rule decided, and over what.
    """

    time: datetime
    state: State
    previous: State
    reason: str
    datapoints: tuple[Mapping[str, object], ...]
    actions: tuple[str, ...]
    cause: Mapping[str, object] = field(default_factory=dict)

    def because(self, cause: Mapping[str, object]) -> Line:
        """Return the same line with its cause."""
        return replace(self, cause=dict(cause))

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "time": iso(self.time),
            "state": self.state,
            "previous": self.previous,
            "reason": self.reason,
            "datapoints": [dict(one) for one in self.datapoints],
            "actions": list(self.actions),
            **self.cause,
        }
