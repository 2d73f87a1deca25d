from driftline.baseline.predicate import Predicate
from driftline.monitors.run.report_document import read_report, read_told


def measured(feature, **values):
    return {"feature": feature, "type": "double", "role": "feature", "note": "", **values}


def broken(feature, check="baseline_drift_check", **values):
    return {"feature_name": feature, "constraint_check_type": check, "description": "d", **values}


def test_features_come_by_blame_then_by_ratio():
    report = {
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


def test_columns_that_are_never_judged_are_left_out():
    report = {"features": [measured("late", role="label"), measured("temp")], "violations": []}

    assert [line.feature for line in read_report(report).judged_features] == ["temp"]


def test_missing_column_is_listed_though_nothing_was_measured():
    report = {"features": [], "violations": [broken("temp", "missing_column_check")]}

    line = read_report(report).judged_features[0]

    assert (line.feature, line.checks, line.ratio) == ("temp", ("missing_column_check",), None)


def test_cause_in_words_goes_before_the_documents_text():
    report = {"violations": [broken("temp", cause="33% below 12"), broken("dewp")]}

    texts = {line.feature: line.violations[0].words for line in read_report(report).judged_features}

    assert texts == {"temp": "33% below 12", "dewp": "d"}


def test_damaged_document_shows_what_can_be_read():
    report = {"features": [7, None, {"feature": "temp", "distance": "x"}], "violations": "no"}

    features = read_report(report).judged_features

    assert [(line.feature, line.distance) for line in features] == [("temp", None)]


def test_what_is_told_beside_other_windows_is_what_the_whole_document_says():
    report = {
        "features": [7, None, {"bound": 2}, measured("a", bound=0.4), measured("b", bound="x")],
        "metrics": [{"name": "auc", "value": 0.7, "bound": 0.6}, {"value": 1.0}, "no"],
        "violations": "no",
    }

    told, whole = read_told(report), read_report(report)

    assert told.bounds == whole.bounds == {"a": 0.4}
    assert told.metrics == whole.metrics
    assert [one.name for one in told.metrics] == ["auc"]


def test_culprit_is_the_first_violation_that_points_at_rows():
    cold = Predicate("temp", "lt", 12.0)
    report = {
        "violations": [
            broken("temp", "completeness_check", predicate=None),
            broken("temp", predicate=cold.to_dict(), row_count=331),
        ]
    }

    violation, predicate = read_report(report).pointing("temp")

    assert (violation.row_count, predicate) == (331, cold)
    assert read_report(report).pointing("dewp") is None
    assert read_report({}).pointing("temp") is None


def test_gravest_violation_is_told_before_the_drift():
    cold = Predicate("temp", "le", 19.4)
    report = {
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


def test_drift_is_told_when_the_gravest_violation_means_the_same_values():
    empty = Predicate("temp", "null").to_dict()
    report = {
        "features": [measured("temp", distance=1.0, bound=0.5, set="empty")],
        "violations": [broken("temp", "completeness_check", predicate=empty), broken("temp")],
    }

    assert read_report(report).judged_features[0].tells_drift
