"""Reads statistics of metrics, period by period, for one or thousands.

Requests of similar ranges are read together, five hundred metrics a statement, and added up as
columns; 10,000 of them take some dozens of statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from driftline.alerts.metrics.datapoint import UNIT_CODES
from driftline.alerts.metrics.distribution import merged_spread
from driftline.alerts.metrics.identity import KEYS_PER_QUERY, chunks, known_ids
from driftline.alerts.metrics.points import Points, points_of, slots_of
from driftline.alerts.metrics.summary import Summary

# What is kept for longer is kept in longer periods; who asks for shorter ones gets nothing there.
# Minutes are as short as plain metrics come, and periods below a minute may ask for them.
_FINEST_S = 60
# About 100 bytes each while they are added up; ten times as many and more with distributions.
_POINTS_AT_ONCE = 1_000_000
_SPREAD_WEIGHS = 10


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What is asked of one metric."""

    metric_key: str
    start: datetime  # Half-open, aware; periods are counted from ``start``.
    end: datetime
    period_s: int
    unit: str | None = None  # None takes all units together.
    needs_distribution: bool = False  # For percentiles and trimmed statistics.


class _Batch(NamedTuple):
    """The data of requests that are added up together."""

    start_s: float
    end_s: float
    period_s: int
    unit: str | None
    needs_distribution: bool


class _Wanted(NamedTuple):
    """One request: its metric, its batch, its place among the answers."""

    metric_id: int
    batch: _Batch
    place: int


def read_many(
    connection: Connection, requests: Sequence[SeriesRequest]
) -> list[dict[int, Summary]]:
    """Answer many requests at once, in their order."""
    ids = known_ids(connection, list({one.metric_key for one in requests}))
    wanted = [
        _Wanted(ids[one.metric_key], _batch(one), place)
        for place, one in enumerate(requests)
        if one.metric_key in ids
    ]
    answers: list[dict[int, Summary]] = [{} for _ in requests]
    _answer_all(connection, wanted, answers)
    return answers


def _batch(one: SeriesRequest) -> _Batch:
    return _Batch(
        one.start.timestamp(), one.end.timestamp(), one.period_s, one.unit, one.needs_distribution
    )


def _answer_all(
    connection: Connection, wanted: Sequence[_Wanted], answers: list[dict[int, Summary]]
) -> None:
    if not wanted:
        return
    slots = slots_of(connection)
    for group in _alike(wanted):
        group.sort(key=lambda one: one.metric_id)
        by_metric: dict[int, list[_Wanted]] = defaultdict(list)
        for one in group:
            by_metric[one.metric_id].append(one)
        for some in chunks(list(by_metric), _metrics_at_once(group)):
            part = [one for metric_id in some for one in by_metric[metric_id]]
            _answer_part(connection, some, part, slots, answers)


def _metrics_at_once(group: Sequence[_Wanted]) -> int:
    """Return how many metrics to read by one statement, so that their points fit into memory."""
    low = min(one.batch.start_s for one in group)
    high = max(one.batch.end_s for one in group)
    points = max((high - low) / _FINEST_S, 1)
    if any(one.batch.needs_distribution for one in group):
        points *= _SPREAD_WEIGHS
    return max(1, min(KEYS_PER_QUERY, int(_POINTS_AT_ONCE / points)))


def _alike(wanted: Iterable[_Wanted]) -> list[list[_Wanted]]:
    """Group requests whose ranges have about the same length and position.

    Each range is at most twice as long as another of its group, and begins within that length of
    it: so the rows read are at most a few times what each asked for.
    """
    groups: dict[tuple[int, int, bool], list[_Wanted]] = defaultdict(list)
    for one in wanted:
        batch = one.batch
        size = max(int(batch.end_s - batch.start_s), 1).bit_length()
        groups[size, int(batch.end_s) >> size, batch.needs_distribution].append(one)
    return _joined(groups)


def _joined(groups: Mapping[tuple[int, int, bool], list[_Wanted]]) -> list[list[_Wanted]]:
    """Put groups of the same metrics together that lie side by side and fit into memory."""
    joined: list[list[_Wanted]] = []
    last: tuple[int, int, bool] | None = None
    first_s, metrics = 0.0, set[int]()
    for key in sorted(groups, key=lambda one: (one[0], one[2], one[1])):
        group, (size, place, needs_distribution) = groups[key], key
        room_s = _FINEST_S * _POINTS_AT_ONCE / (_SPREAD_WEIGHS if needs_distribution else 1)
        alike = {one.metric_id for one in group}
        end_s = max(one.batch.end_s for one in group)
        if (
            last == (size, place - 1, needs_distribution)
            and metrics == alike
            and len(alike) * (end_s - first_s) <= room_s
        ):
            joined[-1] += group
        else:
            joined.append(group)
            first_s, metrics = min(one.batch.start_s for one in group), alike
        last = key
    return joined


def _answer_part(
    connection: Connection,
    metric_ids: Sequence[int],
    part: Sequence[_Wanted],
    slots: range,
    answers: list[dict[int, Summary]],
) -> None:
    batches: dict[_Batch, list[_Wanted]] = defaultdict(list)
    for one in part:
        batches[one.batch].append(one)
    points = points_of(
        connection,
        metric_ids,
        min(batch.start_s for batch in batches),
        max(batch.end_s for batch in batches),
        slots,
        with_spreads=part[0].batch.needs_distribution,
    )
    if not len(points.metric):
        return
    for batch, members in batches.items():
        _add_up(points, batch, members, answers)


def _add_up(
    points: Points, batch: _Batch, members: Sequence[_Wanted], answers: list[dict[int, Summary]]
) -> None:
    """Add up the points of one batch: all metrics and periods at once."""
    chosen = np.flatnonzero(_is_asked(points, batch, members))
    if not len(chosen):
        return
    metric = points.metric[chosen]
    # Microseconds survive in a float for centuries; the rounding keeps edges on their own side.
    seconds = np.round(points.time[chosen] - batch.start_s, 6)
    period = np.floor_divide(seconds, batch.period_s).astype(np.int64)
    is_first = np.ones(len(chosen), dtype=bool)
    is_first[1:] = (metric[1:] != metric[:-1]) | (period[1:] != period[:-1])
    edges = np.flatnonzero(is_first)
    stops = np.append(edges[1:], len(chosen))
    numbers = points.numbers[chosen]
    added = zip(
        metric[edges].tolist(),
        period[edges].tolist(),
        np.add.reduceat(numbers[:, 0], edges).tolist(),
        np.add.reduceat(numbers[:, 1], edges).tolist(),
        np.minimum.reduceat(numbers[:, 2], edges).tolist(),
        np.maximum.reduceat(numbers[:, 3], edges).tolist(),
        edges.tolist(),
        stops.tolist(),
        strict=True,
    )
    by_metric: dict[int, list[dict[int, Summary]]] = defaultdict(list)
    for one in members:
        by_metric[one.metric_id].append(answers[one.place])
    places = chosen.tolist()
    # Only what monitors put has notes; to look for them takes a while where periods are many.
    has_notes = any(note is not None for note in points.notes)
    for metric_id, index, count, total, low, high, first, stop in added:
        rows = places[first:stop]
        distribution = None
        if batch.needs_distribution:
            spreads = [points.spreads[row] for row in rows]
            distribution = merged_spread(numbers[first:stop], spreads)
        note = _newest_note(points, rows) if has_notes else None
        summary = Summary(count, total, low, high, note, distribution)
        for answer in by_metric[metric_id]:
            answer[index] = summary


def _is_asked(points: Points, batch: _Batch, members: Sequence[_Wanted]) -> NDArray[np.bool_]:
    """Return which points lie in the range, are of the unit, and are kept finely enough."""
    inside = (points.time >= batch.start_s) & (points.time < batch.end_s)
    inside &= points.kept_s <= max(batch.period_s, _FINEST_S)
    if batch.unit is not None:
        inside &= points.unit == UNIT_CODES.get(batch.unit, -1)
    ids = np.unique(np.array([one.metric_id for one in members], dtype=np.int64))
    places = np.minimum(np.searchsorted(ids, points.metric), len(ids) - 1)
    asked: NDArray[np.bool_] = inside & (ids[places] == points.metric)
    return asked


def _newest_note(points: Points, rows: Sequence[int]) -> Mapping[str, object] | None:
    found = (points.notes[row] for row in reversed(rows))
    return next((note for note in found if note is not None), None)
