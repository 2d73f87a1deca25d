import pytest

from driftline.baseline.predicate import Predicate
from driftline.monitors.run.report_document import read_report, read_told


def measured(feature, **values):
    return {"feature": feature, "type": "double", "role": "feature", "note": "", **values}


def broken(feature, check="baseline_drift_check", **values):
    return {"feature_name": feature, "constraint_check_type": check, "description": "d", **values}


def test_features_come_by_blame_then_by_ratio():
    report = {
        "format": 1,
        "details": {},
        "features": [
            measured("a", distance=0.1, bound=0.4),
            measured("b", distance=0.3, bound=0.4),
            measured("c", distance=0.5, bound=0.4),
            measured("d", distance=0.5, bound=0.4),
        ],
        "violations": [broken("c", share_of_blame=0.2), broken("d", share_of_blame=0.8)],
    }

    assert [line.feature for line in read_report(report).judged_features] == [
        "d",
        "c",
        "b",
        "a",
    ]


def test_a_document_of_another_form_is_refused():
    with pytest.raises(ValueError, match="feature"):
        read_report({"format": 1, "features": [7], "details": {}})


@pytest.mark.parametrize("read", [read_report, read_told])
@pytest.mark.parametrize("document", [{}, {"format": 1}, {"format": 99, "details": {}}])
def test_a_document_without_a_known_format_and_details_is_refused(read, document):
    with pytest.raises(ValueError, match=r"format|details"):
        read(document)


def test_gravest_violation_is_told_before_the_drift():
    cold = Predicate("temp", "le", 19.4)
    report = {
        "format": 1,
        "details": {},
        "features": [
            measured("temp", distance=0.6, bound=1.0, set="57.02 or above", share_window=0.61)
        ],
        "violations": [
            broken("temp", severity="ticket", cause="61% of rows 57.02 or above"),
            broken(
                "temp",
                "unit_change_check",
                severity="page",
                cause='36.1% of rows 19.4 or below, looks like Celsius, origin = "EWR" holds all',
                segment={"text": 'origin = "EWR" holds all'},
                predicate=cold.to_dict(),
            ),
        ],
    }

    line = read_report(report).judged_features[0]

    assert line.checks == ("unit_change_check", "baseline_drift_check")
    assert line.violations[0].phrase == "19.4 or below"
    assert line.violations[0].brief == "36.1% of rows 19.4 or below, looks like Celsius"
    assert not line.tells_drift
    assert read_report(report).pointing("temp")[1] == cold
