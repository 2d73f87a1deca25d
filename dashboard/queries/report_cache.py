"""What the documents of past executions say over time, each read once; a few at a time.

Most of what a page shows over time stands in the database. Bounds and intervals stand only in the
documents, which never change: each is read once by a process, and a page waits for them no longer
than a moment. What is not known by then follows with the page's next refresh, newest first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from driftline.dashboard.queries.documents import Document, bounds_of, metrics_of
from driftline.dashboard.queries.views import WindowRun
from driftline.monitors.results.metric import MetricResult

PATIENCE_S = 0.25
"""So long a page waits for documents that were not read before."""

KEPT = 4_000
"""Executions remembered; one takes some kilobytes."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What one execution's document says: bounds by feature, metrics by key."""

    bounds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    metrics: Mapping[str, MetricResult] = field(default_factory=lambda: MappingProxyType({}))


class Past:
    """Remembers what executions found; safe to use from several threads.

    Parameters
    ----------
    read
        Gives the report of a folder, None where there is none any more.
    clock
        Seconds, for the patience.
    """

    def __init__(
        self,
        read: Callable[[str], Document | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Digest] = OrderedDict()

    def told(
        self, runs: Sequence[WindowRun], patience_s: float = PATIENCE_S
    ) -> Mapping[str, Digest]:
        """Give what is known of some executions, by their ids; absent is not read yet."""
        end = self._clock() + patience_s
        found: dict[str, Digest] = {}
        for run in reversed(runs):
            with self._lock:
                known = self._known.get(run.execution)
            if known is None and run.folder and self._clock() < end:
                known = self._learn(run)
            if known is not None or not run.folder:
                found[run.execution] = known or Digest()
        return found

    def _learn(self, run: WindowRun) -> Digest:
        report = self._read(run.folder)
        metrics = {line.key: line for line in metrics_of(report)}
        known = Digest(bounds_of(report), metrics)
        with self._lock:
            self._known[run.execution] = known
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return known
