"""Data that only the documents of runs hold, read once per process.

Documents never change. A page waits for them briefly; the rest follows when it refreshes, newest
first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from driftline.monitors.results.metric import MetricResult
from driftline.monitors.run.report_document import Report, Told

PATIENCE_S = 0.08  # So long documents are waited for that were not read before.
KEPT = 4_000  # Executions remembered; one takes some kilobytes.


@dataclass(frozen=True, slots=True)
class Digest:
    """The data of one execution's document: bounds by feature, metrics by key.

    ``unjudged``, by feature: why it has no bound; ``pooled``: the number of windows behind its
    distance.
    """

    bounds: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, MetricResult] = field(default_factory=dict)
    unjudged: Mapping[str, str] = field(default_factory=dict)
    pooled: Mapping[str, int] = field(default_factory=dict)


class ReportCache:
    """Remembers what executions found; safe to use from several threads."""

    def __init__(
        self,
        read: Callable[[str], Report | Told | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._digests: OrderedDict[str, Digest] = OrderedDict()

    def digests(
        self, runs: Sequence[tuple[str, str]], patience_s: float = PATIENCE_S
    ) -> Mapping[str, Digest]:
        """Return the known digests by execution id; a missing one has not been read yet.

        ``runs`` are ids with the folders of documents, "" for none, the newest last.
        """
        end = self._clock() + patience_s
        known: dict[str, Digest] = {}
        for execution, folder in reversed(runs):
            with self._lock:
                digest = self._digests.get(execution)
            if digest is None and folder and self._clock() < end:
                report = self._read(folder) or Told()
                lacking = (one for one in report.features if one.bound is None and one.note)
                unjudged = {one.feature: one.note for one in lacking}
                metrics = {one.key: one for one in report.metrics}
                counts = ((one.feature, one.window_count) for one in report.features)
                pooled = {name: count for name, count in counts if count is not None}
                digest = Digest(report.bounds, metrics, unjudged, pooled)
                with self._lock:
                    self._digests[execution] = digest
                    while len(self._digests) > KEPT:
                        self._digests.popitem(last=False)
            if digest is not None or not folder:
                known[execution] = digest or Digest()
        return known
