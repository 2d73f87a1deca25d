"""Alarms as they are declared: every field, and what a monitor's name fills in."""

import pytest

from driftline.serving.provisioning.definitions import definition_of
from driftline.serving.provisioning.plan import apply_defaults
from driftline.serving.resources.resources import parse_resources
from tests.servers.postgres import new_sqlite, open_url


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Return an empty database; nothing is written to it."""
    made = open_url(new_sqlite(tmp_path_factory.mktemp("specs")))
    yield made
    made.dispose()


MONITOR = {
    "kind": "Monitor",
    "name": "Flights-Quality",
    "spec": {"endpoint": "flights", "baseline": "flights", "schedule": "cron(0 * ? * * *)"},
}


def alarm(**spec):
    rule = {"evaluation_periods": 1, "comparison_operator": "GreaterThanThreshold", "threshold": 0}
    return {"kind": "Alarm", "name": "broken", "spec": rule | spec}


def defined(engine, *documents):
    """Return the alarm that the last of some documents declares."""
    with engine.connect() as connection:
        return definition_of(apply_defaults(connection, parse_resources(documents))[-1])


def test_a_monitor_fills_in_namespace_dimensions_and_period(engine):
    found = defined(engine, MONITOR, alarm(monitor="flights-quality", metric_name="pages"))

    assert (found.namespace, found.metric_name, found.period) == ("Driftline", "pages", 3600)
    assert found.dimensions == {"Endpoint": "flights", "MonitoringSchedule": "Flights-Quality"}
