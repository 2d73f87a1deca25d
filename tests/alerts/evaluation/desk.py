"""An alarm on a metric by the clock, its datapoints, and what is said of it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint

__all__ = ["Desk"]


class Desk:
    """An alarm on a metric by the clock, its datapoints, and what is said of it."""

    def __init__(self, engine: Engine, clock) -> None:
        self.engine, self.clock = engine, clock
        self.evaluator = Evaluator(engine, now=clock)

    def alarm(self, **more) -> None:
        fields = {
            "alarm_name": "cpu",
            "namespace": "Own/App",
            "metric_name": "Load",
            "dimensions": {"Server": "Prod"},
            "period": 60,
            "evaluation_periods": 3,
            "threshold": 0.5,
            "comparison_operator": "GreaterThanThreshold",
        }
        with self.engine.begin() as connection:
            put_alarm(connection, AlarmDefinition.from_dict(fields | more), self.clock())

    def add(self, *values: float | None, every_s: int = 60, **more) -> None:
        """Put values, the newest of them one step ago."""
        fields = {"namespace": "Own/App", "name": "Load", "dimensions": {"Server": "Prod"}}
        start = self.clock() - timedelta(seconds=every_s * len(values))
        points = [
            Datapoint(**(fields | more), time=start + timedelta(seconds=every_s * at), value=value)
            for at, value in enumerate(values)
            if value is not None
        ]
        with self.engine.begin() as connection:
            add(connection, points)

    def explain(self, name: str = "cpu") -> Explanation:
        with self.engine.begin() as connection:
            return explain(connection, name, self.clock())
