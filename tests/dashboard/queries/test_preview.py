"""The preview on an alarm's page: what replay says, for values of the address."""

import itertools
from datetime import timedelta

import plotly.graph_objects as go
import pytest
import yaml

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, list_alarms
from driftline.alerts.evaluation.preview import changed_definition, resource_text
from driftline.alerts.evaluation.replay import replay
from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.queries.stores import Stores
from driftline.errors import InputError
from tests.dashboard.policed_seed import DRIFTS, ERRORS, LATENCY, LONELY, texts


@pytest.fixture
def stores(policed_site):
    return Stores(policed_site.engine, policed_site.root, policed_site.now)


@pytest.fixture
def rule(policed_site):
    with policed_site.engine.connect() as connection:
        return get_alarm(connection, LATENCY).definition


def replayed(view, **changes):
    """Replay the alarm of the page, from the points that it draws."""
    trial = view.preview
    document = {
        "alarm": {"Period": 60, "ComparisonOperator": "GreaterThanThreshold",
                  "Statistic": "Maximum", **changes},
        "datapoints": [
            {"Timestamp": one.start.isoformat(), "Value": one.value} for one in view.points
        ],
        "start": trial.start.isoformat(),
        "end": trial.end.isoformat(),
    }  # fmt: skip
    lines = list(replay(document))
    fired = sum(line.state == "ALARM" != line.previous for line in lines)
    return fired, sum(line.state == "ALARM" for line in lines), lines[-1].state


@pytest.mark.parametrize(
    ("threshold", "n", "m"), [(300, 5, 3), (300, 1, 1), (204, 5, 2), (500, 3, 3), (0, 5, 5)]
)
def test_preview_is_what_replay_says(stores, threshold, n, m):
    asked = {"threshold": str(threshold), "periods": str(n), "needed": str(m)}

    view = stores.alarm(LATENCY, asked)

    run = view.preview.changed
    expected = replayed(view, Threshold=threshold, EvaluationPeriods=n, DatapointsToAlarm=m)
    assert (run.fired, run.in_alarm // timedelta(minutes=1), run.state) == expected
    declared = replayed(view, Threshold=300, EvaluationPeriods=5, DatapointsToAlarm=3)
    assert view.preview.declared.fired == declared[0] == 2


def test_states_of_a_preview_cover_its_time_without_gap(stores):
    trial = stores.alarm(LATENCY, {"threshold": "204"}).preview

    spans = trial.changed.spans
    assert spans[0].start == trial.end - timedelta(minutes=180)
    assert spans[-1].end == trial.end
    assert all(one.end == two.start for one, two in itertools.pairwise(spans))
    assert all(one.state != two.state for one, two in itertools.pairwise(spans))


def test_another_period_is_another_grid(stores):
    view = stores.alarm(LATENCY, {"period": "300"})

    lengths = {point.end - point.start for point in view.preview.changed.points}
    assert lengths == {timedelta(minutes=5)}
    go.Figure(alarm_figure(view.rule, view.points, view.spans))


def test_metric_math_is_previewed_too(stores):
    trial = stores.alarm(ERRORS, {"threshold": "1", "periods": "1"}).preview

    assert trial.problem == ""
    assert trial.changed.state == "ALARM"
    assert trial.changed.in_alarm == timedelta(minutes=180)


def test_a_preview_changes_nothing(stores, policed_site):
    def everything():
        with policed_site.engine.connect() as connection:
            return [one.as_dict() for one in list_alarms(connection)]

    before = everything()
    stores.alarm(LATENCY, {"threshold": "1", "periods": "2", "needed": "1"})
    assert everything() == before


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"threshold": "much"}, 'threshold "much"; expected a number'),
        ({"threshold": "nan"}, "threshold"),
        ({"periods": "2.5"}, 'periods "2.5"; expected a whole number'),
        ({"periods": "²"}, "expected a whole number"),
        ({"needed": "9"}, "datapoints_to_alarm 9"),
        ({"missing": "perhaps"}, "perhaps"),
        ({"period": "7"}, "period"),
        ({"period": "999999999"}, "period"),
    ],
)
def test_wrong_values_are_said_beside_the_form(stores, asked, words):
    view = stores.alarm(LATENCY, asked)

    assert words in view.preview.problem
    assert view.preview.changed is None
    query = "&".join(f"{key}={value}" for key, value in asked.items())
    page = texts(render(stores, parse("/alarms/latency%20high", query)))
    assert words.casefold() in page.casefold()


def test_period_of_metric_math_is_left_to_its_queries(stores):
    assert "stands in its queries" in stores.alarm(ERRORS, {"period": "300"}).preview.problem


def test_without_data_there_is_nothing_to_try(stores):
    assert "nothing is stored" in stores.alarm(LONELY, {"threshold": "2"}).preview.problem


def test_fewer_periods_take_the_count_of_breaching_ones_with_them(rule):
    assert changed_definition(rule, {"periods": "2"}).datapoints_to_alarm == 2
    with pytest.raises(InputError):
        changed_definition(rule, {"periods": "2", "needed": "3"})


@pytest.mark.parametrize(
    ("before", "declared", "now", "looked_at"), [(1, 1, 5, 5), (5, 8, 2, 5), (5, 60, 1, 20)]
)
def test_other_periods_look_at_as_many_more_as_declared(before, declared, now, looked_at):
    """The demo declares 1 of 1: its alarm is tried with 3 of 5 like any other."""
    rule = AlarmDefinition(
        alarm_name="a", namespace="Shop", metric_name="latency", statistic="Maximum", period=60,
        evaluation_periods=before, evaluation_range=declared, threshold=1.0,
        comparison_operator="GreaterThanThreshold",
    )  # fmt: skip

    assert changed_definition(rule, {"periods": str(now)}).evaluation_range == looked_at


@pytest.mark.parametrize("name", [LATENCY, ERRORS, *DRIFTS])
def test_copied_text_applies_as_the_alarm_it_is(policed_site, name):
    with policed_site.engine.connect() as connection:
        before = get_alarm(connection, name).definition

    document = yaml.safe_load(resource_text(before))
    answer = policed_site.running.apply(document)

    assert answer.status_code == 200, answer.text
    with policed_site.engine.connect() as connection:
        assert get_alarm(connection, name).definition == before


def test_values_of_a_link_fill_the_form_and_the_preview(stores):
    address = parse("/alarms/latency%20high", "?threshold=204&needed=2&tab=9")

    assert dict(address.preview) == {"threshold": "204", "needed": "2"}
    page = str(render(stores, address))
    assert "With these values" in page
    assert "threshold: 204.0" in page
