"""Detectors in the store: put, describe, delete; and the models that they learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from driftline.alerts.documents import iso
from driftline.alerts.errors import UnknownDetector
from driftline.alerts.math.band import BandModel
from driftline.alerts.math.detector import Configuration, Detector, Subject
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.tables import detectors, models
from driftline.database.dialects import advisory_lock, upsert

# CloudWatch API, AnomalyDetectorStateValue.
PENDING = "PENDING_TRAINING"
INSUFFICIENT = "TRAINED_INSUFFICIENT_DATA"
TRAINED = "TRAINED"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The model of one length of period."""

    period_s: int
    state: str
    model: BandModel | None  # None when there is none.
    points: int  # How many it was learnt from, or that there were.
    problem: str | None  # Why the last training failed; None when it did not.
    trained_at: datetime | None
    due_at: datetime  # When it will be trained next.

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, without the model itself."""
        return {
            "period": self.period_s,
            "state_value": self.state,
            "points": self.points,
            "has_seasons": self.model is not None and len(self.model.centres) > 1,
            "problem": self.problem,
            "trained_at": None if self.trained_at is None else iso(self.trained_at),
            "due_at": iso(self.due_at),
        }


@dataclass(frozen=True, slots=True)
class DetectorRecord:
    """A stored detector."""

    id: str  # Digest of what it watches.
    subject: Subject
    configuration: Configuration
    models: tuple[ModelRecord, ...]  # One for each length of period, the shortest first.
    created_at: datetime
    updated_at: datetime

    @property
    def state(self) -> str:
        """The best state that any of its models is in."""
        states = {one.state for one in self.models}
        return next((one for one in (TRAINED, PENDING) if one in states), INSUFFICIENT)

    def as_dict(self) -> dict[str, Any]:
        """Return it as DescribeAnomalyDetectors does, in snake case, and its models."""
        return {
            "id": self.id,
            **self.subject.as_dict(),
            **self.configuration.as_dict(),
            "state_value": self.state,
            "models": [one.as_dict() for one in self.models],
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }


def put_detector(connection: Connection, detector: Detector, now: datetime) -> DetectorRecord:
    """Store a detector in place of one that watches the same; it is trained anew, and soon."""
    key = detector.subject.key
    advisory_lock(connection, f"detector:{key}")
    values = {
        "subject": _stored(detector.subject),
        "configuration": detector.configuration.as_dict(),
        "updated_at": now,
    }
    changed = connection.execute(update(detectors).where(detectors.c.id == key).values(**values))
    if not changed.rowcount:
        connection.execute(insert(detectors).values(id=key, created_at=now, **values))
    _want_models(connection, [(key, detector.period_s)], now)
    _train_again(connection, key, now)
    return get_detector(connection, key)


def want(connection: Connection, wanted: Iterable[tuple[Subject, int]], now: datetime) -> int:
    """Request models for these lengths of period; return how many are missing and now queued."""
    found = {(subject.key, period_s): subject for subject, period_s in wanted}
    ordered = sorted(found)
    if ordered:
        rows = {
            key: {
                "id": key,
                "subject": _stored(found[key, period_s]),
                "configuration": Configuration().as_dict(),
                "created_at": now,
                "updated_at": now,
            }
            for key, period_s in ordered
        }
        new = upsert(connection, detectors).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(new, list(rows.values()))
    return _want_models(connection, ordered, now)


def get_detector(connection: Connection, key: str) -> DetectorRecord:
    """Return one detector."""
    found = _records(connection, key)
    if not found:
        raise UnknownDetector(f'no detector has the id "{key[:80]}"; expected one that is listed')
    return found[0]


def list_detectors(
    connection: Connection,
    *,
    namespace: str | None = None,
    metric_name: str | None = None,
) -> list[DetectorRecord]:
    """Return the detectors that look at such a metric, by what they watch."""

    def suits(record: DetectorRecord) -> bool:
        return any(
            query.is_metric
            and namespace in (None, query.namespace)
            and metric_name in (None, query.metric_name)
            for query in record.subject.queries
        )

    found = [record for record in _records(connection) if suits(record)]
    return sorted(found, key=lambda one: (str(one.subject.as_dict()), one.id))


def delete_detector(connection: Connection, key: str) -> None:
    """Delete a detector and what it learnt; an alarm that needs one has it made again."""
    get_detector(connection, key)
    connection.execute(delete(models).where(models.c.detector_id == key))
    connection.execute(delete(detectors).where(detectors.c.id == key))


def _train_again(connection: Connection, key: str, now: datetime) -> None:
    """Queue all models of a detector for training."""
    connection.execute(
        update(models)
        .where(models.c.detector_id == key)
        .values(due_at=now, state=PENDING, version=models.c.version + 1)
    )


def _want_models(connection: Connection, wanted: Sequence[tuple[str, int]], now: datetime) -> int:
    new = upsert(connection, models).on_conflict_do_nothing(
        index_elements=["detector_id", "period_s"]
    )
    made = 0
    for key, period_s in wanted:
        values = {"detector_id": key, "period_s": period_s, "state": PENDING, "points": 0}
        # PostgreSQL tells no count of rows that were inserted.
        row = new.values(**values, due_at=now, version=0).returning(models.c.id)
        made += connection.scalar(row) is not None
    return made


def _stored(subject: Subject) -> list[dict[str, Any]]:
    return [query.as_dict() for query in subject.queries]


def _records(connection: Connection, key: str | None = None) -> list[DetectorRecord]:
    of_models = select(models).order_by(models.c.detector_id, models.c.period_s)
    query = select(detectors)
    if key is not None:
        of_models = of_models.where(models.c.detector_id == key)
        query = query.where(detectors.c.id == key)
    learnt: dict[str, list[ModelRecord]] = {}
    for row in connection.execute(of_models):
        learnt.setdefault(row.detector_id, []).append(_model(row))
    return [_record(row, learnt.get(row.id, [])) for row in connection.execute(query)]


def _record(row: Row[Any], learnt: Sequence[ModelRecord]) -> DetectorRecord:
    return DetectorRecord(
        row.id,
        subject_of(row.subject),
        Configuration.from_dict(row.configuration),
        tuple(learnt),
        row.created_at,
        row.updated_at,
    )


def _model(row: Row[Any]) -> ModelRecord:
    return ModelRecord(
        row.period_s,
        row.state,
        None if row.model is None else BandModel.from_dict(row.model),
        row.points,
        row.problem,
        row.trained_at,
        row.due_at,
    )


def subject_of(stored: Sequence[Mapping[str, Any]]) -> Subject:
    """Read a subject as it is stored."""
    return Subject(tuple(MetricQuery.from_dict(one) for one in stored))
