"""Operators of metric math, point by point: what is missing counts as 0 beside what is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from driftline.alerts.math.series import Series, Times, Values

# A number that nothing is known about is NaN; every point that it touches is dropped.
Scalar = float
Value = Scalar | Series | tuple[Series, ...]

_Operator = Callable[[Values, Values], Values]


def _known(of: _Operator) -> _Operator:
    """Make comparisons say nothing of what is not known, where numpy would say false."""

    def compare(left: Values, right: Values) -> Values:
        known = ~(np.isnan(left) | np.isnan(right))
        return np.where(known, of(left, right), np.nan)

    return compare


_OPERATORS: dict[str, _Operator] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.float_power,
    "==": _known(np.equal),
    "!=": _known(np.not_equal),
    "<": _known(np.less),
    "<=": _known(np.less_equal),
    ">": _known(np.greater),
    ">=": _known(np.greater_equal),
    "AND": _known(lambda left, right: (left != 0) & (right != 0)),
    "OR": _known(lambda left, right: (left != 0) | (right != 0)),
}


def operate(sign: str, left: Value, right: Value) -> Value:
    """Apply one operator: numbers, series and arrays in any pair but two arrays.

    Two series are combined at all times that either has; the missing side counts as 0. Results that
    are not finite (division by 0, too) are dropped.
    """
    of = _OPERATORS[sign]
    if isinstance(left, tuple):
        return tuple(_pair(of, one, right) for one in left if not isinstance(right, tuple))
    if isinstance(right, tuple):
        return tuple(_pair(of, left, one, keeps=one.label) for one in right)
    if isinstance(left, Series) or isinstance(right, Series):
        return _pair(of, left, right)
    found = float(of(np.array([left]), np.array([right]))[0])
    return found if np.isfinite(found) else np.nan


def _pair(
    of: _Operator, left: Scalar | Series, right: Scalar | Series, *, keeps: str | None = None
) -> Series:
    """Do an operator where at least one side is a series."""
    if isinstance(left, Series) and isinstance(right, Series):
        times = left.times
        if not np.array_equal(left.times, right.times):
            times = np.union1d(left.times, right.times)
        period = min(left.period_s, right.period_s)
        one, other = at_times(left, times, 0.0), at_times(right, times, 0.0)
    else:
        only = left if isinstance(left, Series) else right
        assert isinstance(only, Series)
        times, period = only.times, only.period_s
        one, other = (
            side.values if isinstance(side, Series) else np.full(len(times), side)
            for side in (left, right)
        )
    if keeps is None:
        keeps = next(side.label for side in (left, right) if isinstance(side, Series))
    return finite(times, of(one, other), period, keeps)


def negate(value: Value) -> Value:
    """Change the sign."""
    return map_values(np.negative, value)


def map_values(of: Callable[[Values], Values], value: Value) -> Value:
    """Do something to each value by itself; what has no finite result is dropped."""
    if isinstance(value, tuple):
        return tuple(_mapped(of, one) for one in value)
    if isinstance(value, Series):
        return _mapped(of, value)
    found = float(of(np.array([value]))[0])
    return found if np.isfinite(found) else np.nan


def _mapped(of: Callable[[Values], Values], series: Series) -> Series:
    return finite(series.times, of(series.values), series.period_s, series.label)


def finite(times: Times, values: Values, period_s: int, label: str) -> Series:
    """Create a series of the points whose values are finite numbers."""
    # Adding 0 turns the 0 that has a minus sign into the one that has none.
    values = values + 0.0
    there = np.isfinite(values)
    if there.all():
        return Series(times, values, period_s, label)
    return Series(times[there], values[there], period_s, label)


def at_times(series: Series, times: Times, missing: float) -> Values:
    """Return a series' values at these times, ascending; ``missing`` where it has none."""
    if series.times is times:
        return series.values
    found = np.full(len(times), missing)
    if len(times) and len(series):
        place = np.searchsorted(times, series.times)
        inside = place < len(times)
        place, kept = place[inside], np.flatnonzero(inside)
        same = times[place] == series.times[kept]
        found[place[same]] = series.values[kept[same]]
    return found
