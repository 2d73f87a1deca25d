"""A plant of metrics and alarms by the clock, for tests of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Plant:
    """Alarms on metrics of namespace Plant, a clock at noon, and one evaluator."""

    def __init__(self, engine, clock):
        self.engine, self.clock = engine, clock
        clock.time = NOON
        self.evaluator = Evaluator(engine, now=clock)

    def alarm(self, name="hot", **more):
        fields = {
            "alarm_name": name, "namespace": "Plant", "metric_name": "load", "period": 60,
            "evaluation_periods": 1, "threshold": 10.0, "statistic": "Maximum",
            "comparison_operator": "GreaterThanThreshold",
        }  # fmt: skip
        if "metrics" in more:
            for key in ("namespace", "metric_name", "period", "statistic"):
                del fields[key]
        with self.engine.begin() as connection:
            definition = AlarmDefinition.from_dict(fields | more)
            return alarms.put_alarm(connection, definition, self.clock())

    def put(self, value, at, name="load", **more):
        point = Datapoint("Plant", name, {}, at, value=float(value), **more)
        with self.engine.begin() as connection:
            add(connection, [point], now=at)

    def to(self, time):
        """Let the clock go to a time and judge; give (alarm, state) of the changes."""
        self.clock.time = time
        return [(one.alarm_name, one.new) for one in self.evaluator.step()]

    def state(self, name="hot"):
        with self.engine.begin() as connection:
            return alarms.get_alarm(connection, name).state
