"""What the pages ask for, answered from the database and the storage root.

This file and queries.py are the only ones that read state. The storage root holds documents,
baselines and captured rows; SQL, which queries.py reads, holds the rest. Nothing here writes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from sqlalchemy import Engine

from driftline.alerts.alarms import list_alarms
from driftline.baseline import store
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.capture.dataset import CaptureStats, Dataset
from driftline.capture.table import open_storage
from driftline.capture.window import Window, WindowRead, read_window, unfit_counts
from driftline.dashboard.alarm_frames import AlarmsView, AlarmView
from driftline.dashboard.alarm_queries import alarm_lines, alarm_view, changes
from driftline.dashboard.comparison import compare
from driftline.dashboard.documents import (
    Document,
    culprit,
    detail_of,
    finding_of,
    segment_of,
)
from driftline.dashboard.frames import (
    Comparison,
    EndpointLine,
    FeatureLine,
    GuiltyRows,
    MonitorLine,
    MonitorView,
    OverviewView,
    WindowRun,
)
from driftline.dashboard.queries import deliveries, folder_of, monitor_line
from driftline.dashboard.wording import moment, plural
from driftline.errors import DriftlineError, NotFoundError
from driftline.monitors.culprits import matching_rows
from driftline.monitors.definitions import get_definition, list_definitions

__all__ = ["Stores"]

log = logging.getLogger(__name__)

ROWS_SHOWN = 50
CAPTURE_FRESH_S = 10.0
"""Counting a capture table reads all of it, so a count serves for so long."""

BASELINES_KEPT = 8
IDS = ("event_id", "event_time", "inference_id", "row_index")


class Stores:
    """What the pages ask; safe to use from several threads.

    Parameters
    ----------
    engine
        The installation's database.
    root
        Storage root, a path or URI.
    now
        The clock by which ages are told.
    """

    def __init__(self, engine: Engine, root: str, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self.root = root
        self.now = now
        self._lock = threading.Lock()
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._stats: dict[str, tuple[float, CaptureStats]] = {}

    def overview(self) -> OverviewView:
        """Give everything that the first page shows."""
        with self.engine.connect() as connection:
            records = list_alarms(connection)
            alarms = alarm_lines(connection)
            monitors = tuple(
                monitor_line(connection, definition, records)
                for definition in list_definitions(connection)
            )
            sent = deliveries(connection)
        return OverviewView(
            now=self.now(),
            monitors=monitors,
            endpoints=tuple(self._endpoints(monitors)),
            alarms=alarms,
            deliveries=sent,
        )

    def alarms(self, state: str | None = None, text: str | None = None) -> AlarmsView:
        """Give all alarms, and say which of them are asked for."""
        with self.engine.connect() as connection:
            return AlarmsView(self.now(), alarm_lines(connection), state, text)

    def alarm(self, name: str) -> AlarmView:
        """Give one alarm with its metric, its history and its messages.

        Raises
        ------
        NotFoundError
            When there is no such alarm.
        """
        with self.engine.connect() as connection:
            return alarm_view(connection, name, self.now())

    def monitor(
        self, name: str, window: str | None, feature: str | None, keep: str | None = None
    ) -> MonitorView:
        """Give one monitor in one window, the newest when unset, and one of its features.

        ``keep`` is the feature of the window before, shown again if this window has it.

        Raises
        ------
        NotFoundError
            When there is no such monitor, or no such window or feature of it.
        """
        with self.engine.connect() as connection:
            definition = get_definition(connection, name)
            alarms = list_alarms(connection)
            line = monitor_line(connection, definition, alarms)
            run = _choose(line, window)
            folder = folder_of(connection, run.execution) if run else ""
            past = changes(connection, alarms, line)
        view = MonitorView(self.now(), line, None, None, None, None, past)
        if run is None:
            return view
        report = self._document(folder)
        detail = replace(detail_of(run, report), documents=folder if report else None)
        if feature is None and keep is not None and detail.feature(keep):
            feature = keep
        chosen = detail.feature(feature)
        if chosen is None and feature is not None and detail.features:
            raise NotFoundError(f'feature "{feature}" is not one of monitor "{name}"')
        view = replace(view, detail=detail, feature=chosen, kept=feature or keep)
        return view if chosen is None else self._with_rows(view, report, chosen)

    def _with_rows(
        self, view: MonitorView, report: Document | None, feature: FeatureLine
    ) -> MonitorView:
        """Add what needs the captured rows; what cannot be read is said on the page."""
        assert view.detail is not None
        line, run = view.monitor, view.detail.run
        try:
            found = culprit(report, feature.name)
            baseline = self._baseline(line.baseline, line.baseline_version)
            comparison = self._comparison(baseline, line, run, feature, found)
            rows = None if found is None else self._rows(baseline, line, run, found)
        except (DriftlineError, OSError, pa.ArrowException) as error:
            log.exception("rows_unreadable monitor=%s window=%s", line.name, run.stamp)
            # Only the first line: what libraries add below it is for the log.
            lines = str(error).splitlines() if isinstance(error, DriftlineError) else []
            reason = lines[0] if lines else type(error).__name__
            return replace(view, notes=(f"The captured rows cannot be read: {reason}",))
        return replace(
            view, comparison=comparison, rows=rows, notes=_since_judged(line, run, comparison)
        )

    def _comparison(
        self,
        baseline: Baseline,
        line: MonitorLine,
        run: WindowRun,
        feature: FeatureLine,
        found: tuple[Document, Predicate] | None,
    ) -> Comparison | None:
        """Count one feature's rows of a window on the baseline's own cells."""
        name = feature.name
        cells = baseline.cells.get(name)
        profile = baseline.profile.columns.get(name) if baseline.profile else None
        if cells is None or profile is None or profile.cell_counts is None:
            return None
        counts = np.zeros(cells.size, dtype=np.int64)
        for batch in self._read(baseline, line, run, [name]).batches():
            counts += cells.count(batch.column(name), unfit_counts(batch).get(name, 0))
        if counts.sum() == 0:
            return None
        by_drift = feature.what if feature.tells_drift else None
        return compare(cells, profile.cell_counts, counts, moved=found[1] if found else by_drift)

    def _rows(
        self,
        baseline: Baseline,
        line: MonitorLine,
        run: WindowRun,
        found: tuple[Document, Predicate],
    ) -> GuiltyRows:
        """Read the first rows that meet a violation's condition."""
        violation, predicate = found
        names = [*IDS, *(column.name for column in baseline.signature.inputs)]
        if predicate.column not in names:
            names.append(predicate.column)
        batches = self._read(baseline, line, run, names).batches()
        table = matching_rows(batches, predicate, limit=ROWS_SHOWN)
        texts = {name: _texts(table.column(name)) for name in table.column_names}
        blank = ("",) * table.num_rows
        others = [name for name in names if name not in (*IDS, predicate.column) and name in texts]
        total = violation.get("row_count")
        check, words = finding_of(violation)
        return GuiltyRows(
            feature=predicate.column,
            total=total if isinstance(total, int) else table.num_rows,
            predicate=str(predicate),
            segment=segment_of(violation),
            events=texts.get("event_id", blank),
            times=texts.get("event_time", blank),
            offending=texts.get(predicate.column, blank),
            columns=tuple(others),
            records=tuple(zip(*(texts[name] for name in others), strict=True)),
            check=check,
            words=words,
            phrase=predicate.phrase,
        )

    def _read(
        self, baseline: Baseline, line: MonitorLine, run: WindowRun, columns: list[str]
    ) -> WindowRead:
        window = Window(run.start, run.end)
        return read_window(self.root, line.endpoint, window, baseline.signature, columns=columns)

    def _baseline(self, name: str, version: str) -> Baseline:
        """Load a version of a baseline once; versions never change."""
        key = (name, version)
        with self._lock:
            known = self._baselines.get(key)
        if known is None:
            known = store.get(self.root, name, version)
            with self._lock:
                if len(self._baselines) >= BASELINES_KEPT:
                    self._baselines.pop(next(iter(self._baselines)))
                self._baselines[key] = known
        return known

    def _document(self, folder: str) -> Document | None:
        """Read an execution's report.json; none when it wrote none or retention took it."""
        if not folder:
            return None
        filesystem, path = open_storage(self.root)
        try:
            with filesystem.open_input_stream(f"{path}/{folder}/report.json") as stream:
                found = json.loads(stream.read())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _endpoints(self, monitors: Iterable[MonitorLine]) -> Iterable[EndpointLine]:
        """Count the capture of each endpoint that has rows or a monitor."""
        watched: dict[str, list[MonitorLine]] = {name: [] for name in self._captured()}
        for line in monitors:
            watched.setdefault(line.endpoint, []).append(line)
        for name, lines in sorted(watched.items()):
            monitors_of = tuple(line.name for line in lines)
            try:
                stats = self._capture_stats(name)
            except (DriftlineError, OSError, ValueError, pa.ArrowException):
                # A broken table must not hide the alarms, nor the other endpoints.
                log.exception("capture_unreadable endpoint=%s", name)
                yield EndpointLine(name, None, None, None, None, None, monitors_of)
                continue
            yield EndpointLine(
                name=name,
                requests=stats.requests,
                rows=stats.rows,
                lost=stats.dropped,
                size_bytes=stats.size_bytes,
                newest=stats.newest,
                monitors=monitors_of,
            )

    def _captured(self) -> list[str]:
        """List the endpoints that have a folder of captured rows."""
        filesystem, path = open_storage(self.root)
        selector = pafs.FileSelector(f"{path}/capture", allow_not_found=True)
        entries = filesystem.get_file_info(selector)
        return [entry.base_name for entry in entries if entry.type == pafs.FileType.Directory]

    def _capture_stats(self, endpoint: str) -> CaptureStats:
        with self._lock:
            known = self._stats.get(endpoint)
        if known is not None and time.monotonic() - known[0] < CAPTURE_FRESH_S:
            return known[1]
        stats = Dataset(self.root, endpoint).stats()
        with self._lock:
            self._stats[endpoint] = (time.monotonic(), stats)
        return stats


def _choose(line: MonitorLine, stamp: str | None) -> WindowRun | None:
    """Find the window that was asked for; the newest when none was."""
    if stamp is None:
        return line.last
    found = next((run for run in line.runs if run.stamp == stamp), None)
    if found is None:
        raise NotFoundError(f'monitor "{line.name}" has no window "{stamp}"')
    return found


def _since_judged(
    line: MonitorLine, run: WindowRun, comparison: Comparison | None
) -> tuple[str, ...]:
    """Say so when other rows lie in the window now than were judged."""
    # Only this kind judges every captured row.
    if comparison is None or run.row_count is None or line.kind != "data quality":
        return ()
    held = comparison.window_rows
    if held == run.row_count:
        return ()
    times = f"--from {run.start:%Y-%m-%dT%H:%M:%SZ} --to {run.end:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"Judged were {plural(run.row_count, 'row')}; the window holds {plural(held, 'row')} now, "
        "which is what the chart counts. To judge those: "
        f"driftline monitor run {line.name} {times}",
    )


def _texts(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Write a column's values as a reader would; missing ones are empty."""
    return tuple(_text(value) for value in column.to_pylist())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
