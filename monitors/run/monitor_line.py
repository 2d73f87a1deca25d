"""The standing of a monitor by its windows, for pages and lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice

from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution, WindowState
from driftline.monitors.run.window_queue import RunState

RANKS = {
    "violations": 0, "failed": 1, "overdue": 2, "unlabelled": 3, "insufficient": 3, "empty": 3,
    "stopped": 3, "worse": 4, "partly": 5, "ok": 6, "waiting": 7,
}  # fmt: skip
"""Of monitors by their states on pages, the worst first, and last those with nothing to tell."""


@dataclass(frozen=True)  # Without slots: what follows is worked out once.
class MonitorLine:
    """One monitor with its windows, oldest first.

    ``are_newest``: its windows are the newest ones; else those around an older one, at most
    ``window_count``. ``overdue_since`` is when the next window should have been judged, if it was
    not.
    """

    definition: MonitorDefinition
    baseline_version: str
    runs: tuple[Execution, ...]
    overdue_since: datetime | None = None
    are_newest: bool = True
    window_count: int = 0
    # Windows that are being judged now, where one monitor is shown.
    begun: tuple[RunState, ...] = ()

    @property
    def name(self) -> str:
        """The monitor's name."""
        return self.definition.name

    @property
    def endpoint(self) -> str:
        """The endpoint whose rows it judges."""
        return self.definition.endpoint

    @property
    def kind(self) -> str:
        """The kind, in words."""
        return self.definition.kind.replace("-", " ")

    @property
    def last(self) -> Execution | None:
        """The newest window that was judged; while labels are to come, the one before."""
        judged = (run for run in reversed(self.runs) if run.state != "unlabelled")
        return next(judged, self.runs[-1] if self.runs else None)

    @cached_property
    def standing(self) -> Execution | None:
        """The window that decides its standing: the newest that was judged.

        Where labels come late, the newest in violation, if it is among as many as the default
        alarms look at.
        """
        judged = (run for run in reversed(self.runs) if run.state != "unlabelled")
        watched = islice(judged, self.definition.kind_value.watched_windows)
        return next((run for run in watched if run.state == "violations"), self.last)

    @property
    def labelled(self) -> tuple[int, int] | None:
        """Labelled rows, and all rows, of the newest window with rows; None without labels."""
        last = next((run for run in reversed(self.runs) if run.row_count), None)
        uses_labels = self.definition.kind_value.uses_labels
        if last is None or last.labelled_count is None or not uses_labels:
            return None
        return last.labelled_count, last.row_count

    @property
    def state(self) -> WindowState:
        """The state of the window that decides its standing; ``waiting`` before the first one."""
        return self.standing.state if self.standing else "waiting"

    @property
    def rank(self) -> int:
        """Sort key among monitors, the worst first."""
        return RANKS[self.shown_state]

    @property
    def shown_state(self) -> str:
        """The state as a page names it: "overdue", unless it is worse."""
        is_late = self.overdue_since and RANKS[self.state] > RANKS["overdue"]
        return "overdue" if is_late else self.state
