"""Why a metric has no data for an alarm, and the fix: the top complaint about alarms.

Checks the likeliest mistake first: was anything ever put for exactly these dimensions, in this
unit, in this window, often enough, and so that this statistic can be computed?
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

from sqlalchemy import Connection, select

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.math.plan import Plan
from driftline.alerts.metrics.datapoint import UNITS, metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.statistic import STATISTICS
from driftline.alerts.metrics.summary import Summary
from driftline.alerts.tables import metrics

# How far back, and how finely, the newest datapoints are looked for to see how often they come.
_LOOKS: Final = ((timedelta(hours=3), 10), (timedelta(days=2), 60), (timedelta(days=70), 3_600))
_FEW = 3
# Of metrics that somebody may have meant: how many names are compared.
_NAMES_MAX: Final = 2_000
_SIMILAR_MAX = 5


@dataclass(frozen=True, slots=True)
class Watched:
    """One metric that an alarm looks at."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    unit: str | None

    @property
    def key(self) -> str:
        """The digest under which it is stored."""
        return metric_key(self.namespace, self.name, dict(self.dimensions))

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in self.dimensions)
        return f"{self.namespace} {self.name} {{{shown}}}"


@dataclass(frozen=True, slots=True)
class Similar:
    """A metric that has data, named almost as the one that was asked for."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(self.dimensions.items()))
        return f"{self.namespace} {self.name} {{{shown}}}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one metric, the fix, and similar names."""

    metric: str
    # never_put, unit, statistic, period, stopped, not_due; of all metrics band or expression.
    code: str
    problem: str
    mend: str
    similar: tuple[Similar, ...] = ()  # Metrics with data that are named almost alike.


def watched(definition: AlarmDefinition, plan: Plan | None) -> tuple[Watched, ...]:
    """Return the metrics that an alarm looks at, each once, in its order."""
    if plan is None:
        dimensions = tuple(sorted(definition.dimensions.items()))
        return (
            Watched(
                definition.namespace,
                definition.metric_name,
                dimensions,
                definition.statistic_name,
                definition.unit,
            ),
        )
    found = (
        Watched(
            query.namespace or "",
            query.metric_name or "",
            tuple(sorted(query.dimensions.items())),
            query.stat or "",
            query.unit,
        )
        for query in plan.metrics
    )
    return tuple(dict.fromkeys(found))


def diagnose(
    connection: Connection, metric: Watched, edges: Sequence[datetime], period_s: int
) -> Finding | None:
    """Return why a metric has nothing between the first and the last border; None: it has."""
    table = metrics.c
    row = connection.execute(
        select(table.id, table.covered_until, table.active_at).where(table.key == metric.key)
    ).one_or_none()
    marks = () if row is None else (row.covered_until, row.active_at)
    newest = max((one for one in marks if one is not None), default=None)
    if row is None or newest is None:
        return _never_put(connection, metric)
    start, end = edges[0], edges[-1]
    length_s = max(int((end - start).total_seconds()), 1)
    found = _at(connection, metric, start, end, length_s, [metric.unit])[0]
    if found is not None:
        return _untold(metric) if found.get(metric.statistic) is None else None
    if (finding := _wrong_unit(connection, metric, start, end, length_s)) is not None:
        return finding
    # The one mark is an end and the other a sample's own time.
    if newest > end or newest == row.active_at == end:
        return Finding(
            str(metric),
            "not_due",
            f"its datapoints, up to {moment(newest)}, lie after the window that was judged",
            "nothing to do: they are judged when their period is over",
        )
    return _too_old(connection, metric, newest, (start, end), period_s)


def incomparable(definition: AlarmDefinition, *, has_values: bool) -> Finding | None:
    """Return why nothing can be judged though all metrics have data; None: it is one metric."""
    if not definition.metrics:
        return None
    if has_values:
        return Finding(
            f"{definition.threshold_metric_id}",
            "band",
            f"there are values and no band beside them: the detector of "
            f"{definition.threshold_metric_id} was not trained yet, or had too few datapoints",
            "nothing to do: it needs 30 datapoints and is tried again each minute at first; "
            "driftline detector list shows it",
        )
    query = next(one for one in definition.metrics if one.id == definition.watched_id)
    return Finding(
        f"{query.id} = {query.expression}",
        "expression",
        f"all metrics have data, and {query.id} = {query.expression} has no value in any period",
        "fix the expression: dividing by 0 gives no value, and most functions give none for a "
        "period in which one of the metrics has none",
    )


def _never_put(connection: Connection, metric: Watched) -> Finding:
    similar = tuple(
        similar_metrics(connection, metric.namespace, metric.name, dict(metric.dimensions))
    )
    problem = f"no datapoint was ever put for exactly these dimensions: {metric}"
    same = [one for one in similar if (one.namespace, one.name) == (metric.namespace, metric.name)]
    if same:
        mend = (
            "a metric is its namespace, its name and the exact set of its dimensions; take those "
            f"of a metric with data: {same[0]}"
        )
    elif similar:
        mend = (
            f"did you mean {similar[0]}, which has data? Else put a datapoint; where datapoints "
            "come only on errors, set treat_missing_data to notBreaching"
        )
    else:
        mend = (
            "put a datapoint, or correct namespace and name (driftline metric list); where "
            "datapoints come only on errors, set treat_missing_data to notBreaching"
        )
    return Finding(str(metric), "never_put", problem, mend, similar)


def _untold(metric: Watched) -> Finding:
    return Finding(
        str(metric),
        "statistic",
        f"{metric.statistic} cannot be told: some datapoints are statistic sets, which do not say "
        "how their values are spread",
        "put single values, or values and counts; or take Average, Sum, Minimum, Maximum or "
        "SampleCount",
    )


def _wrong_unit(
    connection: Connection, metric: Watched, start: datetime, end: datetime, length_s: int
) -> Finding | None:
    if metric.unit is None:
        return None
    units = sorted(UNITS)
    answers = _at(connection, metric, start, end, length_s, units)
    found = [unit for unit, one in zip(units, answers, strict=True) if one is not None]
    if not found:
        return None
    shown = ", ".join(found)
    return Finding(
        str(metric),
        "unit",
        f"the alarm wants unit {metric.unit}; the datapoints have {shown}",
        f"set unit to {found[0]}, or leave it out to take all units together",
    )


def _too_old(
    connection: Connection,
    metric: Watched,
    newest: datetime,
    window: tuple[datetime, datetime],
    period_s: int,
) -> Finding:
    """Distinguish datapoints that come too seldom from those that stopped."""
    start, end = window
    spacing_s = _spacing_s(connection, metric, newest)
    if spacing_s is not None and spacing_s > (end - start).total_seconds():
        return Finding(
            str(metric),
            "period",
            f"its datapoints come every {duration(spacing_s)}; the alarm looks at the last "
            f"{duration((end - start).total_seconds())} only",
            f"set period to {_period(spacing_s)} or more, instead of {period_s}",
        )
    return Finding(
        str(metric),
        "stopped",
        f"the metric stopped at {moment(newest)}; nothing came in since {moment(start)}",
        "see to what puts it; where silence is good, set treat_missing_data to notBreaching, and "
        "where it is bad, to breaching",
    )


def _spacing_s(connection: Connection, metric: Watched, newest: datetime) -> float | None:
    """Return how many seconds lie between the newest datapoints, mostly; None for too few."""
    end = newest + timedelta(seconds=1)
    for length, step_s in _LOOKS:
        request = SeriesRequest(metric.key, end - length, end, step_s)
        places = sorted(read_many(connection, [request])[0])
        if len(places) >= _FEW:
            return float(median(late - early for early, late in pairwise(places))) * step_s
    return None


def _at(
    connection: Connection,
    metric: Watched,
    start: datetime,
    end: datetime,
    length_s: int,
    units: Sequence[str | None],
) -> list[Summary | None]:
    """Return what came in in one span, for each unit."""
    needs = metric.statistic not in STATISTICS
    requests = [SeriesRequest(metric.key, start, end, length_s, unit, needs) for unit in units]
    return [found.get(0) for found in read_many(connection, requests)]


def _period(spacing_s: float) -> int:
    """Return the shortest period that CloudWatch takes and that holds a datapoint."""
    return next((one for one in (10, 20, 30) if one >= spacing_s), -int(-spacing_s // 60) * 60)


def duration(seconds: float) -> str:
    """Write a length of time, in the largest unit that it is a whole number of."""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        count = seconds / size
        if count >= 1 and count == int(count):
            return f"{int(count)} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} s"


def moment(time: datetime) -> str:
    """Write a time for people, in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def similar_metrics(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
) -> list[Similar]:
    """Return metrics of the same name with other dimensions, else those named almost alike."""
    columns = metrics.c
    pairs = connection.execute(select(columns.namespace, columns.name).distinct().limit(_NAMES_MAX))
    by_text = {f"{one.namespace} {one.name}": (one.namespace, one.name) for one in pairs}
    wanted = f"{namespace} {name}"
    near = difflib.get_close_matches(wanted, by_text, n=_SIMILAR_MAX)
    found: list[Similar] = []
    for space, label in [(namespace, name)] * (wanted in by_text) or [by_text[one] for one in near]:
        query = select(columns.dimensions).where(columns.namespace == space, columns.name == label)
        others = connection.scalars(query.order_by(columns.id.desc()).limit(_SIMILAR_MAX + 1))
        found += [Similar(space, label, dict(other)) for other in others]
    asked = Similar(namespace, name, dict(dimensions))
    return [one for one in found if one != asked][:_SIMILAR_MAX]
