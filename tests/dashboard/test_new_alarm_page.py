"""An alarm made from a chart: the form is filled in, tried on the past, and saved by an admin."""

import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm
from driftline.alerts.evaluation.preview import resource_spec
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores

RATIO = "/monitors/flights-data-quality/alarm"
STRANGE = '<b>late</b> "x" & \u0645\u062a\u0623\u062e\u0631 \U0001f600 ..%2F ' + "n" * 150


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def test_two_who_make_an_alarm_of_one_name_at_one_moment_make_one(policed_site):
    """Both have seen that there is none: the server alone decides."""
    spec = {
        "namespace": "Shop", "metric_name": "latency", "threshold": 1.0, "period": 60,
        "evaluation_periods": 1, "comparison_operator": "GreaterThanThreshold",
    }  # fmt: skip
    start = threading.Barrier(2)

    def make(threshold):
        def send(*asked, **more):
            start.wait(30)
            return policed_site.send(*asked, **more)

        given = {"alarm": "of two", "owner": "ann", "spec": spec | {"threshold": threshold}}
        return threshold, *Actions(send, policed_site.now).run("create", given)

    try:
        with ThreadPoolExecutor(2) as pool:
            found = [*pool.map(make, (1.0, 2.0))]
        (won,) = [threshold for threshold, status, _ in found if status == 200]
        (said,) = [said for _, status, said in found if status == 409]
        assert "is there already" in said
        with policed_site.engine.connect() as connection:
            assert get_alarm(connection, "of two").definition.threshold == won
    finally:
        policed_site.send("DELETE", "/api/v1/alarms/of%20two", None)


def test_an_alarm_is_made_once_and_never_in_place_of_another(policed_site):
    actions = Actions(policed_site.send, policed_site.now)
    rule = AlarmDefinition(
        alarm_name=STRANGE, namespace="Shop", metric_name="latency", threshold=2.5, period=60,
        dimensions={"Service": "checkout"}, statistic="Average", evaluation_periods=3,
        comparison_operator="GreaterThanThreshold", alarm_actions=("pager",), owner="ann",
    )  # fmt: skip
    given = {"alarm": STRANGE, "owner": "ann", "spec": resource_spec(rule)}

    status, said = actions.run("create", given)

    assert (status, STRANGE in said) == (200, True), said
    try:
        with policed_site.engine.connect() as connection:
            assert get_alarm(connection, STRANGE).definition == rule
        status, said = actions.run("create", given | {"spec": {**given["spec"], "threshold": 9.0}})
        assert (status, "is there already" in said) == (409, True), said
        with policed_site.engine.connect() as connection:
            assert get_alarm(connection, STRANGE).definition.threshold == 2.5
    finally:
        policed_site.send("DELETE", f"/api/v1/alarms/{quote(STRANGE, safe='')}", None)


@pytest.mark.parametrize("spec", [None, "threshold: 1", [1], {"threshold": "much"}, {"who": 1}])
def test_a_spec_that_is_none_makes_nothing(policed_site, spec):
    actions = Actions(policed_site.send, policed_site.now)

    status, said = actions.run("create", {"alarm": "odd", "spec": spec})

    assert status == 400, said


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator"])
def test_who_is_no_admin_sees_why_the_button_is_off(stores, as_role, role):
    as_role(role)

    page = str(render(stores, parse(RATIO, "metric=max_drift_ratio&threshold=1")))

    assert f"This takes the role admin; {CURRENT.get().subject} has {role}" in page
