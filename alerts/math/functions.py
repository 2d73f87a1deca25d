"""Functions of metric math, on series that the table of forms has checked.

Rules are those of CloudWatch's User Guide ("Metric math syntax and functions"); where it is silent,
docs/why/alarms.md has the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from driftline.alerts.math.elementwise import Scalar, Value, at_times, finite, map_values
from driftline.alerts.math.series import Series, Span, Times, Values

# More than any array has.
_MEMBERS_MAX = 1e6

# Takes the span of the question and the arguments, whose kinds were checked.
Function = Callable[[Span, Sequence[object]], Value]


def _each(of: Callable[[Series], Series]) -> Function:
    """Do something to a series, or to each member of an array."""

    def run(span: Span, given: Sequence[object]) -> Value:
        value = given[0]
        if isinstance(value, tuple):
            return tuple(of(one) for one in value)
        return of(_series(value))

    return run


def _mapping(of: Callable[[Values], Values]) -> Function:
    return lambda span, given: map_values(of, given[0])  # type: ignore[arg-type]


def fold_series(name: str, series: Series, span: Span) -> Scalar:
    """Reduce a series to one number; NaN when it has no points (0 for SUM and counts).

    AVG divides by all periods of the span, as missing ones count as 0; STDDEV is the population's,
    of the points that exist.
    """
    values = series.values
    if name == "DATAPOINT_COUNT":
        return float(len(series))
    if not len(series):
        return 0.0 if name == "SUM" else np.nan
    if name in ("SUM", "AVG"):
        periods = max(len(span.times(series.period_s)), len(series))
        found = values.sum() / (periods if name == "AVG" else 1)
    elif name == "STDDEV":
        found = values.std()
    else:
        found = values.max() if name == "MAX" else values.min()
    return float(found) if np.isfinite(found) else np.nan


def _fold(name: str) -> Function:
    def run(span: Span, given: Sequence[object]) -> Value:
        value = given[0]
        if isinstance(value, tuple):
            return _fold_array(name, value, span)
        return fold_series(name, _series(value), span)

    return run


def _fold_array(name: str, members: tuple[Series, ...], span: Span) -> Series:
    """Fold an array per time; only what is there counts, but AVG divides by all members."""
    if not members:
        return Series.empty(span.period_s)
    period = min(one.period_s for one in members)
    times = np.unique(np.concatenate([one.times for one in members]))
    places = [np.searchsorted(times, one.times) for one in members]
    counts, sums = np.zeros(len(times)), np.zeros(len(times))
    for place, one in zip(places, members, strict=True):
        counts[place] += 1
        sums[place] += one.values
    if name == "DATAPOINT_COUNT":
        return Series(times, counts, period)
    if name == "SUM":
        return finite(times, sums, period, "")
    if name == "AVG":
        return finite(times, sums / len(members), period, "")
    if name == "STDDEV":
        means, squares = sums / counts, np.zeros(len(times))
        for place, one in zip(places, members, strict=True):
            squares[place] += (one.values - means[place]) ** 2
        return finite(times, np.sqrt(squares / counts), period, "")
    of, worst = (np.maximum, -np.inf) if name == "MAX" else (np.minimum, np.inf)
    found = np.full(len(times), worst)
    for place, one in zip(places, members, strict=True):
        found[place] = of(found[place], one.values)
    return Series(times, found, period)


def _difference(series: Series) -> Series:
    return _behind_first(series, np.diff(series.values))


def _time_difference(series: Series) -> Series:
    return _behind_first(series, np.diff(series.times).astype(np.float64))


def _rate(series: Series) -> Series:
    return _behind_first(series, np.diff(series.values) / np.diff(series.times))


def _running_sum(series: Series) -> Series:
    return finite(series.times, np.cumsum(series.values), series.period_s, series.label)


def _behind_first(series: Series, values: Values) -> Series:
    """Create a series of what stands between each point and the one before it."""
    return finite(series.times[1:], values, series.period_s, series.label)


def _fill(span: Span, given: Sequence[object]) -> Value:
    value, filler = given
    if isinstance(value, tuple):
        return tuple(_filled(one, filler, span) for one in value)
    return _filled(_series(value), filler, span)


def _filled(series: Series, filler: object, span: Span) -> Series:
    """Fill the periods of the span that have no point."""
    times = np.union1d(span.times(series.period_s), series.times)
    values = at_times(series, times, np.nan)
    missing = np.isnan(values)
    if filler == "REPEAT":
        last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(times))))
        values = np.where(last >= 0, values[last], np.nan)
    elif filler == "LINEAR":
        if len(series):
            line = np.interp(times, series.times, series.values, left=np.nan, right=np.nan)
            values = np.where(missing, line, values)
    elif isinstance(filler, Series):
        values = np.where(missing, at_times(filler, times, np.nan), values)
    else:
        values = np.where(missing, _number(filler), values)
    return finite(times, values, series.period_s, series.label)


def _if(span: Span, given: Sequence[object]) -> Value:
    condition, then, other = (*given, None) if len(given) == 2 else given
    if not isinstance(condition, Series):
        return _if_number(span, _number(condition), then, other)
    times = condition.times
    chosen = np.where(
        condition.values != 0,
        # A true point without a value of its own is 0, a false one is dropped: so AWS's examples.
        _values_at(then, times, 0.0),
        _values_at(other, times, np.nan),
    )
    return finite(times, chosen, condition.period_s, condition.label)


def _if_number(span: Span, condition: Scalar, then: object, other: object) -> Value:
    chosen = np.nan if np.isnan(condition) else then if condition != 0 else other
    if isinstance(chosen, Series):
        return chosen
    number = np.nan if chosen is None else _number(chosen)
    if isinstance(then, Series) or isinstance(other, Series):
        return _constant(span, number)
    return number


def _values_at(value: object, times: Times, missing: float) -> Values:
    if isinstance(value, Series):
        return at_times(value, times, missing)
    return np.full(len(times), np.nan if value is None else _number(value))


def _time_series(span: Span, given: Sequence[object]) -> Value:
    return _constant(span, _number(given[0]))


def _constant(span: Span, number: Scalar) -> Series:
    times = span.times(span.period_s)
    return finite(times, np.full(len(times), number), span.period_s, "")


def _clock(of: Callable[[Times], Times]) -> Function:
    """Return what a clock in UTC shows at each period of the span, with a point or without."""

    def run(span: Span, given: Sequence[object]) -> Value:
        series = _series(given[0])
        times = span.times(series.period_s)
        return Series(times, of(times).astype(np.float64), series.period_s, series.label)

    return run


def _months(times: Times) -> Times:
    months: Times = times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months


def _day_of_month(times: Times) -> Times:
    first = _months(times).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days: Times = times // 86_400 - first + 1
    return days


def _first(span: Span, given: Sequence[object]) -> Value:
    members = _members(given[0])
    return members[0] if members else Series.empty(span.period_s)


def _last(span: Span, given: Sequence[object]) -> Value:
    members = _members(given[0])
    return members[-1] if members else Series.empty(span.period_s)


def _slice(span: Span, given: Sequence[object]) -> Value:
    bounds = [_count(one) for one in given[1:]]
    return _members(given[0])[bounds[0] : bounds[1] if len(bounds) > 1 else None]


def _sort(span: Span, given: Sequence[object]) -> Value:
    members = _members(given[0])
    sign = -1 if given[2] == "DESC" else 1
    keys = [sign * fold_series(str(given[1]), one, span) for one in members]
    # Members without data come last, in either order.
    order = sorted(range(len(members)), key=lambda one: (bool(np.isnan(keys[one])), keys[one]))
    limit = _count(given[3]) if len(given) > 3 else None
    return tuple(members[one] for one in order[:limit])


def _series(value: object) -> Series:
    assert isinstance(value, Series)
    return value


def _members(value: object) -> tuple[Series, ...]:
    assert isinstance(value, tuple)
    return value


def _number(value: object) -> Scalar:
    assert isinstance(value, float)
    return value


def _count(value: object) -> int:
    """Read a number of members: whole, 0 or more; what is not known counts as 0."""
    number = _number(value)
    return 0 if np.isnan(number) else int(min(max(0.0, number), _MEMBERS_MAX))


FUNCTIONS: dict[str, Function] = {
    "ABS": _mapping(np.abs),
    "CEIL": _mapping(np.ceil),
    "FLOOR": _mapping(np.floor),
    "LOG": _mapping(np.log),
    "LOG10": _mapping(np.log10),
    **{name: _fold(name) for name in ("AVG", "MAX", "MIN", "SUM", "STDDEV", "DATAPOINT_COUNT")},
    "METRIC_COUNT": lambda span, given: float(len(_members(given[0]))),
    "DIFF": _each(_difference),
    "DIFF_TIME": _each(_time_difference),
    "RATE": _each(_rate),
    "RUNNING_SUM": _each(_running_sum),
    "FILL": _fill,
    "IF": _if,
    "TIME_SERIES": _time_series,
    "FIRST": _first,
    "LAST": _last,
    "SLICE": _slice,
    "SORT": _sort,
    "REMOVE_EMPTY": lambda span, given: tuple(one for one in _members(given[0]) if len(one)),
    "MINUTE": _clock(lambda times: times // 60 % 60),
    "HOUR": _clock(lambda times: times // 3600 % 24),
    # 1 January 1970 was a Thursday, which is day 4.
    "DAY": _clock(lambda times: (times // 86_400 + 3) % 7 + 1),
    "DATE": _clock(_day_of_month),
    "MONTH": _clock(lambda times: _months(times) % 12 + 1),
    "YEAR": _clock(lambda times: _months(times) // 12 + 1970),
    "EPOCH": _clock(lambda times: times),
}
