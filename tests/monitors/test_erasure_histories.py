"""Erasure of what alarms keep for those above them: notes of histories, messages of composites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from driftline.alerts import tables as alert_tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify import channels
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from tests.monitors.conftest import DAY, START, Append, weather
from tests.monitors.run.erased_person import (
    DIMENSIONS,
    NOW,
    PLACE,
    TEMP,
    erase_person,
    holding,
    judge,
)
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def told(engine: Engine, root: str, reference: Baseline, append: Append, rng) -> None:
    """Judge the day of a person; composites tell of it after another alarm, to which they link."""
    versions.put(root, "flights", reference, lambda: NOW)
    values = weather(rng, 400)
    values["temp"][:40] = TEMP
    values["origin"] = np.where(np.arange(400) < 40, PLACE, values["origin"])
    append(0, values)
    with engine.begin() as connection:
        channel = channels.Channel("hook", "http://127.0.0.1:9", options={"include_values": True})
        channels.put_channel(connection, channel, NOW)
        for name in ("a-plain", "violations"):
            definition = AlarmDefinition(
                alarm_name=name, namespace="Driftline", metric_name=name, dimensions=DIMENSIONS,
                statistic="Maximum", period=86_400, evaluation_periods=1, threshold=0.5,
                comparison_operator="GreaterThanThreshold",
            )  # fmt: skip
            alarms.put_alarm(connection, definition, START)
        rules = {"both": 'ALARM("a-plain") OR ALARM("violations")', "top": 'ALARM("both")'}
        for name, rule in rules.items():
            composite = CompositeDefinition(
                alarm_name=name, alarm_rule=rule, alarm_actions=("hook",)
            )
            put_composites(connection, [composite], START)
    with engine.begin() as connection:
        point = Datapoint("Driftline", "a-plain", DIMENSIONS, START, value=1, period_s=86_400)
        metrics.put(connection, [point], source="by hand")
    judge(engine, root, reference, 0)
    Evaluator(engine, now=lambda: START + DAY, dashboard_url="http://127.0.0.1:8081").step()


def test_what_histories_and_composites_keep_of_a_cause_is_erased(
    told: None, engine: Engine, root: str, tmp_path: Path
) -> None:
    assert "temp: " in texts_of(engine)
    assert any("alarms/a-plain" in one.facts["link"] for one in messages_of(engine))

    erase_person(engine, root, tmp_path)

    texts = texts_of(engine)
    assert holding(root, engine) == []
    assert "temp: " not in texts
    assert "origin: " not in texts
    assert "a-plain" in texts


def messages_of(engine: Engine):
    with engine.connect() as connection:
        return connection.execute(select(alert_tables.outbox)).all()


def texts_of(engine: Engine) -> str:
    """Return all that messages and histories say."""
    with engine.connect() as connection:
        histories = connection.scalars(select(alert_tables.history.c.data)).all()
    return repr([histories, messages_of(engine)])
