"""Prometheus metrics of the sidecar and the sink.

A cap bounds the labels by endpoint; reasons of unparsed bodies are a fixed few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from driftline.capture.audit.report import error_kind
from driftline.capture.spool.backlog import measure
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.tables.dataset import is_callers, is_first

# Endpoints that have labels of their own in one family; all others are told as "".
MAX_ENDPOINTS = 200
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MAX_KINDS = 50

Counters = Callable[[], Mapping[str, int]]


class Collected(Collector):
    """Metric families that are known when they are collected, not before."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: families are known when collected."""
        return []


class Counted(Collected):
    """The counters of a process, one metric family each.

    ``prefix``: beginning of the names, such as ``driftline_sink_``; ``about``: one sentence for
    each; a count without one is shown with its name.
    """

    def __init__(self, prefix: str, counters: Counters, about: Mapping[str, str]) -> None:
        self._prefix, self._counters, self._about = prefix, counters, about

    def collect(self) -> Iterator[Metric]:
        """Return one metric family per counter."""
        for name, value in dict(self._counters()).items():
            about = self._about.get(name, f"Count of {name.replace('_', ' ')}.")
            yield CounterMetricFamily(f"{self._prefix}{name}", about, value=value)


class Spools(Collected):
    """The size and age of this host's spools.

    ``max_bytes``: its budget; None when this process does not know it.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def collect(self) -> Iterator[Metric]:
        """Measure the folder."""
        measured = measure(self._folder)
        values = {
            "bytes": ("Bytes in the spool's segments.", float(measured.size_bytes)),
            "segments": ("Segments in the spool.", float(measured.segments)),
            "oldest_seconds": (
                "Age of the oldest record that is neither stored nor with the broker; "
                "0 without any.",
                measured.oldest_s,
            ),
        }
        if self._max_bytes is not None:
            values["budget_bytes"] = ("Bytes that the spool may take.", float(self._max_bytes))
        for name, (about, value) in values.items():
            yield GaugeMetricFamily(f"driftline_spool_{name}", about, value=value)


class HostTaps(Collected):
    """The counts of all taps of this host, dead ones included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Add up the pages of all spools."""
        requests = CounterMetricFamily(
            "driftline_tap_requests", "Requests that taps of this host saw.", labels=["endpoint"]
        )
        sampled = CounterMetricFamily(
            "driftline_tap_sampled", "Requests chosen to be recorded.", labels=["endpoint"]
        )
        dropped = CounterMetricFamily(
            "driftline_tap_dropped",
            "Requests chosen and not recorded, by reason.",
            labels=["endpoint", "reason"],
        )
        totals: dict[str, tuple[int, int]] = {}
        drops: dict[tuple[str, str], int] = {}
        measured = read_counts(self._folder)
        for name, counts in measured.items():
            shown = capped(name, totals)
            before = totals.get(shown, (0, 0))
            totals[shown] = before[0] + counts.requests, before[1] + counts.sampled
            for reason, count in counts.dropped.items():
                drops[shown, reason] = drops.get((shown, reason), 0) + count
        for name, (seen, chosen) in totals.items():
            requests.add_metric([name], seen)
            sampled.add_metric([name], chosen)
        for labels, count in drops.items():
            dropped.add_metric(list(labels), count)
        yield from (requests, sampled, dropped)


class SinkInstruments:
    """Counts the commits of a sink by endpoint; the observer of ``Sink(observe=…)``.

    ``registry``: where the families are registered.
    """

    def __init__(
        self, registry: CollectorRegistry, *, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._names: dict[str, None] = {}
        self._kinds: dict[str, None] = {}
        self._seconds = Histogram(
            "driftline_sink_commit_seconds",
            "Time that a commit of rows to an endpoint's table took.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._rows = Counter(
            "driftline_sink_endpoint_rows", "Rows stored.", ["endpoint"], registry=registry
        )
        self._records = Counter(
            "driftline_sink_endpoint_records", "Requests stored.", ["endpoint"], registry=registry
        )
        self._unparsed = Counter(
            "driftline_sink_unparsed",
            "Requests stored whose body gave no rows, by kind of error.",
            ["endpoint", "reason"],
            registry=registry,
        )
        self._lag = Gauge(
            "driftline_sink_lag_seconds",
            "Age that the newest record of the last commit had by then.",
            ["endpoint"],
            registry=registry,
        )
        self._newest = Gauge(
            "driftline_sink_newest_seconds",
            "Arrival of the newest record that is stored, Unix time.",
            ["endpoint"],
            registry=registry,
        )

    def observe(self, endpoint: str, rows: pa.Table, seconds: float) -> None:
        """Count one commit."""
        name = capped(endpoint, self._names)
        self._names[name] = None
        first = rows.filter(pc.and_(is_first(rows), is_callers(rows)))
        self._seconds.observe(seconds)
        self._rows.labels(name).inc(rows.num_rows)
        self._records.labels(name).inc(first.num_rows)
        newest = pc.max(rows["arrival_time"]).as_py()
        if newest is not None:
            arrived = newest.timestamp()
            self._newest.labels(name).set(arrived)
            self._lag.labels(name).set(max(self._now() - arrived, 0.0))
        for entry in pc.value_counts(first["parse_error"].drop_null()).to_pylist():
            kind = error_kind(entry["values"])
            kind = kind if kind in self._kinds or len(self._kinds) < _MAX_KINDS else "other"
            self._kinds[kind] = None
            self._unparsed.labels(name, kind).inc(entry["counts"])


def capped(name: str, endpoints: Mapping[str, object]) -> str:
    """Return an endpoint's label: its name, or "" for those past the cap."""
    return name if name in endpoints or len(endpoints) < MAX_ENDPOINTS else ""
