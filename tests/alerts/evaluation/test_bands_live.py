"""Alarms beside a band, live: the store, the trainer, the evaluator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from bench.bands import season
from driftline.alerts.alarms import records
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detectors import delete_detector, list_detectors
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.training import Trainer
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put

STEP = timedelta(minutes=5)
START = datetime(2024, 1, 15, 12, tzinfo=UTC)


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
