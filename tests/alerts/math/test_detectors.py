"""Detectors in the store: put, trained from it, read back, made when they are missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from sqlalchemy import Engine, event

from bench.bands import season
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detector import Detector
from driftline.alerts.math.detectors import (
    PENDING,
    TRAINED,
    delete_detector,
    get_detector,
    list_detectors,
    put_detector,
    want,
)
from driftline.alerts.math.evaluate import Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.training import Trainer, train_next
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from tests.servers.postgres import both_databases, both_in_full, open_url
from tests.together import together

NOW = datetime(2024, 1, 15, tzinfo=UTC)
ORDERS = {"namespace": "Shop", "metric_name": "Orders", "dimensions": {"Shop": "north"},
          "stat": "Sum"}  # fmt: skip


def store(engine: Engine, count: int = 14 * 24, name: str = "Orders", step_s: int = 3600) -> None:
    """Put one value an hour up to now, with seasons."""
    times = np.array([int(NOW.timestamp()) - step_s * (count - i) for i in range(count)])
    noise = np.random.default_rng(0).normal(size=count)
    values = 100 + 60 * season(times) + noise
    with engine.begin() as connection:
        put(
            connection,
            [
                Datapoint("Shop", name, {"Shop": "north"}, datetime.fromtimestamp(time, UTC),
                          value=value)
                for time, value in zip(times.tolist(), values.tolist(), strict=True)
            ],
            source=f"test:{name}",
        )  # fmt: skip


def orders(**more) -> Detector:
    return Detector.from_dict({"single_metric_anomaly_detector": ORDERS, "period": 3600} | more)


def plan(expression: str = "ANOMALY_DETECTION_BAND(m1, 3)", **more) -> Plan:
    asked = {"id": "m1", "period": 3600} | ORDERS | more
    return Plan.of([MetricQuery.from_dict(asked), MetricQuery(id="b", expression=expression)])


# Reference 6: fewer than 30 points are no band.
NOT_YET = Untrained("m1", needed=30)


def bands(engine: Engine, band_models: BandModels, asked: Plan, start=NOW, hours: int = 24):
    with engine.connect() as connection:
        starts = [start + timedelta(hours=hour) for hour in range(hours)]
        band_of = band_models(connection, asked, starts)
    return band_of(next(asked.bands()), 3.0)


def test_a_detector_is_trained_from_the_store_and_its_band_holds(engine):
    store(engine)
    with engine.begin() as connection:
        record = put_detector(connection, orders(), NOW)
    assert record.state == PENDING

    assert train_next(engine, NOW)
    assert not train_next(engine, NOW)

    with engine.connect() as connection:
        record = get_detector(connection, record.id)
    assert record.state == TRAINED
    (model,) = record.models
    assert model.points == 14 * 24 and model.as_dict()["has_seasons"]
    assert timedelta(hours=24) <= model.due_at - NOW < timedelta(hours=25)
    upper, lower = bands(engine, BandModels(), plan())
    usual = 100 + 60 * season(upper.times)
    assert len(upper) == 24
    assert (lower.values < usual + 2).all() and (upper.values > usual - 2).all()
    assert (upper.values - lower.values).max() < 30


def test_what_an_alarm_misses_is_made_trained_and_found(engine):
    store(engine)
    band_models = BandModels()
    trainer = Trainer(engine, now=lambda: NOW, band_models=band_models)

    assert bands(engine, band_models, plan()) == NOT_YET
    assert trainer.step() == 1
    assert [len(one) for one in bands(engine, band_models, plan())] == [24, 24]
    assert trainer.step() == 0

    with engine.begin() as connection:
        (record,) = list_detectors(connection, namespace="Shop", metric_name="Orders")
        delete_detector(connection, record.id)
    band_models.look_again()
    assert bands(engine, band_models, plan()) == NOT_YET
    assert trainer.step() == 1
    with engine.connect() as connection:
        assert [one.id for one in list_detectors(connection)] == [record.id]


@both_databases
def test_two_trainers_train_each_model_once(database_url):
    engines = [open_url(database_url) for _ in range(2)]
    store(engines[0], 60)
    names = [f"Orders{i}" for i in range(6)]
    with engines[0].begin() as connection:
        for name in names:
            watched = ORDERS | {"metric_name": name}
            asked = Detector.from_dict({"single_metric_anomaly_detector": watched})
            put_detector(connection, asked, NOW)
    counts = [0, 0]

    def work(place: int) -> None:
        while train_next(engines[place], NOW):
            counts[place] += 1

    together(*(partial(work, place) for place in range(2)))

    assert sum(counts) == len(names)
    for engine in engines:
        engine.dispose()


@both_in_full
def test_a_model_is_asked_for_once(engine):
    asked = [(orders().subject, period_s) for period_s in (60, 300)]

    with engine.begin() as connection:
        assert [want(connection, asked, NOW) for _ in range(2)] == [2, 0]


@both_in_full
def test_a_change_while_it_is_trained_has_it_trained_once_more(database_url):
    engine, other = open_url(database_url), open_url(database_url)
    store(engine)
    with engine.begin() as connection:
        record = put_detector(connection, orders(), NOW)
    changes = []

    @event.listens_for(engine, "before_cursor_execute")
    def change(_connection, _cursor, statement, *_more):
        """Put it once more, just when its history is read."""
        if "alerts_metrics" in statement and not changes:
            changes.append(orders(configuration={"adaptation_speed": "FAST"}))
            with other.begin() as connection:
                put_detector(connection, changes[0], NOW)

    assert train_next(engine, NOW)
    assert changes
    with engine.connect() as connection:
        assert get_detector(connection, record.id).state == PENDING
    assert train_next(engine, NOW)
    with engine.connect() as connection:
        assert get_detector(connection, record.id).state == TRAINED
    engine.dispose()
    other.dispose()


# botocore, PutAnomalyDetector: the newest form and the old flat one.
