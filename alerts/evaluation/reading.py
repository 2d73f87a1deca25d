"""Reads the points of thousands of alarms in few statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import Point
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.measured import measure
from driftline.alerts.math.evaluate import BandOf
from driftline.alerts.math.plan import Plan
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.statistic import STATISTICS
from driftline.alerts.metrics.summary import Summary
from driftline.errors import InputError

# So many minutes of metrics are read at once, which bounds the memory of a pass.
_MINUTES_AT_ONCE = 200_000
_REQUESTS_AT_ONCE = 5_000

# Gives the bands that the metrics of a plan have at periods that start then, read in the
# transaction that is open.
BandsOf = Callable[[Connection, Plan, Sequence[datetime]], BandOf]


@dataclass(frozen=True, slots=True)
class Question:
    """One alarm at one moment."""

    definition: AlarmDefinition
    plan: Plan | None  # Checked; None for an alarm on one metric.
    edges: tuple[datetime, ...]  # Borders of its periods, oldest first.

    @property
    def minutes(self) -> float:
        """How many minutes of metrics it takes to answer."""
        count = 1 if self.plan is None else len(self.plan.metrics)
        return count * (self.edges[-1] - self.edges[0]) / timedelta(minutes=1)

    def requests(self) -> list[SeriesRequest]:
        """Return the requests for data: each metric's periods, in one request if they are even."""
        spans = [(self.edges[0], self.edges[-1])] if self.is_even else list(pairwise(self.edges))
        found = [requests_of(self.definition, self.plan, span) for span in spans]
        # All periods of one metric stand together.
        return [request for metric in zip(*found, strict=True) for request in metric]

    @property
    def is_even(self) -> bool:
        """Whether all periods are equally long; days on which clocks change are not."""
        step = timedelta(seconds=self.definition.period)
        if self.definition.evaluation_window is None:
            return self.edges[-1] - self.edges[0] == step * (len(self.edges) - 1)
        return all(end - start == step for start, end in pairwise(self.edges))


def requests_of(
    definition: AlarmDefinition, plan: Plan | None, span: tuple[datetime, datetime]
) -> list[SeriesRequest]:
    """Return the requests for data of an alarm's metrics; a span of one period may be uneven."""
    start, end = span
    length_s = int((end - start).total_seconds())
    # Days on which clocks change are an hour longer or shorter than the period.
    period_s = length_s if length_s < 2 * definition.period else definition.period
    if plan is None:
        needs = definition.statistic_name not in STATISTICS
        key, unit = definition.metric_key, definition.unit
        return [SeriesRequest(key, start, end, period_s, unit, needs)]
    return [
        SeriesRequest(
            query.metric_key, start, end, period_s, query.unit, query.stat not in STATISTICS
        )
        for query in plan.metrics
    ]


def read_points(
    connection: Connection, questions: Sequence[Question], bands: BandsOf | None = None
) -> Iterator[tuple[Question, list[Point] | Exception]]:
    """Answer questions in their order, some thousand at a time."""
    for some in _portions(questions):
        wanted: dict[SeriesRequest, int] = {}
        asked = [[wanted.setdefault(one, len(wanted)) for one in q.requests()] for q in some]
        found = read_many(connection, list(wanted))
        for question, places in zip(some, asked, strict=True):
            answers = [found[place] for place in places]
            try:
                yield question, answer(connection, question, _by_metric(question, answers), bands)
            except Exception as error:  # noqa: BLE001 - handed on with the alarm it belongs to
                yield question, error


def read_periods(
    connection: Connection, question: Question, bands: BandsOf | None = None
) -> tuple[list[Point], str | None]:
    """Answer a question; or say why its metric math could not be done, and take it as missing."""
    ((_, found),) = read_points(connection, [question], bands)
    if not isinstance(found, Exception):
        return found, None
    if isinstance(found, InputError):
        return [Point(start) for start in question.edges[:-1]], str(found)
    raise found


def _portions(questions: Sequence[Question]) -> Iterator[list[Question]]:
    some: list[Question] = []
    minutes = 0.0
    for question in questions:
        some.append(question)
        minutes += question.minutes
        if minutes >= _MINUTES_AT_ONCE or len(some) >= _REQUESTS_AT_ONCE:
            yield some
            some, minutes = [], 0.0
    if some:
        yield some


def answer(
    connection: Connection,
    question: Question,
    series: Sequence[Mapping[int, Summary]],
    bands: BandsOf | None = None,
) -> list[Point]:
    """Return the points of an alarm from the data read: for each metric its periods, by index."""
    band, plan, edges = None, question.plan, question.edges
    if plan is not None and bands is not None and any(True for _ in plan.bands()):
        band = bands(connection, plan, edges[:-1])
    return measure(question.definition, plan, series, edges, band)


def _by_metric(
    question: Question, answers: Sequence[Mapping[int, Summary]]
) -> list[Mapping[int, Summary]]:
    """Put periods that were asked for one by one together again."""
    if question.is_even:
        return list(answers)
    count = len(question.edges) - 1
    return [
        {place: found[0] for place, found in enumerate(answers[first : first + count]) if found}
        for first in range(0, len(answers), count)
    ]
