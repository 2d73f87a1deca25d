"""What the demo asks the running installation: how far it is, and what it has found."""

from __future__ import annotations

import time
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from driftline.app.demo.resources import ENDPOINT
from driftline.errors import UnavailableError

TIMEOUT_S = 60.0
MOST_ITEMS = 1000  # The interface's own limit; more than a year of daily windows.
# To count what is stored, the server reads the table: so it is asked a tenth of the time at most.
COUNTING_SHARE = 0.1
COUNTING_PAUSE_S = 0.5


class House:
    """Reads /api/v1 of one server.

    Raises
    ------
    UnavailableError
        From every question that is not answered with 200.
    """

    def __init__(self, server_url: str) -> None:
        self._http = httpx.Client(base_url=f"{server_url}/api/v1", timeout=TIMEOUT_S)
        self._stored_requests = 0
        self._count_again_s = 0.0

    def __enter__(self) -> House:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def stored_requests(self) -> int:
        """Count what was stored a moment ago."""
        now = time.monotonic()
        if now >= self._count_again_s:
            self._stored_requests = self._get(f"/endpoints/{ENDPOINT}/capture")["requests"]
            took = time.monotonic() - now
            self._count_again_s = now + max(COUNTING_PAUSE_S, took / COUNTING_SHARE)
        return self._stored_requests

    def judged_until(self, monitor: str) -> datetime | None:
        """Give the end of the last window that a monitor has judged; they are judged in order."""
        newest = self._items(f"/monitors/{monitor}/executions", limit=1)
        return datetime.fromisoformat(newest[0]["window_end"]) if newest else None

    def executions(self, monitor: str) -> dict[datetime, dict[str, Any]]:
        """Give a monitor's current execution of each window, by the window's start."""
        found = self._items(f"/monitors/{monitor}/executions")
        return {
            datetime.fromisoformat(one["window_start"]): one for one in found if one["is_current"]
        }

    def report(self, execution_id: str) -> dict[str, Any]:
        """Give the report of an execution, as it lies in report.json."""
        return self._get(f"/executions/{execution_id}/report")

    def rows(self, execution_id: str, violation: int, limit: int) -> list[dict[str, Any]]:
        """Give rows behind a violation, as a page would show them."""
        path = f"/executions/{execution_id}/rows"
        found: list[dict[str, Any]] = self._get(path, violation=violation, limit=limit)["rows"]
        return found

    def alarms(self) -> list[dict[str, Any]]:
        """Give the state of each alarm, with its name."""
        return [{"name": one["name"], **one["status"]} for one in self._items("/alarms")]

    def history(self, alarm: str) -> list[dict[str, Any]]:
        """Give an alarm's history."""
        return self._items(f"/alarms/{quote(alarm, safe='')}/history")

    def deliveries(self) -> list[dict[str, Any]]:
        """Give the messages, sent and to be sent."""
        return self._items("/deliveries")

    def _items(self, path: str, **query: int) -> list[dict[str, Any]]:
        listed = self._get(path, **{"limit": MOST_ITEMS, **query})
        found: list[dict[str, Any]] = listed["items"]
        return found

    def _get(self, path: str, **query: int) -> dict[str, Any]:
        try:
            response = self._http.get(path, params=query)
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self._http.base_url}: no answer ({error})") from error
        if response.status_code != httpx.codes.OK:
            raise UnavailableError(
                f"GET {path}: answer {response.status_code} {response.text:.300}"
            )
        found: dict[str, Any] = response.json()
        return found
