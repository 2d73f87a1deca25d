"""What a client can ask of monitors, their executions, baselines and marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from driftline.app.client.connection import Json, in_path
from driftline.app.client.operation_calls import OperationCalls

if TYPE_CHECKING:
    from driftline.monitors.executions import Status as ExecutionStatus
    from driftline.serving.api.answers import Verdict


class MonitorCalls(OperationCalls):
    """Calls about monitors, their executions, baselines and marks."""

    def executions(
        self,
        monitor: str,
        *,
        statuses: Sequence[ExecutionStatus] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = 100,
    ) -> list[Json]:
        """List the executions of a monitor, newest window first.

        Parameters
        ----------
        monitor
            Its name; the history of a deleted one is there, too.
        statuses
            Only these, such as "Failed".
        start, end
            Only of windows that begin in [start, end), aware.
        limit
            So many at most; None: all.
        """
        return self._items(
            "monitors", monitor, "executions", limit=limit, status=list(statuses) or None,
            **{"from": start, "to": end},
        )  # fmt: skip

    def cancel_monitor(
        self, name: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[Json]:
        """Cancel a window of a monitor; by default what is being judged now, else what waits."""
        return self._post("monitors", name, "cancel", body={"from": start, "to": end})["items"]

    def progress(self, monitor: str) -> Json:
        """Return the windows that are being judged (``items``), and the one that waits."""
        return self._get("monitors", monitor, "progress")

    def execution(self, execution: str) -> Json:
        """Return one execution, what it read, and what boto3 says of one."""
        return self._get("executions", execution)

    def execution_log(self, execution: str) -> list[Json]:
        """Return the log of an execution: time and text of each line."""
        return self._get("executions", execution, "log")["items"]

    def report(self, execution: str) -> Json:
        """Return the report of an execution: violations, features, segments."""
        return self._get("executions", execution, "report")

    def first_rows(self, execution: str, violation: int = 0, *, limit: int = 50) -> Json:
        """Return the first rows behind a violation: ``columns``, and ``rows`` as objects."""
        return self._get("executions", execution, "rows", violation=violation, limit=limit)

    def violation_rows(
        self,
        execution: str,
        violation: int | None = None,
        *,
        form: Literal["csv", "parquet"] = "csv",
    ) -> Iterator[bytes]:
        """Return all rows behind a violation, by its place in the report, as a file in pieces.

        Parameters
        ----------
        violation
            None: the rows behind any that alarms.
        form
            "csv" or "parquet".
        """
        which = "" if violation is None else f"/{violation}"
        path = f"/api/v1/executions/{in_path(execution)}/violations{which}/rows"
        return self._stream(path, {"format": form}, again="ask again")

    def run_monitor(
        self, name: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> Json:
        """Run a monitor on one window now; by default on its last whole one."""
        return self._post("monitors", name, "run", body={"from": start, "to": end})

    def backfill_monitor(
        self, name: str, *, start: datetime, end: datetime, again: bool = False
    ) -> Iterator[Json]:
        """Run the windows of a past span that were not run, and return what each request ran.

        Each has the executions (``items``) and how many windows are ``left``. To stop between two
        and to begin anew costs nothing.

        Parameters
        ----------
        start, end
            The span, aware; windows of the schedule that lie within it and before its position.
        again
            Whether to run also those that were run before.
        """
        asked: dict[str, Any] = {"from": start, "to": end, "again": again}
        while asked["from"] is not None:
            answer: Json = self._post("monitors", name, "backfill", body=asked)
            yield answer
            asked["from"] = answer["next"]

    def queue_windows(
        self,
        name: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        again: bool = False,
        whole: bool = False,
    ) -> Json:
        """Have a scheduler run windows, and return at once how many.

        Parameters
        ----------
        start, end
            A past span, aware: windows of the schedule that lie within it. Without them it is the
            last whole window.
        again
            Whether to run also those that were run before.
        whole
            Whether the span is one window, whatever the schedule.
        """
        asked = {"from": start, "to": end, "again": again, "whole": whole}
        return self._post("monitors", name, "queue", body=asked)

    def backtest_monitor(
        self,
        name: str,
        *,
        start: datetime,
        end: datetime,
        window: str | None = None,
        tolerance: float | None = None,
    ) -> Json:
        """Return what a monitor would have done over a captured period; nothing is recorded.

        Parameters
        ----------
        name
            The monitor.
        start, end
            The period, aware; windows that lie within it are judged.
        window, tolerance
            Other windows ("1h", "1d") and another tolerance than the monitor's.
        """
        asked = {"from": start, "to": end, "window": window, "tolerance": tolerance}
        return self._post("monitors", name, "backtest", body=asked)

    def mark_monitor(
        self,
        name: str,
        *,
        window: str | datetime,
        verdict: Verdict,
        reason: str,
        author: str,
        feature: str | None = None,
        check: str | None = None,
        until: datetime | None = None,
        rows: tuple[datetime, datetime] | None = None,
    ) -> Json:
        """Mark what a monitor found in a window as expected, harmful, or the new normal.

        Parameters
        ----------
        window
            Its start, as in links or as a time.
        verdict
            "expected", "harmful" or "new-normal"; docs/annotations.md says what each does.
        reason, author
            Why, and who says so.
        feature, check
            Of which violations; all without them.
        until
            Of "expected": windows that start before it are expected, too.
        rows
            Of "new-normal": start and end of the captured time that the feature's baseline is made
            of; without it from the window's start to now.
        """
        start, end = rows or (None, None)
        asked = {
            "window": window,
            "verdict": verdict,
            "reason": reason,
            "author": author,
            "feature": feature,
            "check": check,
            "until": until,
            "from": start,
            "to": end,
        }
        return self._post("monitors", name, "marks", body=asked)

    def marks(
        self, name: str, *, verdict: Verdict | None = None, limit: int | None = 100
    ) -> list[Json]:
        """List what was said of a monitor's findings, the newest first; or one verdict's."""
        return self._items("monitors", name, "marks", limit=limit, verdict=verdict)

    def withdraw_mark(self, name: str, mark_id: int, *, author: str) -> Json:
        """Take a mark back, with the version of the baseline that it made."""
        path = ("monitors", name, "marks", str(mark_id), "withdraw")
        return self._post(*path, body={"author": author})
