"""The study: which monitors are simulated, with which seeds, and what each of them gave."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.decisions.changes import BASES, HARD_BASES, steady, unfold
from bench.decisions.columns import KINDS
from bench.decisions.history import ColumnHistory
from bench.decisions.monitors import Monitor, simulate
from bench.decisions.mutations import CHANGES, SMALL_CHANGES
from bench.decisions.rivals import RIVALS, scores, threshold
from bench.decisions.verdicts import first_alarm, incidents, judge

__all__ = [
    "DRIFT_MONITORS",
    "Calm",
    "Found",
    "Limits",
    "calibrate",
    "calm_monitors",
    "find",
    "find_all",
    "watch",
]

# Hourly and daily monitors: rows a window, days of reference, columns, years.
NARROW = (
    (1, 50, 14, 5, 0.2),
    (1, 200, 28, 5, 0.25),
    (1, 1_000, 28, 5, 0.05),
    (1, 10_000, 14, 5, 0.15),
    (24, 50, 30, 5, 1.0),
    (24, 300, 14, 5, 1.0),
    (24, 1_000, 60, 5, 1.0),
    (24, 10_000, 28, 5, 0.5),
    (24, 100_000, 90, 5, 0.5),
)
WIDE = (
    (1, 200, 28, 50, 0.1),
    (24, 1_000, 28, 50, 1.0),
    (1, 1_000, 14, 500, 0.01),
    (24, 300, 28, 500, 0.3),
    (24, 10_000, 60, 500, 0.15),
)
# Base streams whose columns' rows are drawn: monitors on which other detectors are calibrated.
DRIFT_MONITORS = (
    Monitor("base", 50, 1, 28, 10, 0.15),
    Monitor("base", 200, 1, 28, 10, 0.15),
    Monitor("base", 1_000, 24, 60, 10, 2.0),
    Monitor("base", 10_000, 24, 28, 10, 1.0),
)
HARD_MONITORS = DRIFT_MONITORS[1:3]


@dataclass(frozen=True, slots=True)
class Calm:
    """What a monitor on data that do not change gave.

    Parameters
    ----------
    kind
        The stream.
    monitor, seed
        What was run.
    alarms, violations
        Incidents, and columns in violation summed over the windows.
    columns
        Which columns alarmed, with their number of incidents.
    undecided
        Share of the verdicts that were "insufficient data".
    """

    kind: str
    monitor: Monitor
    seed: int
    alarms: int
    violations: int
    columns: Mapping[str, int]
    undecided: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the detectors beside ours are held to on one base and monitor.

    Parameters
    ----------
    base, monitor
        The streams.
    thresholds
        By detector: with it, it alarms no more often than ours on the streams ``calm``.
    calm
        Our own alarms on these streams.
    checked, checked_rivals
        Our alarms and those of each detector on one more stream, that set no threshold.
    """

    base: str
    monitor: Monitor
    thresholds: Mapping[str, float]
    calm: tuple[Calm, ...]
    checked: Calm
    checked_rivals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """When a change was found.

    Parameters
    ----------
    base, change, monitor, seed
        What was run.
    delay
        Windows from the change to our alarm, 1 for the first; None when not in 14 days.
    rivals
        The same of each detector beside ours.
    """

    base: str
    change: str
    monitor: Monitor
    seed: int
    delay: int | None
    rivals: Mapping[str, int | None] = field(default_factory=dict)


def calm_monitors() -> list[Monitor]:
    """List the monitors of the part without drift."""
    narrow = [
        Monitor(kind, rows, length_h, days, columns, years)
        for kind in KINDS
        for length_h, rows, days, columns, years in NARROW
    ]
    wide = [
        Monitor(kind, rows, length_h, days, columns, years)
        for kind in ("mixed", "weekly")
        for length_h, rows, days, columns, years in WIDE
    ]
    return narrow + wide


def watch(monitor: Monitor, seed: int) -> Calm:
    """Simulate one monitor on data that do not change."""
    return _calm(monitor.kind, monitor, seed, simulate(monitor, seed))


def _calm(kind: str, monitor: Monitor, seed: int, histories: Mapping[str, ColumnHistory]) -> Calm:
    began = time.perf_counter()
    found = judge(monitor, histories)
    begun = incidents(found.violated).sum(axis=0)
    columns = {name: int(n) for name, n in zip(found.names, begun, strict=True) if n}
    _tell(f"{kind}: {monitor.words}, seed {seed}: {columns}", began)
    return Calm(
        kind,
        monitor,
        seed,
        found.incidents,
        int(found.violated.sum()),
        columns,
        float(found.undecided.mean()),
    )


def calibrate(base: str, monitor: Monitor, seeds: Sequence[int]) -> Limits:
    """Run ours on steady streams of a base; hold the others to as many alarms on the same.

    The stream of the last seed only checks the thresholds.
    """
    calm, given = [], []
    for seed in seeds:
        histories = steady(monitor, base, seed)
        calm.append(_calm(f"base {base}", monitor, seed, histories))
        given.append(scores(monitor, histories, seasonal=base == "season"))
    *known, fresh = given
    allowed = sum(one.alarms for one in calm[:-1])
    limits = {name: threshold([one[name] for one in known], allowed) for name in RIVALS}
    checked = {name: int(incidents(fresh[name] > limits[name]).sum()) for name in RIVALS}
    return Limits(base, monitor, limits, tuple(calm[:-1]), calm[-1], checked)


def find(base: str, change: str, monitor: Monitor, seed: int, limits: Limits | None) -> Found:
    """Simulate one change; see when it is found."""
    began = time.perf_counter()
    drift = unfold(monitor, base, change, seed)
    delay = first_alarm(monitor, drift.histories, drift.onset)
    rivals = {}
    if limits is not None:
        changed = {"x0": drift.histories["x0"]}
        given = scores(monitor, changed, seasonal=base == "season")
        for name, one in given.items():
            begun = incidents(one > limits.thresholds[name])[drift.onset :, 0]
            at = np.flatnonzero(begun)
            rivals[name] = int(at[0]) + 1 if at.size else None
    _tell(f"{change} on {base}: {monitor.words}, seed {seed}: {delay}", began)
    return Found(base, change, monitor, seed, delay, rivals)


def find_all(
    seeds: Sequence[int], limits: Mapping[tuple[str, Monitor], Limits], *, hard: bool
) -> list[Found]:
    """Simulate every change on every base; or, when ``hard``, those that no bound is set for."""
    asked = [(base, change) for base in BASES for change in CHANGES]
    if hard:
        asked = [(base, change) for base in BASES for change in SMALL_CHANGES]
        asked += [(base, change) for base in HARD_BASES for change in CHANGES]
    return [
        find(base, change, monitor, seed, limits.get((base, monitor)))
        for monitor in (HARD_MONITORS if hard else DRIFT_MONITORS)
        for base, change in asked
        for seed in seeds
    ]


def _tell(words: str, began: float) -> None:
    print(f"{words} ({time.perf_counter() - began:.1f} s)", file=sys.stderr, flush=True)
