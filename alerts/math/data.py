"""GetMetricData: many queries at once, in pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self

from driftline.alerts.documents import Output, TimeZ
from driftline.alerts.errors import ExpressionError
from driftline.alerts.math.evaluate import BandOf
from driftline.alerts.math.plan import Fetch, Plan, QueryResult
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series
from driftline.alerts.metrics.questions import aligned_start

# CloudWatch API, GetMetricData: points a page; more than this are not even computed.
MOST_POINTS = 100_800
_MOST_COMPUTED = 5_000_000

Status = Literal["Complete", "PartialData"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What is asked."""

    queries: tuple[MetricQuery, ...]  # 1 to 500 of them.
    start: datetime  # Half-open, aware.
    end: datetime
    is_newest_first: bool = True
    max_datapoints: int = MOST_POINTS  # On one page.
    next_token: str | None = None  # From the page before.

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ExpressionError(
                "The parameter StartTime must be less than the parameter EndTime."
            )
        if not 1 <= self.max_datapoints <= MOST_POINTS:
            raise ExpressionError(
                f"max_datapoints {self.max_datapoints}; expected 1 to {MOST_POINTS}"
            )

    def aligned(self, now: datetime) -> Self:
        """Round the start down, by its age and by the periods of the metrics."""
        periods = [one.period for one in self.queries if one.is_metric and one.period is not None]
        return replace(self, start=aligned_start(self.start, now, periods))

    @property
    def digest(self) -> str:
        """Distinguishes requests that tokens must not be carried between."""
        text = json.dumps(
            [
                [query.as_dict() for query in self.queries],
                self.start.isoformat(),
                self.end.isoformat(),
                self.is_newest_first,
            ]
        )
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Measured(Output):
    """Points of one result on one page, as GetMetricData writes them in snake case."""

    id: str
    label: str
    timestamps: tuple[TimeZ, ...]
    values: tuple[float, ...]
    status_code: Status  # Partial: more points on further pages.
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricResults(Output):
    """One page of an answer, as GetMetricData writes it in snake case."""

    metric_data_results: tuple[Measured, ...]
    next_token: str | None = None
    messages: tuple[str, ...] = ()


def get_metric_data(
    request: DataRequest, fetch: Fetch, band: BandOf | None = None
) -> MetricResults:
    """Answer one page; the same request always gives the same pages while the data stay."""
    plan = Plan.of(request.queries)
    start, end = int(request.start.timestamp()), int(request.end.timestamp())
    # Series that expressions make are as fine as the finest metric at most.
    others = sum(plan.series_counts()) - len(plan.metrics)
    points = others * ((end - start) // plan.period_s + 1)
    points += sum((end - start) // (query.period or 1) + 1 for query in plan.metrics)
    if points > _MOST_COMPUTED:
        raise ExpressionError(
            f"about {points:,} points are asked for; expected {_MOST_COMPUTED:,} or fewer: ask for "
            "longer periods, a shorter range or fewer queries"
        )
    skipped = _offset(request)
    results = plan.run(fetch, start, end, band)
    lines = [line for result in results for line in _lines(result)]
    return _page(request, lines, skipped)


def _lines(result: QueryResult) -> list[tuple[str, str, Series]]:
    if not result.is_array:
        return [(result.id, result.label, result.series[0])]
    return [(result.id, f"{result.label} {one.label}".strip(), one) for one in result.series]


def _page(
    request: DataRequest, lines: Sequence[tuple[str, str, Series]], skipped: int
) -> MetricResults:
    """Cut what stands behind the skipped points, results one after the other."""
    parts: list[Measured] = []
    total = sum(len(series) for _, _, series in lines)
    left, begin = min(request.max_datapoints, total - skipped), 0
    is_last = skipped + left >= total
    for id_, label, series in lines:
        count, first = len(series), max(0, skipped - begin)
        begin += count
        if first > 0 and first >= count:
            # All of it was on pages before.
            continue
        last = min(count, first + left)
        # A result without points is told when its turn comes, and only once.
        is_complete = last == count and (count > 0 or left > 0 or is_last)
        left -= last - first
        step = -1 if request.is_newest_first else 1
        times, values = series.times[::step][first:last], series.values[::step][first:last]
        shown = tuple(datetime.fromtimestamp(time, UTC) for time in times.tolist())
        status: Status = "Complete" if is_complete else "PartialData"
        parts.append(Measured(id_, label, shown, tuple(values.tolist()), status))
    reached = min(skipped + request.max_datapoints, total)
    token = f"{request.digest}-{reached}" if not is_last else None
    return MetricResults(tuple(parts), token)


def _offset(request: DataRequest) -> int:
    """Read how many points were on pages before."""
    if request.next_token is None:
        return 0
    digest, _, offset = request.next_token.partition("-")
    if digest != request.digest or not offset.isdecimal() or len(offset) > 12:
        raise ExpressionError(
            f'next_token "{request.next_token[:80]}"; expected that of the page before, with the '
            "same queries, times and scan_by"
        )
    return int(offset)
