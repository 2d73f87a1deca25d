"""What is usual for a metric: a robust seasonal model, and the band around it.

A point's usual value is that of its hour on a working or free day, plus the level of the last days.
How far points stray is learnt by predicting each day from the days before it, so that what changes
from day to day is part of it. Medians throughout: a burst in the history moves nothing.
docs/why/bands.md says how well it does, and what was tried beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """How a model is to learn.

    Parameters
    ----------
    excluded
        Ranges (start, end) in seconds since 1970 that say nothing of what is usual; half-open.
    zone
        Time zone of hours and of free days, such as ``Europe/Berlin`` or ``+01:00``.
    half_life_d
        After so many days a level weighs half as much.
    tail
        0.95 or 0.99: the share of points per side from which the length of tails is learnt; what
        is beyond counts as outliers. None: tails are taken to be the normal distribution's.
    low, high
        Limits that values cannot pass; None: 0 below if no value was ever below, nothing above.
    """

    excluded: Sequence[tuple[int, int]] = ()
    zone: str = "UTC"
    half_life_d: float = 3.0
    tail: float | None = 0.95
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandModel:
    """What was learnt; plain JSON values inside.

    Parameters
    ----------
    period_s
        Length of the periods that it was learnt from, in seconds.
    zone
        Time zone of its hours.
    level
        Of the last days; slots are relative to it.
    centres, spreads
        For each hour of a working day, then of a free day: the usual distance from the level, and
        the standard deviation around it; None where there never was a point. One entry each: the
        history is too short for seasons.
    below, above
        How much longer tails are than the normal distribution's.
    low, high
        Limits of the band; None is open.
    points, start, end
        What it was learnt from: points, and their first and last time in seconds since 1970.
    """

    period_s: int
    zone: str
    level: float
    centres: tuple[float | None, ...]
    spreads: tuple[float | None, ...]
    below: float
    above: float
    low: float | None
    high: float | None
    points: int
    start: int
    end: int

    def as_dict(self) -> dict[str, Any]:
        """Return the model as plain JSON values."""
        found = asdict(self)
        return found | {"centres": list(self.centres), "spreads": list(self.spreads)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> BandModel:
        """Read a model from plain JSON values."""
        made = dict(found)
        return cls(**made | {"centres": tuple(made["centres"]), "spreads": tuple(made["spreads"])})


def fit(
    times: Times, values: Values, period_s: int, learning: Learning | None = None
) -> BandModel | None:
    """Learn what is usual.

    Parameters
    ----------
    times, values
        Starts of periods in seconds since 1970, ascending, and their values; shape (n,).
    period_s
        Length of a period in seconds.
    learning
        How; None: as :class:`Learning` does by default.

    Returns
    -------
    BandModel or None
        None when fewer than 30 points are left.
    """
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
        errors, told, level = _errors(flat, days, how.half_life_d)
    else:
        errors, told = flat - level, np.ones(len(flat), dtype=np.bool_)
    drift = float(np.median(errors[told]))
    # Each hour's usual value was chosen to fit these very points: few points fit too well.
    counts = np.bincount(slots, minlength=len(seasons)).astype(np.float64)
    errors = (errors - drift) * (1 + 0.8 / np.maximum(counts - 0.8, 0.8))[slots]
    spreads = _spreads(errors[told], slots[told], len(seasons), values)
    low = how.low
    if low is None and values.min() >= 0:
        low = 0.0
    if low == 0.0 and np.array_equal(values, np.rint(values)):
        # Rare things come by chance (Poisson): one is no more than none, whatever was seen.
        usual = seasons + level + drift
        chance = np.sqrt(np.maximum(usual, 0.25))
        spreads = np.where(usual < 1, np.maximum(spreads, chance), spreads)
    below, above = _tails((errors / spreads[slots])[told], how.tail)
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
    """Return the band at these times.

    Parameters
    ----------
    times
        Starts of periods, seconds since 1970; shape (n,).
    deviations
        How many standard deviations wide to each side.

    Returns
    -------
    tuple
        Lower and upper limit, shape (n,); NaN at hours that no point was ever seen in.
    """
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
    """Predict each day's level from the days before.

    Returns
    -------
    tuple
        The errors; which of them tell how good predictions are (the first days have too little
        before them); and the level from now on.
    """
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
    """Say how much longer than the normal distribution's the tails are, below and above."""
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
