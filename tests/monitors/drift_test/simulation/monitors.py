"""Simulated monitors: their columns, rows and reference; and how their history is drawn."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from scipy import signal

from tests.monitors.drift_test.simulation.columns import KINDS
from tests.monitors.drift_test.simulation.history import ColumnHistory, counted, spread
from tests.monitors.drift_test.simulation.rows import DAY_H, Rows

# Above so many rows an hour, and for more columns, counts are drawn from the cells' shares.
ROWS_DRAWN = 1500
COLUMNS_DRAWN = 10
# Where counts are drawn from shares, as many rows hang together as a session has.
SESSION_ROWS = 20.0
YEAR_H = 365 * DAY_H


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor on data that do not change.

    Parameters
    ----------
    kind
        Key of ``columns.KINDS``.
    window_rows
        Mean rows of a window.
    length_h
        Hours of a window: 1 or 24.
    reference_days
        Days of the reference.
    columns
        How many.
    years
        How long it is watched.
    """

    kind: str
    window_rows: int
    length_h: int
    reference_days: int
    columns: int = 5
    years: float = 1.0

    @property
    def length(self) -> timedelta:
        """A window's length."""
        return timedelta(hours=self.length_h)

    @property
    def windows_per_year(self) -> float:
        """Windows of a year."""
        return YEAR_H / self.length_h

    @property
    def reference_hours(self) -> int:
        """Hours of the reference."""
        return self.reference_days * DAY_H

    @property
    def hours(self) -> int:
        """Hours of reference and watch, together."""
        return self.reference_hours + round(self.years * YEAR_H / DAY_H) * DAY_H

    def generator(self, seed: int) -> np.random.Generator:
        """Return the random numbers of one run: other seeds and monitors have others."""
        text = f"{self.kind}/{self.window_rows}/{self.length_h}/{self.reference_days}"
        return np.random.default_rng([seed, zlib.crc32(text.encode()), self.columns])


def simulate(monitor: Monitor, seed: int) -> Mapping[str, ColumnHistory]:
    """Draw the history of each column.

    Beyond a few columns or many rows, rows are drawn for a column that gives cells and shares, and
    the counts are then drawn from these shares: moved by the hour where the kind hangs together.
    """
    rng = monitor.generator(seed)
    kind = KINDS[monitor.kind]
    per_hour = monitor.window_rows / monitor.length_h
    rows = Rows.drawn(rng, monitor.hours, per_hour, kind.traffic)
    by_rows = per_hour <= ROWS_DRAWN
    found: dict[str, ColumnHistory] = {}
    drawn = min(monitor.columns, COLUMNS_DRAWN)
    few = rows if by_rows else Rows(rng.poisson(200.0, monitor.hours))
    for place in range(drawn):
        values = kind.draw(rng, few, place)
        one = counted(f"x{place}", values, few, monitor.reference_hours, rng)
        found[f"x{place}"] = one if by_rows else _redrawn(one, monitor, rows, rng, place)
    for place in range(drawn, monitor.columns):
        pattern = found[f"x{place % drawn}"]
        found[f"x{place}"] = _redrawn(pattern, monitor, rows, rng, place)
    return found


def _redrawn(
    one: ColumnHistory, monitor: Monitor, rows: Rows, rng: np.random.Generator, place: int
) -> ColumnHistory:
    """Draw a column anew on its cells: independent rows, or as its kind hangs together."""
    slow: np.ndarray | None = None
    empty: np.ndarray | None = None
    concentration = None
    hours = np.arange(rows.counts.size)
    if monitor.kind in ("daily", "weekly"):
        slow = (0.3, 0.6, 1.0)[place % 3] * np.sin(2 * np.pi * (hours - 3 * place) / DAY_H)
        if monitor.kind == "weekly":
            slow = np.where(hours // DAY_H % 7 >= 5, 0.4 * slow - 0.3, slow)
    elif monitor.kind == "autocorrelated":
        slow = _slow(rng, hours.size, (1.0, 4.0, 12.0, 24.0)[place % 4], (0.1, 0.3)[place % 2])
    elif monitor.kind == "sessions":
        concentration = max(1.0, float(rows.per_hour) / SESSION_ROWS)
    elif monitor.kind == "gaps":
        empty = one.hours[:, -2] / np.maximum(one.hours.sum(axis=1), 1)
    fresh = spread(one, rows, rng, slow=slow, concentration=concentration, empty=empty)
    return replace(fresh, cells=replace(one.cells, column=f"x{place}"))


def _slow(rng: np.random.Generator, hours: int, memory_h: float, share: float) -> np.ndarray:
    """An AR(1) by the hour whose variance is ``share``."""
    phi = float(np.exp(-1 / memory_h))
    noise = rng.normal(size=hours) * np.sqrt(share * (1 - phi**2))
    found, _ = signal.lfilter([1.0], [1.0, -phi], noise, zi=[phi * np.sqrt(share) * rng.normal()])
    return np.asarray(found)
