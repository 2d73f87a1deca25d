"""Alarms that are judged by the clock: part by part at each tick, read in bulk, written if changed.

A new alarm is judged at once. Ticks that were missed in the last hour are all judged; after a
longer pause silence counts only when the writers of metrics have had their time, so that a machine
that slept does not fire everything.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, or_, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import Point, StateChange
from driftline.alerts.alarms.period_evaluation import Standing, step
from driftline.alerts.alarms.reason import untrained_reason
from driftline.alerts.alarms.records import LOOK_AGAIN
from driftline.alerts.evaluation import passes
from driftline.alerts.evaluation.catalog import Catalog, Entry
from driftline.alerts.evaluation.due import (
    CADENCES_S,
    EVALUATION_ERROR,
    ON_ARRIVAL,
    PARTS,
    newest_tick,
    silence_counts_from,
)
from driftline.alerts.evaluation.news import IS_CHANGED
from driftline.alerts.evaluation.passes import Pass
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.evaluation.verdicts import (
    Failed,
    Standpoint,
    UntrainedReasons,
    Verdict,
    store_each,
)
from driftline.database.engine import read_connection

log = logging.getLogger(__name__)

# Rules by which missing datapoints decide.
_BY_SILENCE = ("no_data", "filled", "waited")

_Row = Row[Any]


@dataclass(slots=True)
class _Case:
    """An alarm of a pass: its row, what it is, and what was found so far."""

    row: _Row
    entry: Entry
    standing: Standing
    changes: list[StateChange]
    problem: str | None = None
    untrained: str | None = None  # The reason, where it waits for a band.


class Scheduled:
    """Judges the alarms that live by the clock."""

    def __init__(
        self,
        engine: Engine,
        *,
        dashboard_url: str,
        settle_s: float,  # After a tick, so that what is flushed at the end of a minute is there.
        failed: Failed,
        lease_clock: Callable[[], datetime],
        bands: BandsOf | None = None,
    ) -> None:
        self._engine = engine
        self._dashboard_url = dashboard_url
        self._settle_s = settle_s
        self._failed = failed
        self._lease_clock = lease_clock
        self._bands = bands
        self._catalogs: dict[tuple[int, int], Catalog] = {}
        self._owner = secrets.token_hex(16)
        self._first_part = secrets.randbelow(PARTS)
        self._looked_at: dict[int, datetime] = {}
        # Alarms whose definition cannot be read, until that is noted in their rows.
        self._problems: dict[int, str] = {}
        self._reasons = UntrainedReasons()

    def step(self, now: datetime) -> list[StateChange]:
        """Judge what is due: new alarms, and the parts whose tick has come."""
        resumed_at = passes.beat(self._engine, now)
        changes = self._judge_new(now)
        left: set[tuple[int, int]] = set()  # Parts that another has: their later ticks, too.
        for one in self._due(now):
            key = one.cadence_s, one.part
            if key in left:
                continue
            with self._engine.begin() as connection:
                if not passes.claim(connection, one, self._lease_clock(), self._owner):
                    left.add(key)
                    continue
            with passes.held(self._engine, one, self._owner, self._lease_clock):
                changes += self._judge_part(one, now, resumed_at)
            with self._engine.begin() as connection:
                passes.finish(connection, one, self._owner)
        return changes

    def _due(self, now: datetime) -> list[Pass]:
        """Return the parts that are due; each evaluator begins with another one."""
        newest = {cadence: newest_tick(now, cadence, self._settle_s) for cadence in CADENCES_S}
        if newest == self._looked_at:
            return []
        with self._reading() as connection:
            found = passes.due(connection, now, self._settle_s)
        if not found:
            self._looked_at = newest
        first = self._first_part
        return sorted(found, key=lambda one: (one.cadence_s, (one.part - first) % PARTS))

    def _judge_new(self, now: datetime) -> list[StateChange]:
        """Judge alarms that were stored since the last look, and note their cadence."""
        table = tables.alarms.c
        with self._reading() as connection:
            # Two searches by index, and in no order: else SQLite reads all alarms, each second.
            is_changed = and_(table.cadence_s > ON_ARRIVAL, IS_CHANGED)
            queries = [
                _rows().where(one).order_by(None) for one in (table.cadence_s.is_(None), is_changed)
            ]
            rows = [row for query in queries for row in connection.execute(query)]
            rows.sort(key=lambda row: row.id)
            if not rows:
                return []
            self._looked_at = {}
            cases = self._cases(connection, rows, Catalog())
            ticks = [
                (case, newest_tick(now, case.entry.cadence_s, self._settle_s))
                for case in cases
                if case.entry.cadence_s != ON_ARRIVAL
            ]
            self._judge(connection, ticks, now, resumed_at=None)
        return self._store(cases, now, is_new=True)

    def _judge_part(self, one: Pass, now: datetime, resumed_at: datetime) -> list[StateChange]:
        table = tables.alarms.c
        query = _rows().where(table.cadence_s == one.cadence_s, table.id % PARTS == one.part)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            catalog = self._catalogs.setdefault((one.cadence_s, one.part), Catalog())
            cases = self._cases(connection, rows, catalog)
            for tick in one.ticks:
                ticks = [(case, tick) for case in cases if _is_to_judge(case.row, tick, now)]
                self._judge(connection, ticks, now, resumed_at=resumed_at)
        # Who stood still for long, such as a machine that slept, has judged by data of before.
        return self._store(cases, now, lambda found: passes.is_owner(found, one, self._owner))

    def _cases(self, connection: Connection, rows: Sequence[_Row], catalog: Catalog) -> list[_Case]:
        entries, problems = catalog.load(connection, rows)
        for row in [row for row in rows if row.id in problems]:
            # Told once; the row says it from then on.
            if row.evaluation_state != EVALUATION_ERROR or row.seen_revision == LOOK_AGAIN:
                self._failed(row.name, problems[row.id])
                self._problems[row.id] = str(problems[row.id])
        return [
            _Case(row, entry, Standing(row.id, row.state, row.state_seq, row.created_at), [])
            for row in rows
            if (entry := entries.get(row.id)) is not None
        ]

    def _judge(
        self,
        connection: Connection,
        cases: Iterable[tuple[_Case, datetime]],
        now: datetime,
        *,
        resumed_at: datetime | None,
    ) -> None:
        """Evaluate alarms at a tick, each once."""
        edges: dict[object, tuple[datetime, ...]] = {}
        pairs = []
        for case, tick in cases:
            one = case.entry.definition
            key = (one.period, one.range_periods, one.evaluation_window, tick)
            if key not in edges:
                edges[key] = one.edges(tick)
            pairs.append((case, Question(one, case.entry.plan, edges[key])))
        answers = read_points(connection, [question for _, question in pairs], self._bands)
        for (case, question), (_, points) in zip(pairs, answers, strict=True):
            problem = points if isinstance(points, Exception) else None
            if not isinstance(points, Exception):
                try:
                    _evaluate(case, question, points, now, resumed_at)
                except Exception as error:  # noqa: BLE001 - counted by the caller
                    problem = error
            if problem is not None:
                case.problem = str(problem)
                if case.row.evaluation_state != EVALUATION_ERROR:
                    self._failed(case.row.name, problem)

    def _store(
        self,
        cases: Iterable[_Case],
        now: datetime,
        may_store: Callable[[Connection], bool] = lambda _: True,
        *,
        is_new: bool = False,
    ) -> list[StateChange]:
        verdicts = []
        for case in cases:
            values: dict[str, object] = {}
            if is_new:
                values["cadence_s"] = case.entry.cadence_s
                if case.entry.cadence_s != ON_ARRIVAL:
                    values["seen_revision"] = 0
            if case.changes:
                values["evaluated_until"] = case.changes[-1].period_end
            values |= _evaluation_state(case)
            before = Standpoint.of(case.row)
            values |= self._reasons.news(before, case.untrained)
            verdicts.append(Verdict(before, case.entry.definition, tuple(case.changes), values))
        self._note_unreadable()
        return store_each(
            self._engine,
            verdicts,
            now=now,
            dashboard_url=self._dashboard_url,
            failed=self._failed,
            may_store=may_store,
        )

    def _note_unreadable(self) -> None:
        """Write why alarms cannot be read, where that is not written yet."""
        table = tables.alarms
        while self._problems:
            id_, problem = self._problems.popitem()
            values = {"evaluation_state": EVALUATION_ERROR, "evaluation_problem": problem}
            query = update(table).where(
                table.c.id == id_,
                or_(
                    table.c.cadence_s.is_(None),
                    table.c.seen_revision == LOOK_AGAIN,
                    table.c.evaluation_state.is_distinct_from(EVALUATION_ERROR),
                ),
            )
            with self._engine.begin() as connection:
                # Looked at again once a minute: who mends it need not say so.
                connection.execute(query.values(**values, cadence_s=60, seen_revision=0))

    def _reading(self) -> Connection:
        """Open a connection that holds up no writer."""
        return read_connection(self._engine)


def _rows() -> Select[Any]:
    """Select what the judgement of metric alarms needs, but for their definitions."""
    table = tables.alarms.c
    names = (*Standpoint.__slots__, "created_at", "cadence_s", "evaluation_state")
    return select(*(table[name] for name in names)).where(table.kind == "metric").order_by(table.id)


def _is_to_judge(row: _Row, tick: datetime, now: datetime) -> bool:
    """Whether an alarm is to be judged at a tick: not before it was stored, nor twice.

    Ticks before its newest change were judged already, by a process that then died, or by the first
    look at it; to repeat them would notify of each change again. Marks far in the future count as
    none.
    """
    marks = (row.updated_at, row.evaluated_until)
    return not any(mark is not None and tick <= mark <= now for mark in marks)


def _evaluate(
    case: _Case,
    question: Question,
    points: Sequence[Point],
    now: datetime,
    resumed_at: datetime | None,
) -> None:
    """Evaluate one alarm once; a change that silence after a pause makes is put off."""
    tick = question.edges[-1]
    judgement, standing, change = step(
        case.entry.definition, case.standing, points, end=tick, now=now
    )
    case.untrained = untrained_reason(case.entry.definition, judgement)
    if change is None:
        return
    if (
        judgement.rule in _BY_SILENCE
        and resumed_at is not None
        and case.row.updated_at < resumed_at
        and tick < silence_counts_from(resumed_at, case.entry.definition.period)
    ):
        return
    case.standing = standing
    case.changes.append(change)


def _evaluation_state(case: _Case) -> Mapping[str, object]:
    """Return what has to change in CloudWatch's EvaluationState, if anything has."""
    wanted = EVALUATION_ERROR if case.problem is not None else None
    if case.row.evaluation_state == wanted:
        return {}
    return {"evaluation_state": wanted, "evaluation_problem": case.problem}
