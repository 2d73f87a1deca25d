"""Runs the audit once an hour, as metrics that ordinary alarms watch.

For every endpoint it publishes mismatches of the hour that ended last, records dropped since the
hour before, and the share stored and decoded. A failed run publishes nothing: alarms get
insufficient data, not a pass.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.capture.audit.audit import Audit, audit
from driftline.capture.audit.note import note_audit, read_note, write_note
from driftline.capture.audit.report import Coverage
from driftline.capture.spool.backlog import measure
from driftline.database.disconnects import is_disconnect
from driftline.errors import DriftlineError

log = logging.getLogger(__name__)

NAMESPACE = "Driftline"
EVERY_S = 3600.0
_HOUR = timedelta(hours=1)
_FIRST_S = 60.0  # Let the sink take what a stop has left before the first look.
_RETRY_S = 300.0
_NOTE = "hour.json"

Counts = dict[str, Coverage]
_NOTHING = Coverage(0, 0)


class Auditor:
    """Audits an installation every hour."""

    def __init__(
        self,
        engine: Engine,
        root: str,
        *,
        now: Callable[[], datetime],
        spool_dir: Path,
        is_local: bool,
        every_s: float = EVERY_S,
        first_s: float = _FIRST_S,
    ) -> None:
        self._engine = engine
        self._root = root
        self._now = now
        self._spool_dir = spool_dir
        self._is_local = is_local
        self._every_s = every_s
        self._first_s = first_s

    def run(self, stop: threading.Event) -> None:
        """Audit until the event is set."""
        pause_s = self._first_s
        while not stop.wait(pause_s):
            try:
                found = self.step()
                pause_s = self._every_s
            except (DriftlineError, SQLAlchemyError) as error:
                if isinstance(error, SQLAlchemyError) and not is_disconnect(error):
                    raise
                # The message of the database may hold its address.
                said = error if isinstance(error, DriftlineError) else type(error).__name__
                log.warning("audit waits error=%s", said)
                pause_s = min(_RETRY_S, self._every_s)
                continue
            if not found.adds_up:
                log.error(
                    "capture does not add up missing=%d doubled=%d damaged_files=%d",
                    found.missing, found.doubled, len(found.damaged),
                )  # fmt: skip

    def step(self) -> Audit:
        """Audit once, and store findings and metrics."""
        found = audit(
            self._root,
            now=self._now,
            spool_dir=self._spool_dir if self._is_local else None,
        )
        note_audit(self._root, found)
        counts = _counts(found)
        before = self._before(found.time, counts)
        hour = _hour(found.time)
        with self._engine.begin() as connection:
            points = self._points(found, counts, before)
            metrics.put(connection, points, source=f"audit/{hour.isoformat()}")
        return found

    def _before(self, time: datetime, counts: Counts) -> Counts:
        """Return the counts at the end of the hour before; a second run starts there too.

        At the first run there are none: all that was ever dropped is new.
        """
        hour, note = _hour(time).isoformat(), read_note(self._root, _NOTE) or {}
        same = note.get("hour") == hour
        before = note.get("before" if same else "counts", {})
        content = {"hour": hour, "counts": _document(counts), "before": before}
        write_note(self._root, content, _NOTE)
        return {name: Coverage(*numbers) for name, numbers in before.items()}

    def _points(self, found: Audit, counts: Counts, before: Counts) -> list[Datapoint]:
        missing = found.by_endpoint(lambda one: one.missing)
        doubled = found.by_endpoint(lambda one: one.doubled)
        for file in found.damaged:
            endpoint = file.partition("/")[0]
            missing[endpoint] = max(missing.get(endpoint, 0), 1)
        points: list[Datapoint] = []
        for name in {*counts, *missing}:
            new = _since(before.get(name, _NOTHING), counts.get(name, _NOTHING))
            values = {
                "CaptureMissing": missing.get(name, 0),
                "CaptureDoubled": doubled.get(name, 0),
                "CaptureDropped": new.dropped,
            }
            for metric, value in values.items():
                points.append(self._point(metric, {"Endpoint": name}, value, "Count", found.time))
            ratio = replace(new, dropped=new.dropped + missing.get(name, 0)).ratio
            if ratio is not None:
                points.append(
                    self._point("CaptureCoverage", {"Endpoint": name}, ratio, "None", found.time)
                )
        lag_s = measure(self._spool_dir).oldest_s
        host = {"Host": socket.gethostname() or "localhost"}
        return [*points, self._point("CaptureLagSeconds", host, lag_s, "Seconds", found.time)]

    def _point(
        self, name: str, dimensions: dict[str, str], value: float, unit: str, time: datetime
    ) -> Datapoint:
        note: dict[str, Any] | None = None
        if value and name in _CAUSES:
            note = {"cause": _CAUSES[name].format(int(value))}
        return Datapoint(
            NAMESPACE,
            name,
            dimensions,
            _hour(time),
            value=float(value),
            unit=unit,
            period_s=round(_HOUR.total_seconds()),
            note=note,
        )


_CAUSES = {
    "CaptureMissing": "{:,} captured records are in no table and counted nowhere; "
    "driftline capture audit --full says which",
    "CaptureDoubled": "{:,} captured records are stored more than once; "
    "driftline capture audit --full says which",
    "CaptureDropped": "{:,} records could not be captured; driftline capture stats says why",
}


def _counts(found: Audit) -> Counts:
    """Return for each endpoint what was ever stored, dropped, and left undecoded."""
    return {
        name: Coverage(
            found.requests.get(name, 0),
            found.dropped.get(name, 0),
            found.undecodable.get(name, 0),
            found.uncounted.get(name, 0),
        )
        for name in sorted({*found.requests, *found.dropped})
    }


def _hour(time: datetime) -> datetime:
    """Return the start of the last hour that is over."""
    return time.replace(minute=0, second=0, microsecond=0) - _HOUR


def _since(before: Coverage, now: Coverage) -> Coverage:
    """Return what came between two counts; retention may have lowered the count of undecodable."""
    return Coverage(
        max(now.stored - before.stored, 0),
        max(now.dropped - before.dropped, 0),
        max(now.undecodable - before.undecodable, 0),
        max(now.uncounted - before.uncounted, 0),
    )


def _document(counts: Counts) -> dict[str, list[int]]:
    return {name: [*astuple(count)] for name, count in counts.items()}
