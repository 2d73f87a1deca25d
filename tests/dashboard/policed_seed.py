"""A whole server with alarms of every kind, silences and messages nobody took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from sqlalchemy import Engine

from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify.deliverer import Deliverer
from driftline.app.client.connection import ServerCalls
from tests.dashboard.measured_seed import Answers
from tests.servers.answering import served
from tests.serving.conftest import Running, resource, running

LATENCY = "latency high"
ERRORS = "error rate"
BROKEN = 'checkout <b>broken</b> & "all"'
MAINTENANCE = "maintenance"
LONELY = "nothing comes"
DRIFTS = ("drift pages", "drift tickets")
MINUTES = 180


@dataclass(frozen=True)
class Policed:
    """Where the installation lies, and the server that changes it."""

    running: Running
    calls: ServerCalls

    @property
    def engine(self) -> Engine:
        return self.running.engine

    @property
    def root(self) -> str:
        return str(self.running.root)

    @property
    def send(self) -> object:
        return self.calls.send

    def now(self) -> datetime:
        return self.running.context.now()


@contextmanager
def policed(folder: Path) -> Iterator[Policed]:
    """Run a server on it."""
    with (
        served(Answers) as url,
        running(folder, allow_networks=("127.0.0.0/8",)) as found,
        ServerCalls(found.url) as calls,
    ):
        answer = found.apply(*_resources(url))
        assert answer.status_code == 200, answer.text
        now = found.context.now()
        with found.engine.begin() as connection:
            add(connection, list(_traffic(now)), now=now)
            for one in _drifts(now):
                metrics.put(connection, [one], source=f"monitor:{one.name}")
        Evaluator(found.engine, now=found.context.now, dashboard_url="http://d").step()
        Deliverer(found.engine, now=found.context.now, allow_networks=("127.0.0.0/8",)).step()
        yield Policed(found, calls)


def texts(part: object) -> str:
    """All text of a page, drawn or as written for the browser, in order."""
    if part is None:
        return ""
    if isinstance(part, orjson.Fragment):
        return texts(orjson.loads(orjson.dumps(part)))
    if isinstance(part, dict):
        return texts(part["props"].get("children"))
    if isinstance(part, str | int | float):
        return str(part)
    if isinstance(part, list | tuple):
        return " ".join(texts(one) for one in part)
    return texts(getattr(part, "children", None))


def _resources(url: str) -> list[dict[str, object]]:
    plain = {
        "namespace": "Shop", "dimensions": {"Service": "checkout"}, "period": 60,
        "comparison_operator": "GreaterThanThreshold", "alarm_actions": ["pager", "gone"],
    }  # fmt: skip
    drift = {
        "namespace": "Driftline", "dimensions": {"Endpoint": "flights"}, "statistic": "Maximum",
        "period": 86_400, "evaluation_periods": 1, "threshold": 0.0,
        "comparison_operator": "GreaterThanThreshold",
    }  # fmt: skip
    math = [
        {"id": "m1", "metric_stat": {"metric": {"namespace": "Shop", "metric_name": "errors",
         "dimensions": {"Service": "checkout"}}, "period": 60, "stat": "Sum"},
         "return_data": False},
        {"id": "rate", "expression": "100 * m1 / 60", "return_data": True},
    ]  # fmt: skip
    return [
        resource("Channel", "pager", url=f"{url}/ok"),
        resource("Channel", "gone", url=f"{url}/gone"),
        resource("Alarm", LATENCY, metric_name="latency", extended_statistic="p90",
                 evaluation_periods=5, datapoints_to_alarm=3, threshold=300.0, **plain),
        resource("Alarm", ERRORS, metrics=math, evaluation_periods=3, threshold=5.0,
                 comparison_operator="GreaterThanThreshold", severity="ticket"),
        resource("Alarm", MAINTENANCE, metric_name="maintenance", evaluation_periods=1,
                 threshold=0.0, treat_missing_data="notBreaching",
                 **{**plain, "alarm_actions": []}),
        resource("Alarm", LONELY, metric_name="latency", evaluation_periods=1, threshold=1.0,
                 **{**plain, "dimensions": {"Service": "chekout"}, "alarm_actions": []}),
        resource("Alarm", DRIFTS[0], metric_name="pages", **drift),
        resource("Alarm", DRIFTS[1], metric_name="violations", severity="ticket", **drift),
        resource("CompositeAlarm", BROKEN,
                 alarm_rule=f'(ALARM("{LATENCY}") OR ALARM("{ERRORS}")) AND NOT '
                            f'AT_LEAST(1, ALARM, ("{MAINTENANCE}"))',
                 alarm_description="Customers cannot pay", alarm_actions=["pager"],
                 actions_suppressor=MAINTENANCE, actions_suppressor_wait_period=120,
                 actions_suppressor_extension_period=60),
        resource("Silence", "roll-out", matchers=["endpoint=flights"], created_by="lee",
                 ends_at="2099-01-01T00:00:00Z", comment="new model"),
    ]  # fmt: skip


def _traffic(now: datetime) -> Iterator[Datapoint]:
    """Three hours of minutes: slow in the last ten, and once for three."""
    shop = {"Service": "checkout"}
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    for minute in range(MINUTES):
        is_slow = minute >= MINUTES - 10 or 90 <= minute < 93
        time = first + timedelta(minutes=minute)
        slow = 400.0 if is_slow else 200.0 + minute % 7
        yield Datapoint("Shop", "latency", shop, time, values=(80.0, slow), counts=(8.0, 2.0))
        yield Datapoint("Shop", "errors", shop, time, value=6.0 if is_slow else 1.0)


def _drifts(now: datetime) -> Iterator[Datapoint]:
    note = {
        "cause": "dep_delay drifts: 3 times its bound",
        "violations": [{"feature_name": "dep_delay"}],
    }
    for name in ("pages", "violations"):
        yield Datapoint(
            "Driftline", name, {"Endpoint": "flights"}, now - timedelta(days=2), value=1,
            period_s=86_400, note=note,
        )  # fmt: skip
