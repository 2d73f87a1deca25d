"""Columns that do not drift: how the values of each kind of stream are drawn.

A column is a function of a random generator and the rows that gives one value a row: float64, NaN
where there is none, for numbers; int64 codes of levels, -1 where there is none, for text. The
place of a column in its monitor (0, 1, 2 ...) chooses its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import signal

from tests.monitors.drift_test.simulation.rows import DAY_H, Rows, Traffic, hour_of_day, is_weekend

Draw = Callable[[np.random.Generator, Rows, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of stream.

    Parameters
    ----------
    draw
        Gives the values of one column.
    traffic
        How the rows are spread over the hours.
    words
        What it is, for the report.
    """

    draw: Draw
    words: str
    traffic: Traffic = "even"


def normal(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Independent normal numbers."""
    return rng.normal(10.0 * place, 1.0 + place, rows.total)


def heavy(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Student's t with 2 degrees, Cauchy, Pareto, log-normal."""
    size = rows.total
    if place % 4 == 0:
        return rng.standard_t(2, size)
    if place % 4 == 1:
        return rng.standard_cauchy(size)
    if place % 4 == 2:
        return rng.pareto(1.5, size) + 1.0
    return rng.lognormal(3.0, 2.0, size)


def ties(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Rounded numbers: from 5 to some hundred different values."""
    step = (1.0, 0.5, 0.25, 0.1, 0.02)[place % 5]
    return np.round(rng.normal(size=rows.total) / step) * step


def counts(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Poisson, geometric and negative binomial numbers."""
    size = rows.total
    if place % 3 == 0:
        return rng.poisson(0.5 * 3.0 ** (place // 3 % 4), size).astype(float)
    if place % 3 == 1:
        return rng.geometric(0.05 + 0.1 * (place // 3 % 4), size).astype(float)
    return rng.negative_binomial(0.7, 0.1, size).astype(float)


def zeros(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Mostly zero, else exponential or log-normal."""
    share = (0.3, 0.6, 0.9, 0.97, 0.995)[place % 5]
    size = rows.total
    other = rng.exponential(size=size) if place % 2 else rng.lognormal(2.0, 1.0, size)
    return np.where(rng.random(size) < share, 0.0, other)


def categories(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Closed lists of 2 to 200 levels, some of them rare."""
    levels = (2, 3, 8, 30, 200)[place % 5]
    shares = rng.dirichlet(np.full(levels, 0.7))
    return np.asarray(np.searchsorted(np.cumsum(shares)[:-1], rng.random(rows.total), "right"))


def vocabulary(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Words of an open list (Zipf): new ones come for ever."""
    power = (1.3, 1.6, 2.0, 1.45, 2.5)[place % 5]
    return np.minimum(rng.zipf(power, rows.total), 10**9)


def walk(rng: np.random.Generator, rows: Rows, memory_h: float) -> np.ndarray:
    """AR(1) over the rows in their order, variance 1, that forgets in ``memory_h`` hours."""
    phi = float(np.exp(-1 / (memory_h * max(rows.per_hour, 1e-9))))
    noise = rng.normal(size=rows.total) * np.sqrt(1 - phi**2)
    found, _ = signal.lfilter([1.0], [1.0, -phi], noise, zi=[phi * rng.normal()])
    return np.asarray(found)


def autocorrelated(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """A memory of 1, 4, 12 or 24 hours, in 30% of the variance or in all of it; a level, too."""
    memory_h = (1.0, 4.0, 12.0, 24.0)[place % 4]
    slow = walk(rng, rows, memory_h)
    if place % 3 == 2:
        return np.digitize(slow, [-0.5, 0.8])
    part = (0.3, 1.0)[place % 2]
    return np.sqrt(part) * slow + np.sqrt(1 - part) * rng.normal(size=rows.total)


def clusters(rng: np.random.Generator, rows: Rows, longest: int) -> np.ndarray:
    """Return for each row the number of its session; sessions have 1 to ``longest`` rows."""
    sizes = rng.integers(1, longest + 1, 2 * rows.total // (longest + 1) + 100)
    while sizes.sum() < rows.total:
        sizes = np.concatenate([sizes, sizes])
    return np.repeat(np.arange(sizes.size), sizes)[: rows.total]


def sessions(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Rows of a session share their value, nearly or wholly; numbers, levels, gaps."""
    who = clusters(rng, rows, (10, 30, 60)[place % 3])
    count = int(who[-1]) + 1
    if place % 4 == 1:
        return rng.lognormal(2.0, 1.0, count)[who] * rng.uniform(0.9, 1.1, rows.total)
    if place % 4 == 2:
        return rng.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])[who]
    if place % 4 == 3:
        broken = (rng.random(count) < 0.04)[who]
        return np.where(broken, np.nan, rng.normal(size=rows.total))
    return np.round(rng.normal(size=count)[who], 2)


def gaps(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Gaps that come in bursts: 2 to 60 minutes, every few hours, beside single ones."""
    minutes = rows.counts.size * 60
    rate, length = (0.004, 5) if place % 2 else (0.0015, 20)
    starts = np.flatnonzero(rng.random(minutes) < rate)
    ends = np.minimum(starts + rng.integers(2, 3 * length, starts.size), minutes)
    depth = np.zeros(minutes + 1)
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    out = np.cumsum(depth)[:-1] > 0
    minute = rows.hour * 60 + rng.integers(0, 60, rows.total)
    lost = out[minute] & (rng.random(rows.total) < (1.0, 0.5)[place // 2 % 2])
    lost |= rng.random(rows.total) < (0.0, 0.002, 0.03)[place % 3]
    return np.where(lost, np.nan, rng.normal(size=rows.total))


def seasonal(rng: np.random.Generator, rows: Rows, place: int, *, weekly: bool) -> np.ndarray:
    """A mean and a spread that follow the hour, and the weekend when ``weekly``."""
    at = np.arange(rows.counts.size)
    size = (0.3, 0.6, 1.0, 1.5)[place % 4]
    cycle = size * np.sin(2 * np.pi * (hour_of_day(at) - 3 * place) / DAY_H)
    spread = 1 + 0.3 * np.cos(2 * np.pi * hour_of_day(at) / DAY_H)
    if weekly:
        cycle = np.where(is_weekend(at), 0.4 * cycle - 0.5 * size, cycle)
    values = cycle[rows.hour] + spread[rows.hour] * rng.normal(size=rows.total)
    return np.digitize(values, [-1.0, 0.0, 1.5]) if place % 4 == 3 else values


def daily(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Values by the hour of the day."""
    return seasonal(rng, rows, place, weekly=False)


def weekly(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """Values by the hour of the day and the weekend."""
    return seasonal(rng, rows, place, weekly=True)


def mixed(rng: np.random.Generator, rows: Rows, place: int) -> np.ndarray:
    """One kind after the other: what a wide monitor sees."""
    names = [name for name in KINDS if name not in ("mixed", "daily", "weekly")]
    return KINDS[names[place % len(names)]].draw(rng, rows, place // len(names))


KINDS: Mapping[str, Kind] = {
    "normal": Kind(normal, "independent, normal"),
    "heavy": Kind(heavy, "independent, heavy tails"),
    "ties": Kind(ties, "independent, rounded: ties"),
    "counts": Kind(counts, "independent, whole numbers"),
    "zeros": Kind(zeros, "independent, mostly zero"),
    "categories": Kind(categories, "independent, closed levels"),
    "vocabulary": Kind(vocabulary, "independent, open vocabulary"),
    "autocorrelated": Kind(autocorrelated, "AR(1) over the rows, memory 1 to 24 h"),
    "sessions": Kind(sessions, "sessions that share values and gaps"),
    "gaps": Kind(gaps, "gaps in bursts"),
    "daily": Kind(daily, "daily season, in values and traffic", "daily"),
    "weekly": Kind(weekly, "weekly season, in values and traffic", "weekly"),
    "mixed": Kind(mixed, "ten of the kinds above in turn"),
}
