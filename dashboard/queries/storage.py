"""What lies in the storage root: documents, baselines and captured rows. Nothing here writes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa

from driftline.baseline import store
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.sketch import QuantileSketch
from driftline.baseline.store import Baseline
from driftline.capture.audit.note import read_note
from driftline.capture.tables.dataset import CaptureStats, Dataset
from driftline.capture.tables.storage import list_folders, open_storage
from driftline.capture.windows.window import Window, WindowRead, read_window, unfit_counts
from driftline.dashboard.queries.documents import (
    Document,
    blame_of,
    finding_of,
    numbers_of,
    onset_of,
    segment_of,
)
from driftline.dashboard.queries.views import FeatureLine, GuiltyRows, MonitorLine, WindowRun
from driftline.dashboard.words import moment
from driftline.errors import DriftlineError
from driftline.monitors.drift_test.reference_columns import reference_columns
from driftline.monitors.kinds.conditions import with_baseline
from driftline.monitors.report.comparison import Comparison, compare
from driftline.monitors.root_cause.export import blamed_batches
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.root_cause.shares import Blamed
from driftline.monitors.run.captured_window import read_whole
from driftline.signature import Signature

log = logging.getLogger(__name__)

ROWS_SHOWN = 50
CAPTURE_FRESH_S = 10.0
"""Counting a capture table reads all of it, so a count serves for so long."""

BASELINES_KEPT = 8
IDS = ("event_id", "event_time", "inference_id", "row_index")


class Holdings:
    """Reads below one storage root; safe to use from several threads.

    Parameters
    ----------
    root
        Storage root, a path or URI.
    signature_of
        Gives an endpoint's signature by its name; None where it has none.
    """

    def __init__(
        self, root: str, signature_of: Callable[[str], Signature | None] = lambda _: None
    ) -> None:
        self.root, self._signature_of = root, signature_of
        self._lock = threading.Lock()
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._stats: dict[str, tuple[float, CaptureStats]] = {}

    def document(self, folder: str, name: str = "report.json") -> Document | None:
        """Read one of an execution's documents; none when it wrote none or retention took it."""
        if not folder:
            return None
        filesystem, path = open_storage(self.root)
        try:
            with filesystem.open_input_stream(f"{path}/{folder}/{name}") as stream:
                found = json.loads(stream.read())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def quantiles(self, folder: str, column: str, shares: np.ndarray) -> list[float] | None:
        """Give a column's quantiles in the window of an execution, from its statistics.json.

        ``shares`` lie in 0–1; None when the window has no numbers of it, or no document any more.
        """
        blocks = numbers_of(self.document(folder, "statistics.json"))
        levels = blocks.get(column, [])
        if not any(levels):
            return None
        return [float(one) for one in QuantileSketch.from_levels(levels).quantiles(shares)]

    def baseline(self, name: str, version: str) -> Baseline:
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

    def comparison(
        self,
        baseline: Baseline,
        line: MonitorLine,
        run: WindowRun,
        feature: FeatureLine,
        found: tuple[Document, Condition] | None,
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
        moved = found[1] if found else by_drift
        # A rule says nothing of cells.
        moved = moved if isinstance(moved, Predicate) else by_drift
        return compare(cells, profile.cell_counts, counts, moved=moved)

    def rows(
        self,
        baseline: Baseline,
        line: MonitorLine,
        run: WindowRun,
        found: tuple[Document, Condition],
    ) -> GuiltyRows:
        """Read the first rows that meet a violation's condition."""
        violation, predicate = found[0], with_baseline(found[1], baseline)
        names = [*IDS, *(column.name for column in baseline.signature.inputs)]
        names += [name for name in predicate.columns if name not in names]
        batches = self._read(baseline, line, run, names).batches()
        table = matching_rows(batches, predicate, limit=ROWS_SHOWN)
        texts = {name: _texts(table.column(name)) for name in table.column_names}
        blank = ("",) * table.num_rows
        others = [name for name in names if name not in (*IDS, predicate.column) and name in texts]
        total = violation.get("row_count")
        check, words = finding_of(violation)
        return GuiltyRows(
            feature=predicate.column,
            blamed=str(violation.get("feature_name", predicate.column)),
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
            onset=onset_of(violation),
            share_of_blame=blame_of(violation),
        )

    def guilty(
        self,
        baseline: Baseline,
        line: MonitorLine,
        run: WindowRun,
        found: tuple[Document, Condition],
    ) -> Iterator[pa.RecordBatch]:
        """Read all rows that meet a violation's condition, each with its share of the blame."""
        blamed = [Blamed(found[1].column, with_baseline(found[1], baseline), blame_of(found[0]))]
        # Of endpoints that are gone, the columns of the baseline.
        signature = self._signature_of(line.endpoint) or baseline.signature
        window = Window(run.start, run.end)
        looked_at = blamed[0].predicate.columns
        read = read_whole(
            self.root, line.endpoint, window, signature, baseline, looked_at=looked_at
        )
        return blamed_batches(read.batches, blamed, reference_columns(baseline))

    def captured(self) -> list[str]:
        """List the endpoints that have a folder of captured rows."""
        return list_folders(self.root, "capture")

    def capture_stats(self, endpoint: str) -> CaptureStats:
        """Count what was captured of an endpoint; a count serves for some seconds."""
        with self._lock:
            known = self._stats.get(endpoint)
        if known is not None and time.monotonic() - known[0] < CAPTURE_FRESH_S:
            return known[1]
        stats = Dataset(self.root, endpoint).stats()
        with self._lock:
            self._stats[endpoint] = (time.monotonic(), stats)
        return stats

    def unaccounted(self) -> dict[str, int]:
        """Count what the last audit found missing or doubled, by endpoint; none without one."""
        try:
            audited = read_note(self.root) or {}
        except DriftlineError:
            log.exception("audit_unreadable")
            return {}
        found: Counter[str] = Counter(audited.get("missing_by_endpoint", {}))
        found.update(audited.get("doubled_by_endpoint", {}))
        return dict(found)

    def _read(
        self, baseline: Baseline, line: MonitorLine, run: WindowRun, columns: list[str]
    ) -> WindowRead:
        window = Window(run.start, run.end)
        return read_window(self.root, line.endpoint, window, baseline.signature, columns=columns)


def _texts(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Write a column's values as a reader would; missing ones are empty."""
    return tuple(_text(value) for value in column.to_pylist())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
