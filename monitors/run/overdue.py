"""Windows that should have been judged by now, and what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from driftline.capture.windows.window import Window
from driftline.monitors.run.status import OVERDUE_AFTER, MonitorState, list_states


@dataclass(frozen=True, slots=True)
class Overdue:
    """A window that should have been judged by now."""

    monitor: str
    endpoint: str
    window: Window
    due_at: datetime  # The window's end and the monitor's delay.
    failure: str | None  # Why it could not be run, where that was tried.


def overdue(
    connection: Connection, now: datetime, known: Sequence[MonitorState] | None = None
) -> list[Overdue]:
    """Return the monitors whose next window should have been judged by now, and was not.

    ``known`` are the states of all monitors, if already read.
    """
    found, states = [], list_states(connection) if known is None else known
    for state in states:
        definition = state.definition
        delay = timedelta(seconds=definition.delay_s)
        window = state.without_missed(now - delay).next_window()
        if window is not None and window.end + delay + OVERDUE_AFTER < now:
            due_at = window.end + delay
            late = Overdue(definition.name, definition.endpoint, window, due_at, state.failure)
            found.append(late)
    return found
