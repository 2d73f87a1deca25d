"""Anomaly bands: a robust seasonal model of a metric, and the band around it.

A point is expected at the value of its hour on a working or free day, plus the level of the last
days. The spread is learnt by predicting each day from the days before it, so that it includes
changes from day to day. Medians throughout: a burst in the history moves nothing. docs/measured.md
has its accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.documents import Output
from driftline.alerts.math.seasons import (
    DAY_S,
    GAUSS,
    HOUR_S,
    local_of,
    medians_of,
    nearest_seen,
    seasons_of,
    slots_of,
)
from driftline.alerts.math.series import Times, Values
from driftline.alerts.math.zones import zone_of

# Reference 6: fewer points make no band.
FEWEST_POINTS = 30

_FLOOR = 0.01  # Share of the range of usual values, below which no deviation counts.
_BORROWED = 10  # A slot's own spread weighs as much as all slots' together at so many points.
_LONGEST_TAIL = 8.0
_NORMAL = {0.95: 1.6449, 0.99: 2.3263}  # Quantiles of the normal distribution.


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a model is to learn."""

    # Ranges [start, end), seconds since 1970, that are not usual.
    excluded: Sequence[tuple[int, int]] = ()
    zone: str = "UTC"  # Of hours and free days.
    half_life_d: float = 3.0  # After so many days a level weighs half as much.
    # 0.95 or 0.99: share per side that tells the tails; None: they are the normal distribution's.
    tail: float | None = 0.95
    # Limits of values; None: 0 below if none was ever below, nothing above.
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandModel(Output):
    """A trained model; plain JSON values inside."""

    period_s: int
    zone: str  # Of its hours.
    level: float  # Of the last days; slots are relative to it.
    # Usual distance from the level for each hour of a working day, then of a free day; None where
    # there never was a point. One entry, as of spreads: the history is too short for seasons.
    centres: tuple[float | None, ...]
    spreads: tuple[float | None, ...]  # Standard deviations around the centres.
    below: float  # How much longer tails are than the normal distribution's.
    above: float
    low: float | None  # Limits of the band; None is open.
    high: float | None
    points: int
    start: int  # Of the first and the last point, in seconds since 1970.
    end: int

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> BandModel:
        """Read a model from plain JSON values."""
        made = dict(found)
        return cls(**made | {"centres": tuple(made["centres"]), "spreads": tuple(made["spreads"])})


def fit(
    times: Times, values: Values, period_s: int, learning: Learning | None = None
) -> BandModel | None:
    """Learn what is usual from values at starts of periods; None from fewer than 30 points."""
    how = learning or Learning()
    kept = np.isfinite(values)
    for start, end in how.excluded:
        kept &= (times < start) | (times >= end)
    times, values = times[kept], values[kept]
    if len(times) < FEWEST_POINTS:
        return None
    local = local_of(times + period_s // 2, zone_of(how.zone))
    slots = slots_of(local, period_s)
    days = local // max(DAY_S, period_s)
    seasons, level = seasons_of(values, slots, days)
    if seasons is None:
        slots = np.zeros(len(times), dtype=np.int64)
        seasons = np.zeros(1)
    flat = values - seasons[slots]
    if len(seasons) > 1:
        errors, counted, level = _errors(flat, days, how.half_life_d)
    else:
        errors, counted = flat - level, np.ones(len(flat), dtype=np.bool_)
    drift = float(np.median(errors[counted]))
    # Each hour's usual value was chosen to fit these very points: few points fit too well.
    counts = np.bincount(slots, minlength=len(seasons)).astype(np.float64)
    errors = (errors - drift) * (1 + 0.8 / np.maximum(counts - 0.8, 0.8))[slots]
    spreads = _spreads(errors[counted], slots[counted], len(seasons), values)
    low = how.low
    if low is None and values.min() >= 0:
        low = 0.0
    if low == 0.0 and np.array_equal(values, np.rint(values)):
        # Rare things come by chance (Poisson): one is no more than none, whatever was seen.
        usual = seasons + level + drift
        chance = np.sqrt(np.maximum(usual, 0.25))
        spreads = np.where(usual < 1, np.maximum(spreads, chance), spreads)
    below, above = _tails((errors / spreads[slots])[counted], how.tail)
    seen = np.isin(np.arange(len(seasons)), slots)
    if len(seasons) > 1:
        source = nearest_seen(seen, period_s)
        seasons, spreads, seen = seasons[source], spreads[source], seen[source]
    return BandModel(
        period_s=period_s,
        zone=how.zone,
        level=level + drift,
        centres=tuple(_or_none(seasons, seen)),
        spreads=tuple(_or_none(spreads, seen)),
        below=below,
        above=above,
        low=low,
        high=how.high,
        points=len(times),
        start=int(times[0]),
        end=int(times[-1]),
    )


def band(model: BandModel, times: Times, deviations: float) -> tuple[Values, Values]:
    """Return lower and upper limit at these starts of periods; NaN at hours without history."""
    centres = np.array([np.nan if one is None else one for one in model.centres])
    spreads = np.array([np.nan if one is None else one for one in model.spreads])
    if len(centres) == 1:
        at_centres, at_spreads = np.full(len(times), centres[0]), np.full(len(times), spreads[0])
    else:
        at_centres, at_spreads = _between(model, times, centres, spreads)
    usual = model.level + at_centres
    lower = usual - deviations * model.below * at_spreads
    upper = usual + deviations * model.above * at_spreads
    return np.clip(lower, model.low, model.high), np.clip(upper, model.low, model.high)


def _errors(
    flat: Values, days: NDArray[np.int64], half_life_d: float
) -> tuple[Values, NDArray[np.bool_], float]:
    """Return errors of days predicted from those before, which of them count, and the level now."""
    numbers, which = np.unique(days, return_inverse=True)
    medians = medians_of(flat, which, len(numbers))
    counts = np.bincount(which).astype(np.float64)
    predicted = medians.copy()
    for one in range(1, len(numbers)):
        weights = counts[:one] * 0.5 ** ((numbers[one] - numbers[:one]) / half_life_d)
        predicted[one] = _weighted_median(medians[:one], weights)
    weights = counts * 0.5 ** ((numbers[-1] + 1 - numbers) / half_life_d)
    first = min(round(half_life_d) + 1, len(numbers) // 3)
    return flat - predicted[which], which >= first, _weighted_median(medians, weights)


def _weighted_median(values: Values, weights: Values) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    middle = reached[-1] / 2
    place = int(np.searchsorted(reached, middle))
    if np.isclose(reached[place], middle) and place + 1 < len(values):
        return float(values[order[place : place + 2]].mean())
    return float(values[order[place]])


def _spreads(errors: Values, slots: NDArray[np.int64], size: int, values: Values) -> Values:
    """Return each slot's standard deviation, borrowing from all slots where it has few points."""
    usual_range = float(np.subtract(*np.quantile(values, [0.95, 0.05])))
    floor = max(_FLOOR * usual_range, 1e-9 * float(np.abs(values).max()), 1e-12)
    whole = max(GAUSS * float(np.median(np.abs(errors))), floor)
    found = np.full(size, whole)
    for slot in np.unique(slots).tolist():
        inside = np.abs(errors[slots == slot])
        count = len(inside)
        own = max(GAUSS * float(np.median(inside)), floor)
        share = count / (count + _BORROWED)
        # The slot's median is itself uncertain by pi / 2n of the variance.
        wider = np.sqrt(1 + np.pi / (2 * count))
        found[slot] = np.exp(share * np.log(own) + (1 - share) * np.log(whole)) * wider
    return found


def _tails(scaled: Values, tail: float | None) -> tuple[float, float]:
    """Return how much longer than the normal distribution's the tails are, below and above."""
    if tail is None:
        return 1.0, 1.0
    low, high = np.quantile(scaled, [1 - tail, tail])
    below, above = np.clip(np.array([-low, high]) / _NORMAL[tail], 1.0, _LONGEST_TAIL)
    return float(below), float(above)


def _between(
    model: BandModel, times: Times, centres: Values, spreads: Values
) -> tuple[Values, Values]:
    """Go from the middle of one hour to the middle of the next in a straight line."""
    period, half = model.period_s, HOUR_S // 2
    local = local_of(times + period // 2, zone_of(model.zone))
    there = slots_of(local, period)
    if period >= DAY_S:
        return centres[there], spreads[there]
    before, after = slots_of(local - half, period), slots_of(local + half, period)
    share = (local - half) % HOUR_S / HOUR_S
    found = []
    for table in (centres, spreads):
        left, right = table[before], table[after]
        left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
        found.append(left + share * (right - left))
    # An hour without history has no band, whatever its neighbours say.
    unknown = np.isnan(centres[there])
    return np.where(unknown, np.nan, found[0]), np.where(unknown, np.nan, found[1])


def _or_none(values: Values, seen: NDArray[np.bool_]) -> list[float | None]:
    return [
        float(value) if there else None
        for value, there in zip(values.tolist(), seen.tolist(), strict=True)
    ]
