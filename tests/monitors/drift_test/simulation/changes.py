"""Streams that drift: a column changes at a known hour, and nine others beside it do not.

Each change is laid on bases: independent rows, a weekly season, sessions, and a memory of hours. A
base's numbers are 50 + 10 z, z of about unit variance; its five levels have the shares
``LEVEL_SHARES``; one row in a hundred is empty.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from tests.monitors.drift_test.simulation.columns import clusters, seasonal, walk
from tests.monitors.drift_test.simulation.history import ColumnHistory, counted, spread
from tests.monitors.drift_test.simulation.monitors import Monitor
from tests.monitors.drift_test.simulation.mutations import CHANGES
from tests.monitors.drift_test.simulation.rows import DAY_H, Rows, Traffic

# A change must be found within so many days.
FIND_DAYS = 14
LEVEL_SHARES = (0.4, 0.3, 0.15, 0.1, 0.05)
# How long nothing changes after the reference, in windows, before hours are added by chance.
CALM_WINDOWS = {1: 240, 24: 20}
COLUMNS = 10
Base = Callable[[np.random.Generator, Rows], np.ndarray]


def _independent(rng: np.random.Generator, rows: Rows) -> np.ndarray:
    return rng.normal(size=rows.total)


def _season(rng: np.random.Generator, rows: Rows) -> np.ndarray:
    return seasonal(rng, rows, 1, weekly=True)


def _sessions(rng: np.random.Generator, rows: Rows) -> np.ndarray:
    who = clusters(rng, rows, 10)
    shared = rng.normal(size=int(who[-1]) + 1)[who]
    return np.sqrt(0.5) * (shared + rng.normal(size=rows.total))


def _with_memory(memory_h: float) -> Callable[[np.random.Generator, Rows], np.ndarray]:
    def draw(rng: np.random.Generator, rows: Rows) -> np.ndarray:
        own = rng.normal(size=rows.total)
        return np.sqrt(0.1) * walk(rng, rows, memory_h) + np.sqrt(0.9) * own

    return draw


BASES: Mapping[str, tuple[Base, Traffic, str]] = {
    "independent": (_independent, "even", "independent rows"),
    "season": (_season, "weekly", "weekly season, in values and traffic"),
    "sessions": (_sessions, "even", "sessions of 1 to 10 rows share half the variance"),
    "memory": (_with_memory(1.0), "even", "a tenth of the variance has a memory of an hour"),
}


@dataclass(frozen=True, slots=True)
class Drift:
    """A change with its date.

    Parameters
    ----------
    histories
        By column; "x0" changes.
    onset
        The first window that holds changed rows.
    """

    histories: Mapping[str, ColumnHistory]
    onset: int


def unfold(monitor: Monitor, base: str, change: str, seed: int) -> Drift:
    """Draw a history in which column "x0" changes; ``monitor.years`` does not matter."""
    rng = _generator(monitor, f"{base}/{change}", seed)
    calm_h = CALM_WINDOWS[monitor.length_h] * monitor.length_h
    calm_h += int(rng.integers(0, 7 * DAY_H)) // monitor.length_h * monitor.length_h
    onset_h = monitor.reference_hours + calm_h
    one, hours = CHANGES[change], onset_h + FIND_DAYS * DAY_H
    rows, column = _drawn(monitor, base, hours, rng, text=one.text)
    first = rows.first_of(onset_h)
    since = rows.hour[first:] - onset_h
    changed = one.apply(rng, column[first:], since, monitor.length_h)
    values = np.concatenate([column[:first], changed])
    moved = counted("x0", values, rows, monitor.reference_hours, rng)
    return Drift(_beside(moved, monitor, rows, rng), calm_h // monitor.length_h)


def _generator(monitor: Monitor, what: str, seed: int) -> np.random.Generator:
    text = f"{what}/{monitor.window_rows}/{monitor.length_h}/{monitor.reference_days}"
    return np.random.default_rng([seed, zlib.crc32(text.encode())])


def _drawn(
    monitor: Monitor,
    base: str,
    hours: int,
    rng: np.random.Generator,
    *,
    text: bool,
) -> tuple[Rows, np.ndarray]:
    """Draw a base's column and its rows."""
    draw, traffic, _ = BASES[base]
    per_hour = monitor.window_rows / monitor.length_h
    rows = Rows.drawn(rng, hours, per_hour, traffic)
    z = draw(rng, rows)
    empty = rng.random(rows.total) < 0.01
    if text:
        levels = np.digitize(special.ndtr(z), np.cumsum(LEVEL_SHARES)[:-1])
        return rows, np.where(empty, -1, levels)
    return rows, np.where(empty, np.nan, 50.0 + 10.0 * z)


def _beside(
    moved: ColumnHistory, monitor: Monitor, rows: Rows, rng: np.random.Generator
) -> dict[str, ColumnHistory]:
    """Put nine columns of independent rows beside the one that changes."""
    known = Rows(np.full(50, 200))
    calm = counted("calm", rng.normal(size=known.total), known, 50, rng)
    pattern = replace(calm, reference_hours=monitor.reference_hours)
    found = {"x0": moved}
    for place in range(1, COLUMNS):
        fresh = spread(pattern, rows, rng)
        found[f"x{place}"] = replace(fresh, cells=replace(fresh.cells, column=f"x{place}"))
    return found
