"""Reads documents, baselines and captured rows of the storage root."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from driftline.access.principal import CURRENT
from driftline.baseline import store, versions
from driftline.baseline.cache import BaselineCache
from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.baseline.versions import BaselineVersion
from driftline.capture.audit.note import read_note
from driftline.capture.audit.report import Coverage, EndpointReport, audited_coverage, report
from driftline.capture.windows.window import Window, WindowRead, unfit_counts
from driftline.dashboard.queries import views
from driftline.dashboard.words import moment
from driftline.errors import DriftlineError, NotFoundError, UnavailableError
from driftline.monitors.executions import Execution, require_storage
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import lacking
from driftline.monitors.kinds.conditions import with_baseline, with_rows
from driftline.monitors.kinds.outliers.condition import OUTLIER
from driftline.monitors.report.comparison import Comparison, compare
from driftline.monitors.results.violation import Violation
from driftline.monitors.root_cause.export import contributing_batches, selected_batches
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.root_cause.selection import where_text
from driftline.monitors.run.captured_window import answer_columns, changed_since, read_whole
from driftline.roles import Roles
from driftline.signature import Signature

log = logging.getLogger(__name__)

ROWS_SHOWN, COLUMNS_SHOWN = 50, 20
"""Of rows, which row it is and the accused column included; the files have all."""
CONTRIBUTING_COLUMNS = 12  # As many as a page of 3,000 nodes has room for beside 50 features.

TRAFFIC_S, TRAFFIC_SHOWN = 4.0, timedelta(days=14)
"""For so long rows are read to count them by hour, and at most so many of the newest hours."""

CAPTURE_FRESH_S = 10.0
"""Counting a capture table reads all of it, so a count serves for so long."""

COLUMNS_KEPT = 64
IDS = ("event_id", "event_time", "inference_id", "row_index")
IDS_SHOWN = 2
UNREADABLE = (DriftlineError, OSError, ValueError, pa.ArrowException)
"""What reading a damaged or absent store raises."""

Shown = TypeVar("Shown", bound=views.WindowView)
Pointed = tuple[Violation, Condition]
"""A violation and the condition that its rows meet."""


class Storage:
    """Reads below one storage root; safe to use from several threads."""

    def __init__(
        self, root: str, signature_of: Callable[[str], Signature | None] = lambda _: None,
        access: Access = UNLIMITED,
    ) -> None:  # fmt: skip
        self.root, self._signature_of, self._access = root, signature_of, access
        # By name and version; "" is the newest. Pages of many columns need few of all summaries.
        baselines = BaselineCache()
        self.baseline = partial(baselines.get, root)
        self.outline = partial(baselines.get, root, parts=store.OUTLINE)
        self._columns = lru_cache(COLUMNS_KEPT)(self._column)
        self._stats: dict[str, tuple[float, EndpointReport]] = {}
        self._away_since: datetime | None = None

    def require(self, engine: Engine, now: datetime) -> None:
        """Refuse to say anything of a storage root that has gone; says when that was noticed."""
        try:
            require_storage(engine, self.root)
        except DriftlineError as error:
            self._away_since = self._away_since or now
            since = f"noticed {moment(self._away_since)}; alarms and jobs are still shown"
            raise UnavailableError(f"{error} ({since})") from None
        self._away_since = None

    def versions(self, baseline: str) -> list[BaselineVersion]:
        """Return the versions of a baseline; NotFoundError where it has none."""
        if not (known := versions.list_versions(self.root, baseline)):
            why = "has no versions; expected one that was applied"
            raise NotFoundError(f'baseline "{baseline}" {why}')
        return known

    def baseline_of(self, line: views.MonitorLine) -> Baseline:
        """Load the baseline that a monitor compares with."""
        return self.baseline(line.definition.baseline, line.baseline_version)

    def outline_of(self, line: views.MonitorLine) -> Baseline:
        """Load the same without summaries of columns."""
        return self.outline(line.definition.baseline, line.baseline_version)

    def lacked(self, baseline: str, kind: str) -> str:
        """Return what a baseline lacks for a kind of monitor; "" for nothing, or if unreadable."""
        try:
            return lacking(kind_named(kind), self.outline(baseline, "")) if kind else ""
        except UNREADABLE:
            return ""

    def column(self, name: str, version: str, column: str) -> ColumnProfile | None:
        """Return the summary of a column, without its sketch."""
        return self._columns(name, version or versions.newest(self.root, name) or "", column)

    def _column(self, name: str, version: str, column: str) -> ColumnProfile | None:
        parts = (store.SIGNATURE, store.PROFILE)
        found = versions.get(self.root, name, version, parts, [column]).profile
        # Without a profile of ours, the statistics may stand for it.
        found = found or self.baseline(name, version).profile
        return found.columns.get(column) if found else None

    def reference_of(self, line: views.MonitorLine, column: str) -> ColumnProfile | None:
        """Return the profile of one column of the baseline; None where there is none to read."""
        try:
            return self.column(line.definition.baseline, line.baseline_version, column)
        except UNREADABLE:
            log.exception("baseline_unreadable monitor=%s", line.name)
            return None

    def roles_of(self, line: views.MonitorLine) -> Roles | None:
        """Name the columns of answers and labels whose rows can be selected; None without any."""
        try:
            outcomes, known = self.outline_of(line).outcomes, self.answers_of(line)
        except UNREADABLE:
            return None
        roles = outcomes.roles if outcomes and not line.definition.preprocess else None
        return roles if roles and {roles.label, roles.prediction} <= {*known} else None

    def with_evidence(self, view: Shown) -> Shown:
        """Add what the rows show of a window's feature, or, without one, of its gravest violation.

        A failed read is shown on the page and hides nothing else. Rows are not read for users who
        may not see them.
        """
        run, report, feature = view.run, view.found, view.feature
        if run is None or not CURRENT.get().may("analyst"):
            return view
        try:
            pointed = report.pointing(feature.feature if feature else None)
            if pointed is None and feature is None:
                return view
            if script := report.details.get("preprocess"):
                made = f"The rows were made by {script} and are not kept"
                return replace(view, notes=(f"{made}: there is no picture of them.",))
            comparison, rows = self._comparison(view, pointed), self._rows(view, pointed)
        except (DriftlineError, OSError, pa.ArrowException) as error:
            log.exception(
                "rows_unreadable monitor=%s window=%s", view.monitor.name, run.window.stamp
            )
            # Only the first line: what libraries add below it is for the log.
            texts = str(error).splitlines() if isinstance(error, DriftlineError) else []
            reason = texts[0] if texts else type(error).__name__
            return replace(view, notes=(f"The captured rows cannot be read: {reason}",))
        # Only this kind judges every captured row.
        is_whole = comparison is not None and view.monitor.definition.kind == "data-quality"
        left = comparison.window_rows if comparison and is_whole else None
        notes = changed_since(view.monitor.name, run.window, run.judged_rows, left)
        return replace(view, comparison=comparison, rows=rows, notes=notes)

    def _comparison(self, view: views.WindowView, pointed: Pointed | None) -> Comparison | None:
        """Count the feature's rows of a window on the baseline's own cells."""
        run, feature = view.run, view.feature
        if run is None or feature is None:
            return None
        name, line = feature.feature, view.monitor
        profile = self.column(line.definition.baseline, line.baseline_version, name)
        if profile is None or profile.cells is None or profile.cell_counts is None:
            return None
        counts = self._cell_counts(line, run.window, name, profile.cells)
        if counts.sum() == 0:
            return None
        by_drift = feature.set if feature.tells_drift else None
        moved = pointed[1] if pointed else by_drift
        # A rule says nothing of cells.
        moved = moved if isinstance(moved, Predicate) else by_drift
        return compare(profile.cells, profile.cell_counts, counts, moved=moved)

    def _cell_counts(
        self, line: views.MonitorLine, window: Window, name: str, cells: Cells
    ) -> np.ndarray:
        """Count a column of a window on the baseline's cells."""
        counts = np.zeros(cells.size, dtype=np.int64)
        for batch in self.read(line, window, [name]).batches():
            if name in batch.schema.names:
                counts += cells.count(batch.column(name), unfit_counts(batch).get(name, 0))
        return counts

    def _rows(
        self, view: views.WindowView, pointed: Pointed | None
    ) -> views.ContributingRows | None:
        """Read the first rows of a violation; of many columns those that contribute most."""
        if view.run is None or pointed is None:
            return None
        violation, predicate = pointed
        if predicate.op == OUTLIER:
            predicate = with_baseline(predicate, self.baseline_of(view.monitor))
        own = [*self.answers_of(view.monitor), *predicate.columns]
        inputs = [column.name for column in self.outline_of(view.monitor).signature.inputs]
        others = [name for name in inputs if name not in own]
        room = max(0, CONTRIBUTING_COLUMNS - IDS_SHOWN - len({*own}))
        if len(others) > room:
            rank = {one.feature: at for at, one in enumerate(view.found.judged_features)}
            others.sort(key=lambda name: rank.get(name, len(rank)))
        names = [*dict.fromkeys([*IDS, *own, *others[:room]])]
        batches = self.read(view.monitor, view.run.window, names).batches
        predicate = with_rows(predicate, batches)
        table = matching_rows(batches(), predicate, limit=ROWS_SHOWN)
        texts = {name: texts_of(table.column(name)) for name in table.column_names}
        blank = ("",) * table.num_rows
        listed = [name for name in names if name not in (*IDS, predicate.column) and name in texts]
        return views.ContributingRows(
            violation=violation, feature=predicate.column,
            predicate=str(predicate), phrase=predicate.phrase,
            total=table.num_rows if violation.row_count is None else violation.row_count,
            events=texts.get("event_id", blank), times=texts.get("event_time", blank),
            offending=texts.get(predicate.column, blank), columns=tuple(listed),
            unlisted=max(0, len(others) - room),
            where=where_text([predicate]) if isinstance(predicate, Predicate) else None,
            records=tuple(zip(*(texts[name] for name in listed), strict=True)),
        )  # fmt: skip

    def all_rows(
        self, line: views.MonitorLine, run: Execution, pointed: Pointed
    ) -> Iterator[pa.RecordBatch]:
        """Read all rows that meet a violation's condition."""
        predicate = with_baseline(pointed[1], self.baseline_of(line))
        read = self.read(line, run.window, looked_at=predicate.columns)
        predicate = with_rows(predicate, read.batches)
        return contributing_batches(read.batches(), [predicate])

    def selected_rows(
        self, line: views.MonitorLine, run: Execution, where: Sequence[Predicate]
    ) -> Iterator[pa.RecordBatch]:
        """Read all rows of a window that meet conditions."""
        read = self.read(line, run.window, looked_at=[one.column for one in where])
        return selected_batches(read.batches(), where)

    def capture_stats(self, endpoint: str, now: datetime) -> EndpointReport | None:
        """Count what was captured of an endpoint, for some seconds; None when it cannot be read."""
        at, stats = self._stats.get(endpoint, (0.0, None))
        if stats is not None and time.monotonic() - at < CAPTURE_FRESH_S:
            return stats
        try:
            stats = report(self.root, endpoint, now=now)
        except UNREADABLE:
            # A broken table must not hide the alarms, nor the other endpoints.
            log.exception("capture_unreadable endpoint=%s", endpoint)
            return None
        self._stats[endpoint] = (time.monotonic(), stats)
        return stats

    def coverage(self) -> dict[str, Coverage]:
        """Return what the last audit counted of each endpoint; nothing before the first."""
        return audited_coverage(self._last_audit())

    def unaccounted(self, endpoint: str) -> int:
        """Count what the last audit found missing or doubled of an endpoint; 0 without one."""
        audit, keys = self._last_audit(), ("missing_by_endpoint", "doubled_by_endpoint")
        return sum((audit.get(key) or {}).get(endpoint, 0) for key in keys)

    def _last_audit(self) -> dict[str, Any]:
        """Return the last audit's document; an empty one where none can be read."""
        try:
            return read_note(self.root) or {}
        except DriftlineError:
            log.exception("audit_unreadable")
            return {}

    def read(
        self, line: views.MonitorLine, window: Window, columns: list[str] | None = None,
        looked_at: Iterable[str] = (),
    ) -> WindowRead:  # fmt: skip
        """Open columns of the rows that a monitor judges in a window, or all that is known."""
        baseline, made = self.outline_of(line), line.definition
        # Of tables, and of endpoints that are gone, the columns of the baseline.
        signature = self._signature_of(line.endpoint) or baseline.signature
        if columns is not None:
            signature = self.signature_of(line)
        return read_whole(
            self.root, line.endpoint, window, signature, baseline, looked_at=looked_at,
            columns=columns, source=made.external, access=self._access, variant=made.variant,
            target_model=made.target_model,
        )  # fmt: skip

    def signature_of(self, line: views.MonitorLine) -> Signature:
        """Return a monitor's columns: those of its baseline, with what its endpoint answers."""
        own, declared = self.outline_of(line).signature, self._signature_of(line.endpoint)
        outputs = () if declared is None else declared.read_by(own).outputs
        # What the endpoint does not answer any more is a column of its rows all the same.
        is_whole = {one.name for one in own.outputs} <= {one.name for one in outputs}
        return replace(own, outputs=outputs) if is_whole else own

    def answers_of(self, line: views.MonitorLine) -> list[str]:
        """Name what the model answered and what came true: predictions, probabilities, labels."""
        return answer_columns(self.signature_of(line), self.outline_of(line))


def texts_of(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Write a column's values as a reader would; missing ones are empty."""
    return tuple(_text(value) for value in column.to_pylist())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
