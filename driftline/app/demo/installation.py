"""What the demo asks the running installation: how far it is, and what it has found."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from driftline.app.client.client import Client
from driftline.app.demo.resources import ENDPOINT

if TYPE_CHECKING:
    from driftline.app.client import answers

MOST_ITEMS = 1000  # The interface's own limit; more than a year of daily windows.
# To count what is stored, the server reads the table: so it is asked a tenth of the time at most.
COUNTING_SHARE = 0.1
COUNTING_PAUSE_S = 0.5


class Installation(Client):
    """The client of the demo's installation."""

    _stored_requests = 0
    _count_again_s = 0.0

    def stored_requests(self, sent: int) -> int:
        """Count what was stored a moment ago, of so many sent; when it is all, not again."""
        now = time.monotonic()
        if self._stored_requests < sent and now >= self._count_again_s:
            self._stored_requests = self.capture_stats(ENDPOINT)["requests"]
            took = time.monotonic() - now
            self._count_again_s = now + max(COUNTING_PAUSE_S, took / COUNTING_SHARE)
        return self._stored_requests

    def judged_until(self, monitor: str) -> datetime | None:
        """Return the end of the last window that a monitor has judged; they are judged in order."""
        newest = self.executions(monitor, limit=1)
        return datetime.fromisoformat(newest[0]["window_end"]) if newest else None

    def windows(self, monitor: str) -> dict[datetime, answers.ListedExecution]:
        """Return a monitor's current execution of each window, by the window's start."""
        return {
            datetime.fromisoformat(execution["window_start"]): execution
            for execution in self.executions(monitor, limit=MOST_ITEMS)
            if execution["is_current"]
        }

    def alarm_statuses(self) -> list[dict[str, Any]]:
        """Return the status of each alarm, with its name."""
        return [{"name": alarm["name"], **alarm["status"]} for alarm in self.list("Alarm")]

    def messages(self) -> list[answers.Delivery]:
        """Return the messages, sent and to be sent."""
        return self.deliveries(limit=MOST_ITEMS)
