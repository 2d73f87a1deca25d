"""An alarm made from a chart: the form is filled in, tried on the past, and saved by an admin."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, list_alarms
from driftline.alerts.evaluation.preview import resource_spec
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import alarm_link, new_alarm_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.new_alarm import read_new_alarm
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from tests.dashboard.measured_seed import HOSTILE
from tests.dashboard.policed_seed import texts

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
RATIO = "/monitors/flights-data-quality/alarm"
STRANGE = '<b>late</b> "x" & \u0645\u062a\u0623\u062e\u0631 \U0001f600 ..%2F ' + "n" * 150


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


@pytest.fixture
def stores_measured(measured):
    return Stores(measured.engine, measured.root, measured.now)


def test_charts_of_monitors_lead_to_the_form_with_metric_and_threshold(stores, stores_measured):
    monitor = str(render(stores, parse("/monitors/flights-data-quality")))
    column = str(render(stores, parse("/monitors/flights-data-quality/columns/carrier")))
    quality = str(render(stores_measured, parse("/monitors/flights-quality", "metric=auc")))

    assert f"href='{RATIO}?metric=max_drift_ratio&threshold=1'" in monitor
    assert f"href='{RATIO}?metric=feature_baseline_drift_carrier&threshold=0." in column
    assert "href='/monitors/flights-quality/alarm?metric=auc&threshold=0." in quality


def test_windows_beyond_the_threshold_are_those_in_which_it_would_have_fired(stores):
    """The windows' own ratios say when: each stretch of them above the threshold is one firing."""
    ratios = [one.ratio for one in stores.monitor("flights-data-quality", None, None).monitor.runs]
    above = [ratio is not None and ratio > 1 for ratio in ratios]
    stretches = sum(now and not before for before, now in zip([False, *above], above, strict=False))

    view = read_new_alarm(stores, parse(RATIO, "metric=max_drift_ratio&threshold=1"))

    assert (view.preview.problem, view.side) == ("", "above")
    assert view.preview.changed.fired == stretches > 0
    assert [one.breaching for one in view.preview.changed.points] == above
    page = texts(render(stores, parse(RATIO, "metric=max_drift_ratio&threshold=1")))
    assert f"It would have fired {stretches} time" in page
    assert page.count("would have fired") == 1


def test_a_metric_that_is_worse_when_lower_fires_below_and_a_facet_keeps_its_group(
    stores_measured,
):
    auc = read_new_alarm(stores_measured, parse("/monitors/flights-quality/alarm", "metric=auc"))
    link = new_alarm_link("flights-bias", f"DPPL / origin={HOSTILE}", 0.1)
    bias = read_new_alarm(stores_measured, parse(*link.split("?")))

    assert auc.preview.definition.comparison_operator == "LessThanThreshold"
    assert auc.preview.definition.metric_name == "auc"
    assert auc.preview.changed.points
    assert HOSTILE in bias.words or "%3Cimg" in bias.words
    assert bias.preview.definition.threshold == 0.1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("metric=max_drift_ratio&threshold=much", 'Threshold "much"; expected a number'),
        ("metric=max_drift_ratio&periods=0", "evaluation_periods"),
        ("metric=max_drift_ratio&severity=loud", "severity"),
        ("metric=no_such_metric&threshold=1", "Nothing is stored for this metric"),
        (f"metric={'x' * 300}&threshold=1", "metric"),
    ],
)
def test_what_cannot_be_tried_is_said_and_cannot_be_made(stores, query, words):
    page = texts(render(stores, parse(RATIO, query)))

    assert words.casefold() in page.casefold()
    assert "Make this alarm" not in page


@pytest.mark.parametrize(("channel", "is_said"), [("", True), ("&channel=pager", False)])
def test_an_alarm_without_a_channel_is_said_to_notify_no_one(stores, channel, is_said):
    page = texts(render(stores, parse(RATIO, f"metric=max_drift_ratio&threshold=1{channel}")))

    assert ("Without a channel no one is notified, whatever the severity" in page) == is_said


def test_a_metric_that_is_not_measured_is_not_found(stores_measured):
    with pytest.raises(NotFoundError, match="no such metric"):
        read_new_alarm(
            stores_measured, parse("/monitors/flights-quality/alarm", "metric=no such metric")
        )


def test_a_form_without_a_metric_is_not_found_whatever_the_kind(stores, stores_measured):
    with pytest.raises(NotFoundError, match='metric "" of monitor "flights-data-quality"'):
        read_new_alarm(stores, parse(RATIO))
    with pytest.raises(NotFoundError, match='metric "" is not one of'):
        read_new_alarm(stores_measured, parse("/monitors/flights-quality/alarm"))


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


def test_a_name_that_is_taken_leads_to_its_alarm(stores):
    page = texts(render(stores, parse(RATIO, "metric=max_drift_ratio&threshold=1&alarm=fresh")))
    assert "Make this alarm" in page
    with stores.engine.connect() as connection:
        (name, *_) = [one.name for one in list_alarms(connection)]
    taken = f"metric=max_drift_ratio&threshold=1&alarm={quote(name)}"
    page = str(render(stores, parse(RATIO, taken)))
    assert "Make this alarm" not in page
    assert f"href='{alarm_link(name)}'" in page


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
