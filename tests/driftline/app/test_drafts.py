import pytest

from driftline.app.drafts import draft_resources, monitor_resources
from driftline.roles import Facet, Roles
from driftline.serving.resources.resources import parse_resources
from tests.alerts.replays import document, states


def names_of(resources):
    return [(one["kind"], one["name"]) for one in resources]


def test_a_reference_brings_baseline_monitor_and_alarms():
    roles = Roles(label="late", positive="1")
    found = draft_resources("flights", roles, model="/m.skops", reference="/train.parquet")

    assert names_of(found) == [
        ("Model", "flights"),
        ("Baseline", "flights"),
        ("Endpoint", "flights"),
        ("Monitor", "flights-data-quality"),
        ("Alarm", "flights: broken input"),
        ("Alarm", "flights: no traffic judged"),
        ("Alarm", "flights: drift"),
        ("Monitor", "flights-attribution"),
        ("Alarm", "flights: attribution"),
    ]
    assert found[1]["spec"] == {
        "data": "/train.parquet",
        "model": "flights",
        "label": "late",
        "positive": "1",
    }
    parse_resources(found)


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_labels_that_come_three_windows_late_are_heard(kind):
    roles = Roles(label="late", prediction="guess", facets=(Facet("origin"),))
    found = monitor_resources("flights", roles, has_model=False)

    (alarm,) = [
        one["spec"]
        for one in found
        if one["spec"].get("dimensions", {}).get("MonitoringSchedule") == f"flights-{kind}"
    ]

    judged = document(
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        EvaluationPeriods=alarm["evaluation_periods"],
        DatapointsToAlarm=alarm["datapoints_to_alarm"],
        TreatMissingData=alarm["treat_missing_data"],
    )
    # Whenever the second window turned out to be bad, it is heard until it is the fifth newest.
    assert states(judged) == ["OK", "ALARM", "ALARM", "ALARM", "ALARM", "OK"]


def test_roles_bring_the_kinds_of_monitor_that_they_allow():
    def kinds(roles, **more):
        found = monitor_resources("flights", roles, **more)
        return [one["spec"]["kind"] for one in found if one["kind"] == "Monitor"]

    answers = Roles(label="late", prediction="guess", facets=(Facet("origin"),))

    assert kinds(Roles(), has_model=False) == ["data-quality"]
    assert kinds(Roles(label="late"), has_model=False) == ["data-quality"]
    assert kinds(answers, has_model=False) == ["data-quality", "model-quality", "bias"]
    assert kinds(answers, has_model=True)[-1] == "attribution"
