"""Training: what is due is learnt from the store, one model at a time, day after day.

A model of too few points is due again when there can be enough, if one comes in each period. Points
that are added late, or many at once, are there sooner. So new rows of the store are looked through,
each once, for those that a waiting model needs; while none waits, nothing is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Table, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.math.band import FEWEST_POINTS, BandModel, fit
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detector import Configuration
from driftline.alerts.math.detectors import INSUFFICIENT, TRAINED, subject_of, want
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.math.series import Series
from driftline.alerts.metrics.identity import chunks, known_ids
from driftline.alerts.tables import blocks, datapoints, detectors, models, samples
from driftline.alerts.tables import metrics as metric_table
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError

log = logging.getLogger(__name__)

# Reference 6: two weeks of history; longer periods need more of it to be enough points.
_HISTORY_D = 14
_PERIODS = 90
_DAY = timedelta(days=1)
# Who takes a model and dies leaves it to the next after so long.
_CLAIM = timedelta(minutes=15)
_SOONEST = timedelta(minutes=5)
# Rows of a table that one look goes through; of more, the next look reads the others.
_AT_ONCE: Final = 100_000
# PostgreSQL numbers rows before they are stored: so many of the last ones are read once more.
_IN_FLIGHT: Final = 2_000


def history_s(period_s: int) -> int:
    """Return how much history a model of such periods is learnt from, in seconds."""
    return max(_HISTORY_D * 86_400, _PERIODS * period_s)


def train_next(engine: Engine, now: datetime) -> bool:
    """Train the model that is due for the longest time."""
    row = _claim(engine, now)
    if row is None:
        return False
    try:
        model, points = _learn(engine, row, now)
        values = _outcome(model, points, row.id, row.period_s, now)
    except (DriftlineError, ArithmeticError, ValueError) as error:
        # What cannot be learnt today stops no other; the old model stays.
        log.warning("detector=%s period_s=%d not trained: %s", row.detector_id, row.period_s, error)
        values = {"problem": str(error), "due_at": now + _DAY}
    with engine.begin() as connection:
        connection.execute(
            update(models)
            # Who changed the detector meanwhile has it trained once more.
            .where(models.c.id == row.id, models.c.version == row.version)
            .values(version=row.version + 1, **values)
        )
    return True


def _claim(engine: Engine, now: datetime) -> Row[Any] | None:
    """Take the model that waits longest; nobody else takes it for a while."""
    query = (
        select(models, detectors.c.subject, detectors.c.configuration)
        .join(detectors, detectors.c.id == models.c.detector_id)
        .where(models.c.due_at <= now)
        .order_by(models.c.due_at, models.c.id)
        .limit(1)
    )
    while True:
        with read_connection(engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        with engine.begin() as connection:
            taken = connection.execute(
                update(models)
                .where(models.c.id == row.id, models.c.due_at == row.due_at)
                .values(due_at=now + _CLAIM)
            ).rowcount
        if taken:
            return row


def _learn(engine: Engine, row: Row[Any], now: datetime) -> tuple[BandModel | None, int]:
    subject = subject_of(row.subject)
    plan = Plan.of(subject.at(row.period_s))
    end = int(now.timestamp()) // row.period_s * row.period_s
    start = end - history_s(row.period_s) // row.period_s * row.period_s
    # Weeks of minutes take a while to read; nobody who writes waits for that.
    with read_connection(engine) as connection:
        (found,) = plan.run(fetch_from(connection, start, end), start, end)
    series: Series = found.series[0]
    learning = Configuration.from_dict(row.configuration).learning(subject)
    return fit(series.times, series.values, row.period_s, learning), len(series)


def _outcome(
    model: BandModel | None, points: int, id_: int, period_s: int, now: datetime
) -> dict[str, Any]:
    if model is not None:
        return {
            "state": TRAINED, "model": model.as_dict(), "points": model.points,
            "trained_at": now, "due_at": now + _DAY + _spread(id_), "problem": None,
        }  # fmt: skip
    # Again when there can be enough, and while few are missing not only tomorrow; sooner where more
    # points come (Awaited).
    missing = timedelta(seconds=max(1, FEWEST_POINTS - points) * period_s)
    return {
        "state": INSUFFICIENT, "model": None, "points": points,
        "trained_at": now, "due_at": now + min(max(missing, _SOONEST), _DAY), "problem": None,
    }  # fmt: skip


def _spread(id_: int) -> timedelta:
    """Part by up to an hour what was made at the same moment, always in the same way."""
    return timedelta(seconds=id_ * 2_654_435_761 % 2**32 % 3600)


@dataclass(slots=True)
class _AwaitedModel:
    """A model that waits."""

    version: int  # The model's, at its last training.
    period_s: int
    missing: int  # How many new points it takes at least.
    keys: frozenset[str]
    # Numbers of those that new points have come for.
    periods: set[int] = field(default_factory=set)
    is_packed: bool = False  # A metric that it lacked is there, its points packed already.

    def is_ready(self, now_s: float) -> bool:
        """Whether there may be enough points; a period counts when it is over."""
        if self.is_packed:
            return True
        if len(self.periods) < self.missing:
            return False
        current = now_s // self.period_s
        return sum(number < current for number in self.periods) >= self.missing


class _TableFollower:
    """The end of a table: each look gives the rows that came since the one before, each once."""

    def __init__(self, table: Table, *columns: str) -> None:
        self._id = table.c.id
        self._query = select(self._id, *(table.c[name] for name in columns)).order_by(self._id)
        self._read_to: int | None = None
        # The row at the end, and on PostgreSQL ids of those shortly before it.
        self._last: Row[Any] | None = None
        self._seen: set[int] = set()

    def read(self, connection: Connection) -> list[Row[Any]]:
        newest = self._newest(connection)
        if self._read_to is None or self._is_other(connection, newest):
            self._begin_at(connection, max(0, newest - _AT_ONCE))
        assert self._read_to is not None
        margin = _margin(connection)
        if newest == self._read_to and not margin:
            return []
        query = self._query.where(self._id > self._read_to - margin).limit(_AT_ONCE)
        rows = [row for row in connection.execute(query) if row.id not in self._seen]
        if rows and rows[-1].id > self._read_to:
            self._read_to, self._last = rows[-1].id, rows[-1]
        self._seen.update(row.id for row in rows)
        self._seen = {id_ for id_ in self._seen if id_ > self._read_to - margin}
        return rows

    def skip(self, connection: Connection) -> None:
        """Pass over what is there; what is being stored meanwhile is still read later."""
        newest = self._newest(connection)
        self._begin_at(connection, newest)
        if margin := _margin(connection):
            query = select(self._id).where(self._id > newest - margin)
            self._seen = set(connection.scalars(query))

    def _is_other(self, connection: Connection, newest: int) -> bool:
        """Whether the row at the end is gone: SQLite gives the numbers above it again."""
        assert self._read_to is not None
        if connection.dialect.name == "postgresql":
            return newest < self._read_to
        return self._row(connection, self._read_to) != self._last

    def _newest(self, connection: Connection) -> int:
        return connection.scalar(select(func.max(self._id))) or 0

    def _row(self, connection: Connection, id_: int) -> Row[Any] | None:
        return connection.execute(self._query.where(self._id == id_)).one_or_none()

    def _begin_at(self, connection: Connection, id_: int) -> None:
        self._read_to, self._last = id_, self._row(connection, id_)
        self._seen.clear()


def _margin(connection: Connection) -> int:
    """Return how many of the last numbers may belong to rows that are not stored yet."""
    return _IN_FLIGHT if connection.dialect.name == "postgresql" else 0


class Awaited:
    """Has models trained again as soon as enough new points have come; one for each trainer."""

    def __init__(self) -> None:
        self._versions: dict[int, int] = {}
        self._awaited: dict[int, _AwaitedModel] = {}
        # Ids of waiting models by the keys of their metrics; and keys by the metrics' ids.
        self._by_key: dict[str, set[int]] = {}
        self._keys: dict[int, str] = {}
        self._unknown: set[str] = set()
        self._metrics = _TableFollower(metric_table, "key")
        self._points = (
            _TableFollower(samples, "metric_id", "time"),
            _TableFollower(datapoints, "metric_id", "time"),
        )

    def look(self, engine: Engine, now: datetime) -> int:
        """Make models due for which the new data may be enough; return how many."""
        with read_connection(engine) as connection:
            self._refresh(connection)
            self._find_metrics(connection)
            self._count_points(connection)
        now_s = now.timestamp()
        ready = [(id_, one) for id_, one in self._awaited.items() if one.is_ready(now_s)]
        if not ready:
            return 0
        with engine.begin() as connection:
            for id_, one in ready:
                _make_due(connection, id_, one.version, now)
        for _, one in ready:
            one.periods.clear()
            one.is_packed = False
        return len(ready)

    def _refresh(self, connection: Connection) -> None:
        """Note which models wait, where that has changed."""
        table = models.c
        is_waiting = table.state == INSUFFICIENT
        found = connection.execute(select(table.id, table.version).where(is_waiting))
        versions: dict[int, int] = {row.id: row.version for row in found}
        if versions == self._versions:
            return
        for id_ in [id_ for id_, one in self._awaited.items() if versions.get(id_) != one.version]:
            for key in self._awaited.pop(id_).keys:
                self._by_key[key].discard(id_)
        new = [id_ for id_, version in versions.items() if self._versions.get(id_) != version]
        for id_, one in _awaited_models(connection, new):
            self._awaited[id_] = one
            for key in one.keys:
                self._by_key.setdefault(key, set()).add(id_)
        self._by_key = {key: ids for key, ids in self._by_key.items() if ids}
        self._keys = {id_: key for id_, key in self._keys.items() if key in self._by_key}
        self._unknown = set(self._by_key) - set(self._keys.values())
        self._note_metrics(known_ids(connection, sorted(self._unknown)))
        self._versions = versions

    def _note_metrics(self, found: Mapping[str, int]) -> None:
        self._keys |= {id_: key for key, id_ in found.items()}
        self._unknown -= set(found)

    def _find_metrics(self, connection: Connection) -> None:
        """Find metrics that had no datapoint before."""
        if not self._unknown:
            self._metrics.skip(connection)
            return
        rows = self._metrics.read(connection)
        found = {row.key: row.id for row in rows if row.key in self._unknown}
        self._note_metrics(found)
        # What is packed already is no new row any more.
        for some in chunks(list(found.values())):
            query = select(blocks.c.metric_id).where(blocks.c.metric_id.in_(some)).distinct()
            for metric_id in connection.scalars(query):
                for id_ in self._by_key[self._keys[metric_id]]:
                    self._awaited[id_].is_packed = True

    def _count_points(self, connection: Connection) -> None:
        """Note the periods of new points."""
        for follower in self._points:
            if not self._keys:
                follower.skip(connection)
                continue
            for row in follower.read(connection):
                key = self._keys.get(row.metric_id)
                for id_ in self._by_key.get(key, ()) if key is not None else ():
                    one = self._awaited[id_]
                    seconds = row.time if isinstance(row.time, int) else row.time.timestamp()
                    one.periods.add(int(seconds // one.period_s))


def _awaited_models(
    connection: Connection, ids: Sequence[int]
) -> Iterator[tuple[int, _AwaitedModel]]:
    table = models.c
    query = select(table.id, table.version, table.period_s, table.points, detectors.c.subject).join(
        detectors, detectors.c.id == table.detector_id
    )
    for some in chunks(ids):
        for row in connection.execute(query.where(table.id.in_(some))):
            try:
                queries = subject_of(row.subject).queries
            except DriftlineError as error:  # Of another version; it keeps none from waiting.
                log.warning("model=%d is not awaited: %s", row.id, error)
                continue
            yield (
                row.id,
                _AwaitedModel(
                    row.version,
                    row.period_s,
                    max(1, FEWEST_POINTS - row.points),
                    frozenset(query.metric_key for query in queries if query.is_metric),
                ),
            )


def _make_due(connection: Connection, id_: int, version: int, now: datetime) -> None:
    table = models.c
    is_same = (table.id == id_, table.version == version, table.due_at > now)
    connection.execute(update(models).where(*is_same).values(due_at=now))


class Trainer:
    """The loop that trains what is due, and makes the detectors that alarms miss."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        band_models: BandModels,
        poll_s: float = 10.0,
    ) -> None:
        self._engine = engine
        self._now = now
        self._band_models = band_models
        self._awaited = Awaited()
        self._poll_s = poll_s

    def run(self, stop: threading.Event) -> None:
        """Train until told to stop; a database that is away for a while stops nothing."""
        while not stop.is_set():
            try:
                self.step(stop)
            except SQLAlchemyError as error:
                log.warning("training waits for the database: %s", error)
            stop.wait(self._poll_s)

    def step(self, stop: threading.Event | None = None) -> int:
        """Make what is missing and train what is due, once; return how many models were trained."""
        while missing := self._band_models.take_missing():
            with self._engine.begin() as connection:
                made = want(connection, missing, self._now())
            if made:
                log.info("made detectors that alarms need: models=%d", made)
            self._band_models.look_again()
        self._awaited.look(self._engine, self._now())
        count = 0
        while stop is None or not stop.is_set():
            begun = time.monotonic()
            if not train_next(self._engine, self._now()):
                break
            count += 1
            if stop is not None:
                # Half of the time at most: alarms are judged in this process, too.
                stop.wait(time.monotonic() - begun)
        if count:
            self._band_models.look_again()
        return count
