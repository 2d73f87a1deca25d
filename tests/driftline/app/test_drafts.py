import pytest

from driftline.app.drafts import draft_resources, monitor_resources
from driftline.roles import Facet, Roles
from driftline.serving.resources.resources import parse_resources
from tests.alerts.replays import document, states

ANSWERS = Roles(label="late", prediction="guess", facets=(Facet("origin"),))


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_labels_that_come_three_windows_late_are_heard(kind):
    (alarm,) = [
        one["spec"]
        for one in monitor_resources("flights", ANSWERS, has_model=False)
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


@pytest.mark.parametrize(
    ("roles", "model", "kinds"),
    [
        (Roles(), None, ["data-quality"]),
        (Roles(label="late"), None, ["data-quality"]),
        (ANSWERS, None, ["data-quality", "model-quality", "bias"]),
        (ANSWERS, "/m.skops", ["data-quality", "model-quality", "bias", "attribution"]),
    ],
)
def test_roles_bring_the_kinds_of_monitor_that_they_allow(roles, model, kinds):
    found = draft_resources("flights", roles, model=model, reference="/train.parquet")

    parse_resources(found)
    assert [one["spec"]["kind"] for one in found if one["kind"] == "Monitor"] == kinds
