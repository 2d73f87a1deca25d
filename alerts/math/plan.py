"""Several queries as one plan: checked, in the order in which they need each other, and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from driftline.alerts.errors import ExpressionError
from driftline.alerts.math.elementwise import Value
from driftline.alerts.math.evaluate import BandOf, Known, evaluate
from driftline.alerts.math.expression import Expression, parse
from driftline.alerts.math.forms import Kind
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series, Span

# CloudWatch API, GetMetricData: MetricDataQueries.
_QUERIES_MAX = 500
# All metrics of a request twice over. Arrays of arrays would else grow without bound.
_SERIES_MAX = 1_000
# CloudWatch User Guide, "Anomaly detection on metric math"; none at high resolution.
_WATCHED_MAX = 10
_WATCHED_S = 60

# Gives a series for each of these metrics, in their order.
Fetch = Callable[[Sequence[MetricQuery]], Sequence[Series]]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What became of one query."""

    id: str
    label: str  # Of an array each member has a label of its own as well.
    series: tuple[Series, ...]  # One; of an expression that gives an array all of its members.
    is_array: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Queries that were checked together."""

    queries: tuple[MetricQuery, ...]
    expressions: Mapping[str, Expression]  # By id, each behind those that it needs.
    kinds: Mapping[str, Kind]  # What each id gives.

    @classmethod
    def of(cls, queries: Sequence[MetricQuery]) -> Plan:
        """Check queries together."""
        if not 1 <= len(queries) <= _QUERIES_MAX:
            raise ExpressionError(f"{len(queries)} queries; expected 1 to {_QUERIES_MAX}")
        by_id: dict[str, MetricQuery] = {}
        for query in queries:
            if query.id in by_id:
                raise ExpressionError(f'two queries have the id "{query.id}"; expected one')
            by_id[query.id] = query
        metrics = {query.id for query in queries if query.is_metric}
        kinds: dict[str, Kind] = dict.fromkeys(metrics, "series")
        parsed = {
            query.id: parse(query.expression) for query in queries if query.expression is not None
        }
        _check_references(parsed, by_id)
        expressions: dict[str, Expression] = {}
        for id_ in _in_order(parsed):
            expressions[id_] = parsed[id_]
            kinds[id_] = parsed[id_].kind(kinds, metrics)
            if kinds[id_] not in ("series", "array", "scalar"):
                raise ExpressionError(f'query "{id_}" gives no value; expected a time series')
            if kinds[id_] == "scalar" and by_id[id_].return_data:
                raise ExpressionError(
                    f'query "{id_}": expression "{parsed[id_].text[:80]}" gives a number; expected '
                    "a time series, such as TIME_SERIES(…) of it, or return_data false"
                )
        plan = cls(tuple(queries), expressions, kinds)
        plan.series_counts()
        for id_ in plan.bands():
            check_watched(plan, id_)
        return plan

    @property
    def metrics(self) -> tuple[MetricQuery, ...]:
        """The metrics among the queries."""
        return tuple(query for query in self.queries if query.is_metric)

    @property
    def period_s(self) -> int:
        """Steps of series that are made of a number: the shortest of all periods, in seconds."""
        return min((query.period for query in self.queries if query.period), default=60)

    def series_counts(self) -> tuple[int, int]:
        """Return how many series all results have together, and an expression at hand, at most."""
        widths = {query.id: 1 for query in self.metrics}
        metrics, most = len(widths), 0
        for id_, expression in self.expressions.items():
            widths[id_], at_hand = expression.widths(widths, metrics)
            if at_hand > _SERIES_MAX:
                raise ExpressionError(
                    f'query "{id_}": expression "{expression.text[:80]}" has up to {at_hand:,} '
                    f"series at once; expected {_SERIES_MAX:,} or fewer, in smaller arrays"
                )
            most = max(most, at_hand)
        return sum(widths.values()), most

    def query(self, id_: str) -> MetricQuery:
        """Return the query with an id."""
        return next(query for query in self.queries if query.id == id_)

    def needed(self, ids: Sequence[str]) -> Plan:
        """Return a plan of only these queries and what they need, in the same order."""
        wanted, waiting = set[str](), list(ids)
        while waiting:
            id_ = waiting.pop()
            if id_ in wanted:
                continue
            wanted.add(id_)
            expression = self.expressions.get(id_)
            if expression is not None:
                waiting += expression.references
                if "METRICS" in expression.calls:
                    waiting += [query.id for query in self.metrics]
        return Plan(
            tuple(query for query in self.queries if query.id in wanted),
            {id_: one for id_, one in self.expressions.items() if id_ in wanted},
            {id_: kind for id_, kind in self.kinds.items() if id_ in wanted},
        )

    def bands(self) -> Iterator[str]:
        """Return the ids for which expressions want a band, each once."""
        yield from dict.fromkeys(
            id_ for expression in self.expressions.values() for id_ in expression.bands()
        )

    def run(
        self, fetch: Fetch, start: int, end: int, band: BandOf | None = None
    ) -> list[QueryResult]:
        """Do all queries on [start, end), seconds since 1970."""
        wanted = [query.id for query in self.queries if query.return_data]
        values = self.needed(wanted).values(fetch, start, end, band)
        labels = _labels(self.queries)
        return [_result(id_, labels[id_], values[id_]) for id_ in wanted]

    def values(
        self, fetch: Fetch, start: int, end: int, band: BandOf | None = None
    ) -> dict[str, Value]:
        """Do all queries, and return the value of each id, of those that are not returned, too."""
        queries = self.metrics
        labels = _labels(self.queries)
        fetched = fetch(queries) if queries else []
        metrics = {
            query.id: series.labelled(labels[query.id])
            for query, series in zip(queries, fetched, strict=True)
        }
        span = Span(start, end, self.period_s)
        known: dict[str, Value] = dict(metrics)
        empty = Series.empty(span.period_s)
        for id_, expression in self.expressions.items():
            known[id_] = evaluate(
                expression, Known(span, known, metrics, band or (lambda *_: (empty, empty)))
            )
        return known


def check_watched(plan: Plan, id_: str) -> None:
    """Hold what is to have a band to CloudWatch's rules for detectors."""
    needed = plan.needed([id_])
    calls = {name for one in needed.expressions.values() for name in one.calls}
    periods = sorted({query.period for query in needed.metrics if query.period is not None})
    problem = None
    if needed.kinds[id_] != "series":
        problem = "it gives several time series; expected one"
    elif len(needed.queries) > _WATCHED_MAX:
        problem = f"it needs {len(needed.queries)} queries; expected {_WATCHED_MAX} or fewer"
    elif "METRICS" in calls or "ANOMALY_DETECTION_BAND" in calls:
        problem = "it uses METRICS or a band; expected neither in what has a band"
    elif len(periods) != 1:
        problem = f"it has metrics with the periods {periods}; expected one period"
    elif periods[0] < _WATCHED_S:
        problem = f"period {periods[0]} s with a band; expected {_WATCHED_S} or more"
    if problem is not None:
        raise ExpressionError(f'band of query "{id_}": {problem}')


def _check_references(parsed: Mapping[str, Expression], by_id: Mapping[str, MetricQuery]) -> None:
    known = dict.fromkeys(by_id, "series")
    for id_, expression in parsed.items():
        for reference in sorted(expression.references - set(known)):
            raise ExpressionError(
                f'query "{id_}": expression "{expression.text[:80]}" names "{reference}", and no '
                f"query has that id; expected one of: {', '.join(known)}"
            )


def _in_order(parsed: Mapping[str, Expression]) -> Iterator[str]:
    """Return the ids of expressions so that each comes behind those that it needs."""
    waiting = {id_: one.references & set(parsed) for id_, one in parsed.items()}
    while waiting:
        ready = [id_ for id_, needs in waiting.items() if not needs & set(waiting)]
        if not ready:
            circle = ", ".join(f'"{id_}"' for id_ in _circle(waiting))
            raise ExpressionError(
                f"queries {circle} need each other in a circle; expected none to need itself"
            )
        for id_ in ready:
            del waiting[id_]
            yield id_


def _circle(waiting: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the members of one circle."""
    id_, path = next(iter(waiting)), list[str]()
    while id_ not in path:
        path.append(id_)
        id_ = min(waiting[id_] & set(waiting))
    return path[path.index(id_) :]


def _labels(queries: Sequence[MetricQuery]) -> dict[str, str]:
    """Return each query's label: its own, or its metric and what tells it from the others."""
    metrics = [query for query in queries if query.is_metric]
    telling = [
        name for name in ("stat", "period") if len({getattr(query, name) for query in metrics}) > 1
    ]
    return {
        query.id: query.label
        if query.label is not None
        else " ".join(
            [str(query.metric_name), *(str(getattr(query, name)) for name in telling)]
            if query.is_metric
            else [query.id]
        )
        for query in queries
    }


def _result(id_: str, label: str, value: Value) -> QueryResult:
    if isinstance(value, tuple):
        return QueryResult(id_, label, value, is_array=True)
    assert isinstance(value, Series)
    return QueryResult(id_, label, (value.labelled(label),))
