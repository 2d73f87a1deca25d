"""A change of correlation only, by the kind "joint": each column stays as it was.

Rows of four columns on one of the bases: the first two hang together, the others alone. Windows
go through the kind as a monitor asks it, with a baseline made of the rows. An alarm is an incident:
a violation by name (such as ``x0 × x1``) that was not there in the window before.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from bench.decisions.changes import BASES, FIND_DAYS
from bench.decisions.monitors import Monitor
from bench.decisions.rivals import cusum, shiryaev_roberts, threshold
from bench.decisions.rows import DAY_H, START, Rows
from bench.decisions.verdicts import incidents
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext, EarlierRows, PastWindows
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.multivariate.kind import SPANS
from driftline.monitors.rows import Rows as WindowRows
from driftline.monitors.rows import WindowFacts
from driftline.roles import Roles

__all__ = ["JOINT_BASES", "JOINT_MONITORS", "Joint", "break_pair"]

BEFORE, AFTER = 0.8, 0.6
COLUMNS = 4
PAIR = "x0 × x1"
JOINT_MONITORS = (Monitor("joint", 200, 1, 28, COLUMNS), Monitor("joint", 1_000, 24, 28, COLUMNS))
JOINT_BASES = ("independent", "sessions", "memory")
# So many windows are judged before the change, for false alarms.
CALM_WINDOWS = {1: 72, 24: 30}
# The detectors beside it are calibrated on so many windows without a change.
STEADY_WINDOWS = {1: 4_380, 24: 365}
RIVALS = ("correlation of a window", "CUSUM of the correlation", "e-detector of the correlation")


@dataclass(frozen=True, slots=True)
class Joint:
    """What one run gave.

    Parameters
    ----------
    base, monitor, seed
        What was run.
    calm_windows, alarms
        Windows before the change, and the incidents in them.
    delay
        Windows from the change to the incident that names the pair; None when not in
        ``FIND_DAYS`` days.
    rivals
        The same for the detectors beside it, in the order of ``RIVALS``.
    """

    base: str
    monitor: Monitor
    seed: int
    calm_windows: int
    alarms: int
    delay: int | None
    rivals: tuple[int | None, ...]


def break_pair(base: str, monitor: Monitor, seed: int) -> Joint:
    """Simulate a pair whose correlation falls from ``BEFORE`` to ``AFTER``."""
    began = time.perf_counter()
    calm, after = CALM_WINDOWS[monitor.length_h], FIND_DAYS * DAY_H // monitor.length_h
    onset_h = monitor.reference_hours + calm * monitor.length_h
    rng = _generator(base, monitor, seed)
    rows, columns = _drawn(base, monitor, onset_h + after * monitor.length_h, rng, onset_h)
    table = _table(rows, columns, rng)
    cut = rows.first_of(monitor.reference_hours)
    baseline = Baseline.fit(table.slice(0, cut), timestamp="time")
    named: list[set[str]] = []
    delay = None
    for index in range(calm + after):
        named.append(_violations(baseline, monitor, rows, table, index))
        fresh = named[-1] - (named[-2] if index else set())
        if index >= calm and PAIR in fresh:
            delay = index - calm + 1
            break
    alarms = sum(
        len(now - before) for before, now in zip([set(), *named], named[:calm], strict=False)
    )
    found = Joint(base, monitor, seed, calm, alarms, delay, ())
    rivals = _rivals(base, monitor, seed, rows, columns, calm)
    print(
        f"joint, {base}: {monitor.words}, seed {seed}: {alarms} alarms, delay {delay} "
        f"({time.perf_counter() - began:.1f} s)",
        file=sys.stderr,
        flush=True,
    )
    return replace(found, rivals=rivals)


def _generator(base: str, monitor: Monitor, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{base}/{monitor.words}".encode())])


def _drawn(
    base: str, monitor: Monitor, hours: int, rng: np.random.Generator, onset_h: int
) -> tuple[Rows, list[np.ndarray]]:
    """Draw columns of the base; the second follows the first, less so from the onset."""
    draw, traffic, _ = BASES[base]
    rows = Rows.drawn(rng, hours, monitor.window_rows / monitor.length_h, traffic)
    found = [draw(rng, rows) for _ in range(COLUMNS)]
    part = np.where(rows.hour < onset_h, BEFORE, AFTER)
    found[1] = part * found[0] + np.sqrt(1 - part**2) * found[1]
    return rows, found


def _table(rows: Rows, columns: Sequence[np.ndarray], rng: np.random.Generator) -> pa.Table:
    start = np.datetime64(START.replace(tzinfo=None), "us")
    seconds = (rows.hour + rng.random(rows.total)) * 3600.0
    times = start + (seconds * 1e6).astype("timedelta64[us]")
    named = {f"x{place}": pa.array(one) for place, one in enumerate(columns)}
    return pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), **named})


def _violations(
    baseline: Baseline, monitor: Monitor, rows: Rows, table: pa.Table, index: int
) -> set[str]:
    """Ask the kind about one window, as a monitor does."""
    first_h = monitor.reference_hours + index * monitor.length_h
    first, last = rows.first_of(first_h), rows.first_of(first_h + monitor.length_h)
    start = START + timedelta(hours=first_h)
    part = table.slice(first, last - first)
    before_h = max(monitor.reference_hours, first_h - (SPANS[-1] - 1) * monitor.length_h)
    before = table.slice(rows.first_of(before_h), first - rows.first_of(before_h))
    before = before.append_column("event_time", before["time"])
    question = CheckContext(
        baseline=baseline,
        rows=WindowRows(
            lambda: iter(part.to_batches()),
            facts=WindowFacts(Window(start, start + monitor.length)),
        ),
        roles=Roles(),
        budget=Budget(1.0, monitor.windows_per_year),
        past=PastWindows(
            rows=EarlierRows(START + timedelta(hours=before_h), lambda: iter(before.to_batches()))
            if index
            else None
        ),
    )
    return {one.feature_name for one in kind_named("joint").evaluate(question).violations}


def _correlations(monitor: Monitor, rows: Rows, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Fisher's z of the pair in each window, reference first, shape (windows,)."""
    window = rows.hour // monitor.length_h
    count = rows.counts.size // monitor.length_h
    moments = [np.bincount(window, weights=one, minlength=count) for one in _products(columns)]
    m, x, y, xx, yy, xy = moments
    m = np.maximum(m, 3.0)
    cross, first, second = xy - x * y / m, xx - x * x / m, yy - y * y / m
    ratio = cross / np.sqrt(np.maximum(first * second, 1e-12))
    return np.asarray(np.arctanh(np.clip(ratio, -0.999, 0.999)))


def _products(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    x, y = columns[0], columns[1]
    return [np.ones(x.size), x, y, x * x, y * y, x * y]


def _rivals(
    base: str,
    monitor: Monitor,
    seed: int,
    rows: Rows,
    columns: Sequence[np.ndarray],
    calm: int,
) -> tuple[int | None, ...]:
    """Hold detectors that look at this pair only to no alarm on a long steady stream."""
    rng = _generator(f"steady {base}", monitor, seed)
    hours = monitor.reference_hours + STEADY_WINDOWS[monitor.length_h] * monitor.length_h
    steady = _scores(monitor, *_drawn(base, monitor, hours, rng, hours))
    changed = _scores(monitor, rows, columns)
    found: list[int | None] = []
    for known, one in zip(steady, changed, strict=True):
        begun = incidents(one > threshold([known], 0))[calm:, 0]
        at = np.flatnonzero(begun)
        found.append(int(at[0]) + 1 if at.size else None)
    return tuple(found)


def _scores(monitor: Monitor, rows: Rows, columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Score the windows after the reference, shape (windows, 1), by each of ``RIVALS``."""
    found = _correlations(monitor, rows, columns)
    blocks = monitor.reference_hours // monitor.length_h
    known, after = found[:blocks], found[blocks:, None]
    z = (after - known.mean()) / known.std()
    return [np.abs(z), cusum(z, 1.0), shiryaev_roberts(z)]
