"""What an alarm measures: the points of its periods, from what came in for its metrics.

Live evaluation and replay differ in where datapoints come from; from here on they are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from driftline.alerts.alarms.alarm import Point
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.period_evaluation import math_points, points
from driftline.alerts.math.band import FEWEST_POINTS
from driftline.alerts.math.elementwise import Value
from driftline.alerts.math.evaluate import BandOf, Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.reading import series_of
from driftline.alerts.math.series import Series
from driftline.alerts.metrics.summary import Summary


def measure(
    definition: AlarmDefinition,
    plan: Plan | None,
    found: Sequence[Mapping[int, Summary]],
    edges: Sequence[datetime],
    band: BandOf | None = None,
) -> list[Point]:
    """Return the points of an alarm at one evaluation."""
    starts = edges[:-1]
    if plan is None:
        return points(definition, found[0], starts)
    seconds = [int(start.timestamp()) for start in starts]

    def fetch(queries: Sequence[MetricQuery]) -> list[Series]:
        return [series_of(query, one, seconds) for query, one in zip(queries, found, strict=True)]

    first, last = int(edges[0].timestamp()), int(edges[-1].timestamp())
    untrained: list[Untrained] = []

    def noted(id_: str, deviations: float) -> tuple[Series, Series] | Untrained:
        limits = Untrained(id_, FEWEST_POINTS) if band is None else band(id_, deviations)
        if isinstance(limits, Untrained):
            untrained.append(limits)
        return limits

    values = plan.values(fetch, first, last, noted)
    watched = definition.watched_id
    lower, upper = _band(definition, values)
    return math_points(
        _line(values[watched]),
        starts,
        lower=lower,
        upper=upper,
        sample_counts=_sample_counts(plan, watched, found, seconds),
        untrained=_untrained(definition, plan, untrained),
    )


def _sample_counts(
    plan: Plan, watched: str, found: Sequence[Mapping[int, Summary]], seconds: Sequence[int]
) -> dict[int, float]:
    """Return how many samples there are of a metric that is watched itself, beside its band."""
    for query, periods in zip(plan.metrics, found, strict=True):
        if query.id == watched:
            return {seconds[place]: one.sample_count for place, one in periods.items()}
    return {}


def _band(
    definition: AlarmDefinition, values: Mapping[str, Value]
) -> tuple[dict[int, float] | None, dict[int, float] | None]:
    if definition.threshold_metric_id is None:
        return None, None
    band = values[definition.threshold_metric_id]
    assert isinstance(band, tuple) and len(band) == 2
    return band[1].as_dict(), band[0].as_dict()


def _untrained(
    definition: AlarmDefinition, plan: Plan, found: Sequence[Untrained]
) -> Untrained | None:
    """Return the first of these bands that the alarm depends on."""
    if not found:
        return None
    ids = [one for one in (definition.watched_id, definition.threshold_metric_id) if one]
    wanted = set(plan.needed(ids).bands())
    return next((one for one in found if one.id in wanted), None)


def _line(value: Value) -> dict[int, float]:
    return value.as_dict() if isinstance(value, Series) else {}
