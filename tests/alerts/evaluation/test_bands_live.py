"""Alarms beside a band, live: the store, the trainer, the evaluator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from bench.bands import season
from driftline.alerts.alarms import records
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.explain import explain
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detectors import delete_detector, list_detectors
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.training import Trainer
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put

STEP = timedelta(minutes=5)
START = datetime(2024, 1, 15, 12, tzinfo=UTC)

DAILY_BAND = {
    "metrics": (
        MetricQuery(id="m1", namespace="Driftline", metric_name="drift", stat="Average",
                    dimensions={"Endpoint": "flights"}, period=86_400),
        MetricQuery(id="ad1", expression="ANOMALY_DETECTION_BAND(m1, 4)"),
    ),
    "namespace": None, "metric_name": None, "dimensions": {}, "period": None, "threshold": None,
    "threshold_metric_id": "ad1", "comparison_operator": "GreaterThanUpperThreshold",
}  # fmt: skip


def usual(time: datetime) -> float:
    return 100 + 60 * float(season(np.array([int(time.timestamp())]))[0])


def store(engine, values: dict[datetime, float]) -> None:
    with engine.begin() as connection:
        put(
            connection,
            [Datapoint("Shop", "Orders", {}, time, value=value) for time, value in values.items()],
            source=f"test:{min(values).isoformat()}",
        )


def band_alarm(operator: str = "GreaterThanUpperThreshold", **more) -> AlarmDefinition:
    return AlarmDefinition(
        alarm_name="orders",
        metrics=(
            MetricQuery(id="m1", namespace="Shop", metric_name="Orders", stat="Average",
                        period=300),
            MetricQuery(id="ad1", expression="ANOMALY_DETECTION_BAND(m1, 3)"),
        ),
        threshold_metric_id="ad1",
        comparison_operator=operator,
        evaluation_periods=1,
        **more,
    )  # fmt: skip


def test_an_alarm_beside_a_band_waits_for_it_then_fires_and_comes_back(engine, clock):
    random = np.random.default_rng(0)
    history = [START - STEP * (i + 1) for i in range(14 * 288)]
    store(engine, {time: usual(time) + float(random.normal()) for time in history})
    clock.time = START
    with engine.begin() as connection:
        records.put_alarm(connection, band_alarm(), clock())
    band_models = BandModels()
    evaluator = Evaluator(engine, now=clock, bands=band_models)
    trainer = Trainer(engine, now=clock, band_models=band_models)

    evaluator.step()
    # No detector yet: no band, so nothing can be said.
    assert _state(engine) == "INSUFFICIENT_DATA"
    assert trainer.step() == 1

    states = []
    for number, extra in enumerate([0.0, 40.0, 0.0, -40.0]):
        at = START + STEP * number
        store(engine, {at: usual(at) + extra})
        for _ in range(5):
            clock.advance(minutes=1)
            evaluator.step()
        states.append(_state(engine))

    assert states == ["OK", "ALARM", "OK", "OK"]
    reason = _history(engine, "ALARM")
    assert "was greater than the upper threshold" in reason

    with engine.begin() as connection:
        (record,) = list_detectors(connection)
        delete_detector(connection, record.id)
    band_models.look_again()
    clock.advance(minutes=5)
    evaluator.step()
    # What an alarm needs is made again.
    assert trainer.step() == 1
    with engine.connect() as connection:
        assert [one.id for one in list_detectors(connection)] == [record.id]


def _state(engine) -> str:
    with engine.connect() as connection:
        return records.get_alarm(connection, "orders").state


def _history(engine, state: str) -> str:
    with engine.connect() as connection:
        items = records.history(connection, "orders", limit=100)
    return next(str(item.data) for item in items if f"to {state}" in item.summary)


def test_results_of_a_daily_monitor_have_a_band_too(house):
    random = np.random.default_rng(0)
    days = 62
    # 1 January 2013 was a Tuesday: free days are days 4 and 5 of each week from there.
    free = np.array([day % 7 in (4, 5) for day in range(days + 2)])
    values = np.where(free, 0.30, 0.10) + 0.01 * random.normal(size=days + 2)
    house.put(*values[:days].tolist())
    house.clock.time = house.day + timedelta(days=days)
    house.alarm("orders", **DAILY_BAND)
    band_models = BandModels()
    evaluator = Evaluator(house.engine, now=house.clock, bands=band_models)
    evaluator.step()
    assert Trainer(house.engine, now=house.clock, band_models=band_models).step() == 1

    # What is usual on a Saturday is not so on a Monday.
    states = []
    for day, value in ((days, values[days]), (days + 1, 0.30)):
        house.put(float(value), day=day)
        house.clock.time = house.day + timedelta(days=day + 1)
        evaluator.step()
        states.append(_state(house.engine))

    assert not free[days] and not free[days + 1]
    assert states == ["OK", "ALARM"]


def test_a_band_that_is_not_trained_says_how_many_datapoints_it_lacks(engine, clock):
    clock.time = START
    store(engine, {START - STEP * (i + 1): 100.0 for i in range(12)})
    with engine.begin() as connection:
        records.put_alarm(connection, band_alarm(treat_missing_data="breaching"), clock())
    band_models = BandModels()
    evaluator = Evaluator(engine, now=clock, bands=band_models)
    trainer = Trainer(engine, now=clock, band_models=band_models)

    assert evaluator.step() == []
    assert _reason(engine).endswith("The band of m1 is not trained yet: it needs 30 datapoints.")
    assert trainer.step() == 1
    clock.advance(minutes=30)  # The metric is silent, too.

    assert evaluator.step() == []
    assert _state(engine) == "INSUFFICIENT_DATA"
    # Reference 6: fewer than 30 points are no band.
    assert _reason(engine) == (
        "Insufficient Data: 1 datapoint was unknown. The band of m1 is not trained: it has 12 of "
        "the 30 datapoints that it needs."
    )
    with engine.connect() as connection:
        found = explain(connection, "orders", clock(), bands=band_models)
    assert (found.rule, found.judged) == ("untrained", "INSUFFICIENT_DATA")
    assert "12 of the 30 datapoints" in found.decided


def test_silence_is_judged_again_once_a_deleted_band_is_trained_again(engine, clock):
    random = np.random.default_rng(0)
    history = [START - STEP * (i + 1) for i in range(14 * 288)]
    store(engine, {time: usual(time) + float(random.normal()) for time in history})
    clock.time = START
    with engine.begin() as connection:
        records.put_alarm(connection, band_alarm(treat_missing_data="breaching"), clock())
    band_models = BandModels()
    evaluator = Evaluator(engine, now=clock, bands=band_models)
    trainer = Trainer(engine, now=clock, band_models=band_models)
    evaluator.step()
    trainer.step()
    changes = []
    for _ in range(30):  # Nothing comes any more.
        clock.advance(minutes=1)
        changes += evaluator.step()
    assert [change.new for change in changes] == ["OK", "ALARM"]
    with engine.begin() as connection:
        (record,) = list_detectors(connection)
        delete_detector(connection, record.id)
    band_models.look_again()
    clock.advance(minutes=1)

    (change,) = evaluator.step()
    assert change.new == "INSUFFICIENT_DATA"
    assert "The band of m1 is not trained yet" in change.reason
    assert trainer.step() == 1
    clock.advance(minutes=1)
    (change,) = evaluator.step()
    assert (change.new, "no datapoints were received" in change.reason) == ("ALARM", True)


def test_the_band_of_a_monitors_metric_is_not_trained_by_silence(house):
    house.clock.time = house.day
    house.alarm("orders", treat_missing_data="breaching", **DAILY_BAND)
    band_models = BandModels()
    evaluator = Evaluator(house.engine, now=house.clock, bands=band_models)
    trainer = Trainer(house.engine, now=house.clock, band_models=band_models)

    for day in range(5):
        if day < 2:
            house.put(0.1, day=day)
        house.clock.time = house.day + timedelta(days=day + 1)
        assert evaluator.step() == []
        trainer.step()

    house.clock.advance(days=4)
    assert evaluator.step() == []
    assert _state(house.engine) == "INSUFFICIENT_DATA"
    assert "of the 30 datapoints that it needs" in _reason(house.engine)


def _reason(engine) -> str:
    with engine.connect() as connection:
        return records.get_alarm(connection, "orders").state_reason
