"""Detectors in the store: put, trained from it, read back, made when they are missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from sqlalchemy import Engine, event

from bench.bands import season
from driftline.alerts.errors import UnknownDetector
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detector import Detector, Subject
from driftline.alerts.math.detectors import (
    INSUFFICIENT,
    PENDING,
    TRAINED,
    delete_detector,
    get_detector,
    list_detectors,
    put_detector,
    train_again,
)
from driftline.alerts.math.evaluate import Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.training import Trainer, train_next
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from tests.servers.postgres import both_databases, open_url
from tests.together import together

NOW = datetime(2024, 1, 15, tzinfo=UTC)
ORDERS = {"namespace": "Shop", "metric_name": "Orders", "dimensions": {"Shop": "north"},
          "stat": "Sum"}  # fmt: skip


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


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


def test_the_same_is_trained_again_a_day_later(engine):
    store(engine)
    with engine.begin() as connection:
        put_detector(connection, orders(), NOW)

    trained = [train_next(engine, NOW + timedelta(hours=hours)) for hours in (0, 23, 25, 26, 50)]

    assert trained == [True, False, True, False, True]


def test_too_few_points_make_no_band_until_there_are_enough(engine):
    store(engine, 29)
    with engine.begin() as connection:
        record = put_detector(connection, orders(), NOW)
    train_next(engine, NOW)

    with engine.connect() as connection:
        record = get_detector(connection, record.id)
    assert record.state == INSUFFICIENT and record.models[0].points == 29
    assert record.models[0].due_at == NOW + timedelta(minutes=1)
    assert bands(engine, BandModels(), plan()) == Untrained("m1", needed=30, points=29)

    store(engine, 30)
    assert train_next(engine, NOW + timedelta(minutes=1))
    assert [len(one) for one in bands(engine, BandModels(), plan())] == [24, 24]


@pytest.mark.parametrize(
    ("waited", "wait"),
    [
        (timedelta(minutes=3), timedelta(minutes=1)),
        (timedelta(minutes=20), timedelta(minutes=2)),
        (timedelta(days=90), timedelta(hours=1)),
    ],
)
def test_one_without_enough_points_is_tried_again_the_more_rarely_the_longer_it_waits(
    engine, waited, wait
):
    with engine.begin() as connection:
        record = put_detector(connection, orders(), NOW - waited)

    assert train_next(engine, NOW)

    with engine.connect() as connection:
        (model,) = get_detector(connection, record.id).models
    assert model.due_at == NOW + wait


@both_databases
def test_a_new_period_of_an_old_detector_waits_for_the_missing_points_alone(engine):
    store(engine, 25, step_s=60)
    with engine.begin() as connection:
        put_detector(connection, orders(), NOW - timedelta(days=90))
    asked = plan(period=60)
    Trainer(engine, now=lambda: NOW, band_models=(band_models := BandModels())).step()
    bands(engine, band_models, asked)

    assert Trainer(engine, now=lambda: NOW, band_models=band_models).step() == 1

    with engine.connect() as connection:
        (record,) = list_detectors(connection)
    assert [(one.period_s, one.points) for one in record.models] == [(60, 25), (3600, 1)]
    assert record.models[0].due_at == NOW + timedelta(minutes=5)


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


def test_thousands_that_are_missing_are_made_bit_by_bit_and_not_noted_without_end(engine):
    band_models = BandModels()
    with engine.connect() as connection:
        for number in range(1_100):
            asked = plan(metric_name=f"m{number}")
            band_models(connection, asked, [NOW])("m1", 2.0)

    taken = [band_models.take_missing() for _ in range(4)]

    assert [len(some) for some in taken] == [500, 500, 100, 0]
    assert len({subject.key for some in taken for subject, _ in some}) == 1_100


def test_each_length_of_period_has_a_model_of_its_own(engine):
    store(engine)
    band_models = BandModels()
    trainer = Trainer(engine, now=lambda: NOW, band_models=band_models)
    for asked in (plan(), plan(period=7200)):
        bands(engine, band_models, asked)

    assert trainer.step() == 2

    with engine.connect() as connection:
        (record,) = list_detectors(connection)
    assert [one.period_s for one in record.models] == [3600, 7200]
    narrow, wide = (bands(engine, band_models, plan(period=one))[0] for one in (3600, 7200))
    # A sum of two hours is twice that of one.
    assert wide.values.mean() == pytest.approx(2 * narrow.values.mean(), rel=0.1)


def test_an_expression_can_be_watched_too(engine):
    store(engine)
    store(engine, name="Visits")
    asked = Plan.of(
        [
            MetricQuery.from_dict({"id": "m1", "period": 3600, "return_data": False} | ORDERS),
            MetricQuery.from_dict(
                {"id": "m2", "period": 3600, "return_data": False}
                | ORDERS
                | {"metric_name": "Visits"}
            ),
            MetricQuery(id="e1", expression="m1 / m2 * 100", label="rate"),
            MetricQuery(id="b", expression="ANOMALY_DETECTION_BAND(e1)"),
        ]
    )
    band_models = BandModels()
    bands(engine, band_models, asked)
    Trainer(engine, now=lambda: NOW, band_models=band_models).step()

    upper, lower = bands(engine, band_models, asked)

    assert (upper.values >= 100).all() and (lower.values <= 100).all() and len(upper) == 24
    with engine.connect() as connection:
        (record,) = list_detectors(connection, metric_name="Visits")
    found = record.as_dict()
    queries = found["metric_math_anomaly_detector"]["metric_data_queries"]
    assert [one["id"] for one in queries] == ["m1", "m2", "e1"]
    # Put by hand in the form in which it is described, it is the same detector.
    again = Detector.from_dict({"metric_math_anomaly_detector": {"metric_data_queries": queries}})
    assert again.subject.key == record.id and again.period_s == 3600


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


@both_databases
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


@both_databases
def test_what_cannot_be_trained_says_why_and_stops_no_other(engine):
    store(engine)
    broken = Subject((MetricQuery.from_dict({"id": "m1", "period": 60} | ORDERS),))
    with engine.begin() as connection:
        first = put_detector(connection, Detector(broken, period_s=45), NOW)
        put_detector(
            connection,
            Detector.from_dict({"single_metric_anomaly_detector": ORDERS | {"stat": "Average"}}),
            NOW,
        )

    assert train_next(engine, NOW) and train_next(engine, NOW) and not train_next(engine, NOW)

    with engine.connect() as connection:
        (model,) = get_detector(connection, first.id).models
    assert "period 45 s; expected" in str(model.problem)
    assert model.state == PENDING and model.due_at == NOW + timedelta(days=1)


@both_databases
def test_training_again_is_at_once_and_shows_in_other_processes_within_seconds(engine):
    store(engine)
    ticks = [0.0]
    band_models = BandModels(lambda: ticks[0])
    with engine.begin() as connection:
        record = put_detector(connection, orders(), NOW)
    assert bands(engine, band_models, plan()) == NOT_YET
    train_next(engine, NOW)

    assert bands(engine, band_models, plan()) == NOT_YET
    ticks[0] = 5.0
    before = bands(engine, band_models, plan())[0]
    assert len(before) == 24
    with engine.begin() as connection:
        train_again(connection, record.id, NOW)
        put_detector(connection, orders(configuration={"metric_timezone": "+05:00"}), NOW)
    train_next(engine, NOW)
    ticks[0] = 10.0

    after = bands(engine, band_models, plan())[0]
    assert not np.array_equal(after.values, before.values)


@both_databases
def test_unknown_ones_are_said_to_be_unknown(engine):
    with engine.begin() as connection:
        for ask in (get_detector, delete_detector):
            with pytest.raises(UnknownDetector, match='no detector has the id "0f"'):
                ask(connection, "0f")


# botocore, PutAnomalyDetector: the newest form and the old flat one.
