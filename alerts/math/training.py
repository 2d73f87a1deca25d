"""Trains due models from the store, one at a time, day after day.

A model of too few points is retried after a minute, then more and more rarely: when the missing
ones can have come, and at least once an hour, so that data which are added late, or many at once,
are soon learnt from.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.math.band import FEWEST_POINTS, BandModel, fit
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detector import Configuration
from driftline.alerts.math.detectors import INSUFFICIENT, TRAINED, subject_of, want
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.math.series import Series
from driftline.alerts.tables import detectors, models
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError

log = logging.getLogger(__name__)

# Reference 6: two weeks of history; longer periods need more of it to be enough points.
_HISTORY_D = 14
_PERIODS = 90
_DAY = timedelta(days=1)
# Who takes a model and dies leaves it to the next after so long.
_CLAIM = timedelta(minutes=15)
# A model without enough points is tried again after a tenth of the time that it has waited.
_SOONEST, _LATEST = timedelta(minutes=1), timedelta(hours=1)


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
        values = _outcome(model, points, row, now)
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
    """Claim the model that waits longest, for a while."""
    query = (
        select(
            models,
            detectors.c.subject,
            detectors.c.configuration,
            detectors.c.created_at.label("wanted_at"),
        )
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


def _outcome(model: BandModel | None, points: int, row: Row[Any], now: datetime) -> dict[str, Any]:
    if model is not None:
        return {
            "state": TRAINED, "model": model.as_dict(), "points": model.points,
            "trained_at": now, "due_at": now + _DAY + _spread(row.id), "problem": None,
        }  # fmt: skip
    # The detector may be old, and this length of its periods new.
    missing = FEWEST_POINTS - points
    enough = timedelta(seconds=missing * row.period_s) if missing > 0 else _LATEST
    wait = max(min((now - row.wanted_at) / 10, enough, _LATEST), _SOONEST)
    return {
        "state": INSUFFICIENT, "model": None, "points": points,
        "trained_at": now, "due_at": now + wait, "problem": None,
    }  # fmt: skip


def _spread(id_: int) -> timedelta:
    """Part by up to an hour what was made at the same moment, always in the same way."""
    return timedelta(seconds=id_ * 2_654_435_761 % 2**32 % 3600)


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
        self._poll_s = poll_s
        self.failures = FailedPasses(log, "training")

    def run(self, stop: threading.Event) -> None:
        """Train until told to stop; a database that is away for a while stops nothing."""
        while not stop.is_set():
            with self.failures.noted(SQLAlchemyError):
                self.step(stop)
            stop.wait(self._poll_s)

    def step(self, stop: threading.Event | None = None) -> int:
        """Create missing models and train due ones, once; return how many were trained."""
        while missing := self._band_models.take_missing():
            with self._engine.begin() as connection:
                made = want(connection, missing, self._now())
            if made:
                log.info("made detectors that alarms need: models=%d", made)
            self._band_models.look_again()
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
