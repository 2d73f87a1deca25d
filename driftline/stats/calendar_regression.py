"""What hour, weekday and season lead to expect: regression of hours and days on the calendar.

Shapes: H hours, D days, K coefficients, F series. Hours and days are counted from
1970-01-01T00:00Z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

DAY_H = 24
YEAR_DAYS = 365.2425
# From so many days of reference on weekends have a daily cycle of their own, and the year is known.
WEEKEND_DAYS = 28.0
SEASON_DAYS = 330.0
# 1970-01-01 was a Thursday: three days after a Monday.
FIRST_WEEKDAY = 3

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]


def hour_design(hours: Integers, span_days: float) -> Numbers:
    """Return what a value may depend on: hour, weekend, and season with its own daily cycle.

    Parameters
    ----------
    hours
        Shape (H,).
    span_days
        How long the reference is: weekends come in from 28 days on, the year from 330 days on.

    Returns
    -------
    numpy.ndarray
        Shape (H, K), K 24, 29 or 41: an indicator of each hour; weekend, alone and times two daily
        harmonics; two yearly harmonics, and the first of them times the daily ones.

    References
    ----------
    Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, section 2.3.4
    (trigonometric seasonality).
    """
    hour = hours % DAY_H
    angle = 2 * np.pi * hour / DAY_H
    daily = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    columns = list((hour[:, None] == np.arange(DAY_H)).T.astype(np.float64))
    if span_days >= WEEKEND_DAYS:
        weekend = _weekend(hours // DAY_H)
        columns += [weekend, *(weekend * wave for wave in daily)]
    if span_days >= SEASON_DAYS:
        yearly = _yearly(np.asarray(hours / DAY_H))
        columns += [*yearly, *(first * wave for first in yearly[:2] for wave in daily)]
    return np.stack(columns, axis=1)


def day_design(days: Integers, span_days: float) -> Numbers:
    """Return what the mean of a day may depend on besides: weekend and season.

    Parameters
    ----------
    days
        Shape (D,).
    span_days
        As of `hour_design`.

    Returns
    -------
    numpy.ndarray
        Shape (D, K), K 1, 2 or 6: 1; weekend; two yearly harmonics.

    References
    ----------
    Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, section 2.3.4.
    """
    columns = [np.ones(len(days))]
    if span_days >= WEEKEND_DAYS:
        columns.append(_weekend(days))
    if span_days >= SEASON_DAYS:
        columns += _yearly(np.asarray(days + 0.5))
    return np.stack(columns, axis=1)


def weighted_ridge(design: Numbers, weights: Numbers, values: Numbers, ridge: float) -> Numbers:
    """Return the coefficients that fit several series by least squares, with a small ridge.

    Parameters
    ----------
    design
        Shape (n, K).
    weights
        Not negative, shape (n,) for all series or (n, F).
    values
        Shape (n, F).
    ridge
        In units of the mean diagonal of the normal equations; keeps apart what the data do not
        tell apart, such as an hour without rows.

    Returns
    -------
    numpy.ndarray
        Shape (K, F).

    References
    ----------
    Hoerl, Kennard, Technometrics 12, 1970.
    """
    if weights.ndim > 1:
        each = [
            weighted_ridge(design, weights[:, at], values[:, [at]], ridge)
            for at in range(values.shape[1])
        ]
        return np.concatenate(each, axis=1) if each else np.zeros((design.shape[1], 0))
    return Ridge(design, ridge).fit(weights, values)


@dataclass(slots=True)
class Ridge:
    """Fits series on one design as `weighted_ridge` does, quicker where weights come again."""

    design: Numbers  # Shape (n, K).
    ridge: float
    _weights: Numbers | None = None  # Those that came last, shape (n,).
    _weighted: Numbers = field(default_factory=partial(np.empty, (0, 0)))
    _normal: Numbers = field(default_factory=partial(np.empty, (0, 0)))

    def fit(self, weights: Numbers, values: Numbers) -> Numbers:
        """Return the coefficients, shape (K, F), given weights of shape (n,) and values (n, F).

        References
        ----------
        Hoerl, Kennard, Technometrics 12, 1970.
        """
        self._weigh(weights)
        return np.asarray(np.linalg.solve(self._normal, self._weighted.T @ values))

    def _weigh(self, weights: Numbers) -> None:
        if self._weights is None or not np.array_equal(weights, self._weights):
            self._weights, self._weighted = weights, self.design * weights[:, None]
            normal = self.design.T @ self._weighted
            least = max(self.ridge * np.trace(normal) / len(normal), np.finfo(np.float64).tiny)
            self._normal = normal + least * np.eye(len(normal))


def _weekend(days: Integers) -> Numbers:
    return np.asarray((days + FIRST_WEEKDAY) % 7 >= 5, dtype=np.float64)


def _yearly(days: Numbers) -> list[Numbers]:
    """Return two yearly harmonics, each of shape (n,)."""
    angle = 2 * np.pi * days / YEAR_DAYS
    return [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
