"""Definitions of alarms, kept parsed: to read ten thousand anew each minute costs seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.due import ON_ARRIVAL, cadence_s
from driftline.alerts.math.plan import Plan
from driftline.alerts.metrics.datapoint import is_on_arrival
from driftline.alerts.metrics.identity import chunks


@dataclass(frozen=True, slots=True)
class Entry:
    """One alarm, ready to be judged."""

    updated_at: datetime  # When its definition was stored.
    definition: AlarmDefinition
    plan: Plan | None  # What the watched query and its band need; None for one metric.
    cadence_s: int  # 0 when it follows its datapoints.
    # The digests of all its metrics, where it follows them: to make them takes longer than all else
    # of a look at an alarm.
    metric_keys: tuple[str, ...]

    @classmethod
    def of(cls, updated_at: datetime, definition: AlarmDefinition) -> Entry:
        """Prepare a definition."""
        plan = None
        namespaces = [definition.namespace]
        if definition.metrics:
            ids = [definition.watched_id]
            if definition.threshold_metric_id is not None:
                ids.append(definition.threshold_metric_id)
            plan = Plan.of(definition.metrics).needed(ids)
            namespaces = [str(query.namespace) for query in plan.metrics]
        # Who asks for days of a time zone means the clock, whoever writes the datapoints.
        is_sliding = definition.evaluation_window is None
        # Metric math without a metric has no datapoints to follow.
        follows = is_sliding and bool(namespaces) and all(map(is_on_arrival, namespaces))
        cadence = cadence_s(definition.period, definition.evaluation_periods, is_on_arrival=follows)
        watched = () if cadence != ON_ARRIVAL else (definition,) if plan is None else plan.metrics
        keys = tuple(one.metric_key for one in watched)
        return cls(updated_at, definition, plan, cadence, keys)


class Catalog:
    """Parsed definitions by id of the alarm; what has changed in the store is read anew.

    What was not asked for the last time is forgotten, unless that was a part of them.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def load(
        self, connection: Connection, rows: Iterable[Row[Any]], *, is_part: bool = False
    ) -> tuple[dict[int, Entry], dict[int, Exception]]:
        """Return the entries of rows with ``id`` and ``updated_at``."""
        wanted = {row.id: row.updated_at for row in rows}
        known = self._entries
        found = {
            id_: known[id_]
            for id_, time in wanted.items()
            if id_ in known and known[id_].updated_at == time
        }
        missing = [id_ for id_ in wanted if id_ not in found]
        if is_part:
            for id_ in missing:
                known.pop(id_, None)
        else:
            self._entries = found
        problems = self._read(connection, missing)
        entries = self._entries
        return {id_: entries[id_] for id_ in wanted if id_ in entries}, problems

    def _read(self, connection: Connection, ids: Sequence[int]) -> dict[int, Exception]:
        problems: dict[int, Exception] = {}
        table = tables.alarms.c
        query = select(table.id, table.updated_at, table.definition)
        for some in chunks(ids):
            for row in connection.execute(query.where(table.id.in_(some))):
                try:
                    definition = AlarmDefinition.from_dict(row.definition)
                    self._entries[row.id] = Entry.of(row.updated_at, definition)
                except Exception as error:  # noqa: BLE001 - handed on; the others are read
                    problems[row.id] = error
        return problems
