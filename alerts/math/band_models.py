"""Bands for evaluations: models out of the store, kept in memory while they do not change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, select

from driftline.alerts.math.band import FEWEST_POINTS, BandModel, band
from driftline.alerts.math.detector import Subject
from driftline.alerts.math.detectors import PENDING
from driftline.alerts.math.elementwise import finite
from driftline.alerts.math.evaluate import BandOf, Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.series import Series, Times
from driftline.alerts.metrics.identity import chunks
from driftline.alerts.tables import models

# Models change once a day; so long a change may go unseen, but in the process that trained it.
_LOOK_AGAIN_S = 5.0
# Where nobody trains, nobody takes the notes either; and a transaction that makes them is short.
_MISSING_MAX = 20_000
_TAKEN_AT_ONCE = 500

_Key = tuple[str, int]


def limits_of(
    model: BandModel | None, times: Times, period_s: int, deviations: float
) -> tuple[Series, Series]:
    """Return (upper, lower) at times; both empty without a model, or for a width of 0 or less."""
    if model is None or not deviations > 0:
        return Series.empty(period_s, "upper"), Series.empty(period_s, "lower")
    lower, upper = band(model, times, deviations)
    return finite(times, upper, period_s, "upper"), finite(times, lower, period_s, "lower")


class BandModels:
    """Finds the bands that expressions ask for.

    ``band_models(connection, plan, starts)`` returns what :meth:`Plan.values` needs for an alarm
    whose periods start then. Missing models are noted; the trainer of this process has them made.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._versions: dict[_Key, int] = {}
        self._models: dict[_Key, BandModel | None] = {}
        # How many datapoints there were, of what was trained.
        self._points: dict[_Key, int] = {}
        self._missing: dict[_Key, Subject] = {}
        self._looked_at: float | None = None

    def __call__(self, connection: Connection, plan: Plan, starts: Sequence[datetime]) -> BandOf:
        """Return the bands of a plan at these periods; read in the transaction that is open."""
        times = np.array([int(start.timestamp()) for start in starts], dtype=np.int64)
        return self._bands(connection, plan, lambda _: times)

    def over(self, connection: Connection, plan: Plan, start: int, end: int) -> BandOf:
        """Return the bands of a plan at all periods of [start, end), seconds since 1970."""
        return self._bands(connection, plan, lambda period_s: np.arange(start, end, period_s))

    def _bands(self, connection: Connection, plan: Plan, times: Callable[[int], Times]) -> BandOf:
        self._refresh(connection)

        def band_of(id_: str, deviations: float) -> tuple[Series, Series] | Untrained:
            subject = Subject.of(plan, id_)
            period_s = subject.period_s
            model = self._find(subject, period_s)
            if model is None:
                return Untrained(id_, FEWEST_POINTS, self._points.get((subject.key, period_s)))
            return limits_of(model, times(period_s), period_s, deviations)

        return band_of

    def take_missing(self) -> list[tuple[Subject, int]]:
        """Return some of what was asked for and not there, and forget it."""
        with self._lock:
            keys = list(self._missing)[:_TAKEN_AT_ONCE]
            return [(self._missing.pop(key), key[1]) for key in keys]

    def look_again(self) -> None:
        """Look for changes before the next answer."""
        with self._lock:
            self._looked_at = None

    def _find(self, subject: Subject, period_s: int) -> BandModel | None:
        key = subject.key, period_s
        with self._lock:
            if key not in self._versions and len(self._missing) < _MISSING_MAX:
                self._missing[key] = subject
            return self._models.get(key)

    def _refresh(self, connection: Connection) -> None:
        with self._lock:
            now = self._ticks()
            if self._looked_at is not None and now - self._looked_at < _LOOK_AGAIN_S:
                return
            table = models.c
            rows = connection.execute(
                select(table.id, table.detector_id, table.period_s, table.version)
            )
            versions, changed = {}, list[int]()
            for row in rows:
                key = row.detector_id, row.period_s
                versions[key] = row.version
                if self._versions.get(key) != row.version:
                    changed.append(row.id)
            names = ("detector_id", "period_s", "state", "points", "model")
            query = select(*(table[name] for name in names))
            for some in chunks(changed):
                for found in connection.execute(query.where(table.id.in_(some))):
                    key = found.detector_id, found.period_s
                    self._models[key] = (
                        None if found.model is None else BandModel.from_dict(found.model)
                    )
                    self._points.pop(key, None)
                    if found.state != PENDING:
                        self._points[key] = found.points
            for key in set(self._models) - set(versions):
                del self._models[key]
                self._points.pop(key, None)
            self._versions, self._looked_at = versions, now
