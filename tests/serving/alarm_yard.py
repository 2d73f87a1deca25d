"""A running server with four alarms on it, as fixtures for tests of alarms of all kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from driftline.app.client.client import Client
from driftline.errors import NotFoundError

HOOK = {"url": "http://127.0.0.1:9/hook"}
METRIC = {
    "namespace": "Own/App",
    "metric_name": "Load",
    "dimensions": {"Server": "Prod"},
    "period": 60,
    "evaluation_periods": 1,
    "threshold": 0.5,
    "comparison_operator": "GreaterThanThreshold",
}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("alarms"), allow_networks=["127.0.0.0/8"]) as found:
        yield found


@pytest.fixture
def client(server) -> Iterator[Client]:
    with Client(server.url) as found:
        yield found


@pytest.fixture
def yard(server, declare, client):
    """Two metric alarms, a composite on them, and a composite on that; gone afterwards."""
    client.apply(
        [
            declare("CompositeAlarm", "top", alarm_rule="ALARM(both)\n", alarm_actions=["pager"]),
            declare("CompositeAlarm", "both", alarm_rule='ALARM("a b") AND ALARM(c)'),
            declare("Channel", "pager", **HOOK),
            {**declare("Alarm", "a b", **METRIC, alarm_actions=["pager"]), "tags": {"team": "ops"}},
            declare("Alarm", "c", **METRIC),
        ]
    )
    yield client
    kinds = {"top": "CompositeAlarm", "both": "CompositeAlarm", "a b": "Alarm", "c": "Alarm"}
    for name, kind in kinds.items():
        try:
            client.delete(kind, name)
        except NotFoundError:
            continue
