"""The kind "bias": what is a violation, what is none, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import driftline as dl
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.bias.evaluation import suggest
from driftline.monitors.kinds.bias.labels import chance_of_table
from tests.monitors.kinds.bias.adult import (
    expected,
    people,
)
from tests.monitors.kinds.bias.cases import COLUMNS, metric, sample, unfair, with_column


def test_the_reference_and_samples_of_it_are_no_violation(reference: Baseline) -> None:
    assert dl.check(people(), reference, kind="bias").passed
    for seed in range(5):
        report = dl.check(sample(2_000, seed), reference, kind="bias")
        assert report.passed
        assert report.decided


def test_a_change_is_found_and_told(reference: Baseline, tmp_path: Path) -> None:
    report = dl.check(unfair(), reference, kind="bias")

    assert not report.passed
    assert {one.feature_name for one in report.violations} >= {"sex = Female: DI"}
    worst = report.violations[0]
    assert worst.severity == "ticket"
    assert worst.ratio > 1
    assert "Female moved" in worst.cause
    [impact] = [one for one in report.violations if one.feature_name == "sex = Female: DI"]
    assert "(was 7.8%)" in impact.cause
    assert "95% interval" in worst.cause
    found = metric(report, worst.document["metric_name"])
    assert list(worst.document) == [
        "facet",
        "facet_value",
        "metric_name",
        "constraint_check_type",
        "description",
    ]
    assert worst.document["constraint_check_type"] == "bias_drift_check"
    assert worst.document["description"] == (
        f"Metric value {found.value} doesn't meet the baseline constraint requirement "
        f"{found.reference}"
    )
    # The rows behind it are the group's.
    assert worst.row_count == unfair()["sex"].to_pylist().count("Female")
    assert set(report.rows(0, limit=5)["sex"]) == {"Female"}
    report.save(tmp_path)
    written = json.loads((tmp_path / "constraint_violations.json").read_text())
    assert written["version"] == "1.0"
    assert written["violations"][0] == worst.document
    window = json.loads((tmp_path / "analysis.json").read_text())
    [entry] = window["post_training_bias_metrics"]["facets"]["sex"]
    told = {one["name"]: one["value"] for one in entry["metrics"]}
    assert told["DI"] == metric(report, "DI").value


def test_a_value_beyond_its_bound_is_a_violation_and_no_other(reference: Baseline) -> None:
    for table in (sample(3_000), unfair()):
        metrics = dl.check(table, reference, kind="bias").metrics
        assert any(one.bound is not None for one in metrics)
        for one in metrics:
            if one.bound is None:
                assert not one.violated
                continue
            is_above = one.operator == "GreaterThanThreshold"
            assert one.violated == (one.value > one.bound if is_above else one.value < one.bound)


def test_a_move_towards_no_difference_is_no_violation(reference: Baseline) -> None:
    table = sample(8_000)
    women = np.array(table["sex"].to_pylist()) == "Female"
    raised = women & (np.random.default_rng(3).random(8_000) < 0.15)
    fair = with_column(table, "predicted", np.where(raised, 1, table["predicted"].to_numpy()))

    report = dl.check(fair, reference, kind="bias")

    assert abs(metric(report, "DPPL").value) < 0.06
    assert not metric(report, "DPPL").violated
    assert not metric(report, "DI").violated


def relabelled(rows: int) -> pa.Table:
    """Rows of which no woman has a positive label."""
    table = sample(rows)
    women = np.array(table["sex"].to_pylist()) == "Female"
    return with_column(table, "income", np.where(women, 0, table["income"].to_numpy()))


def test_a_group_whose_labels_all_turn_negative_is_a_violation(reference: Baseline) -> None:
    report = dl.check(relabelled(4_000), reference, kind="bias")

    assert metric(report, "DPL").violated
    assert metric(report, "RD").value is None
    assert [(one.name, one.why) for one in report.unjudged] == [
        ("sex = Female: RD", "no_observed_positives")
    ]


def test_a_metric_without_a_value_of_few_rows_is_told_as_not_judged(reference: Baseline) -> None:
    table = relabelled(4_000)
    few = table.filter(pa.array(np.arange(4_000) % 40 == 0))

    report = dl.check(few, reference, kind="bias")

    judged = {one.name for one in report.metrics if one.judged}
    left = {one.name.rpartition(": ")[2] for one in report.unjudged}
    assert "RD" in left
    assert judged | left == {"DPPL", "DI", "DPL", "RD", "SD"}


def test_a_ratio_to_others_without_positives_is_told_as_not_judged(reference: Baseline) -> None:
    table = sample(4_000)
    men = np.array(table["sex"].to_pylist()) == "Male"
    none = with_column(table, "predicted", np.where(men, 0, table["predicted"].to_numpy()))

    report = dl.check(none, reference, kind="bias")

    assert metric(report, "DI").value == np.inf
    assert metric(report, "DI").why == "no other row is positive"
    assert metric(report, "DPPL").violated


def test_a_documents_metric_without_a_value_is_told_as_not_judged(
    reference: Baseline, tmp_path: Path
) -> None:
    document = json.loads(suggest(reference)[ANALYSIS])
    for one in document["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"]:
        one["value"] = None if one["name"] == "RD" else one["value"]
    (tmp_path / ANALYSIS).write_text(json.dumps(document))

    report = dl.check(people(), Baseline.load(tmp_path), kind="bias", **COLUMNS, facet="sex=Female")

    assert not metric(report, "RD").judged
    assert [(one.name, one.why) for one in report.unjudged] == [
        ("sex = Female: RD", "the reference has no value of it")
    ]


def test_the_other_side_of_no_difference_is_a_violation(reference: Baseline) -> None:
    table = sample(8_000)
    women = np.array(table["sex"].to_pylist()) == "Female"
    raised = women & (np.random.default_rng(3).random(8_000) < 0.5)
    turned = with_column(table, "predicted", np.where(raised, 1, table["predicted"].to_numpy()))

    found = metric(dl.check(turned, reference, kind="bias"), "DPPL")

    assert found.violated
    assert found.operator == "LessThanThreshold"


def test_predictions_are_judged_before_any_label_has_come(reference: Baseline) -> None:
    report = dl.check(unfair().drop_columns(["income"]), reference, kind="bias")

    assert metric(report, "DI").violated
    assert metric(report, "RD").why == "no_labels"
    [group] = report.details["groups"]
    assert group["group"]["labelled"] == 0


@pytest.mark.parametrize("compat", [False, True])
def test_without_the_column_of_predictions_nothing_passes(
    reference: Baseline, compat: bool
) -> None:
    # With a limit on labels alone, or by Clarify's rule, something is left to judge.
    document = json.loads(suggest(reference)[ANALYSIS])
    for one in document["pre_training_bias_metrics"]["facets"]["sex"][0]["metrics"]:
        one["value"] = 0.9 if one["name"] == "DPL" else one["value"]
    limited = replace(reference, documents={ANALYSIS: json.dumps(document)})

    report = dl.check(people().drop_columns(["predicted"]), limited, kind="bias", compat=compat)

    assert metric(report, "DPL").judged
    assert not report.violations
    assert (report.decided, report.passed) == (False, False)
    assert 'nothing could be judged: the data has no column "predicted", and' in report.summary


def test_metrics_of_labels_rest_on_labelled_rows_and_say_how_many(reference: Baseline) -> None:
    table = sample(4_000)
    keep = (table["predicted"].to_numpy() == 1) | (np.arange(4_000) % 4 == 0)
    chosen = with_column(
        table,
        "income",
        [
            value if kept else None
            for value, kept in zip(table["income"].to_pylist(), keep, strict=True)
        ],
    )

    report = dl.check(chosen, reference, kind="bias")

    assert metric(report, "AD").count == keep.sum()
    assert metric(report, "DPPL").count == 4_000
    [group] = report.details["groups"]
    share = group["group"]["labelled"] / group["group"]["rows"]
    assert group["group"]["labelled_share"] == pytest.approx(share)
    assert metric(report, "RD").state == "unrepresentative_labels"


def test_the_chance_of_uneven_labels_is_scipys() -> None:
    rng = np.random.default_rng(20261123)
    tables = [rng.integers(1, most, (2, 2)) for most in (3, 30, 3_000) for _ in range(100)]

    for table in tables:
        expected = stats.chi2_contingency(table).pvalue
        assert chance_of_table(table) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_without_values_each_group_is_compared_with_the_rest() -> None:
    reference = Baseline.fit(people(), **COLUMNS, facet=["race", "age=40"])

    report = dl.check(people(), reference, kind="bias")

    groups = {(one.facet, one.facet_value) for one in report.metrics}
    assert groups == {
        ("race", "White"),
        ("race", "Black"),
        ("race", "Asian-Pac-Islander"),
        ("race", "Amer-Indian-Eskimo"),
        ("race", "Other"),
        ("age", "(40, 90]"),
    }
    [case] = [one for one in expected()["cases"] if one["id"] == "age_gt_40_float"]
    wanted = case["facets"][0]["post_training"]["DPPL"]
    assert metric(report, "DPPL", "(40, 90]").value == pytest.approx(wanted, abs=1e-9)


def test_numbers_are_positive_above_a_threshold() -> None:
    reference = Baseline.fit(
        people(),
        label="hours_per_week",
        prediction="predicted_hours",
        problem="regression",
        positive=40,
        facet="sex=Female",
    )

    report = dl.check(people(), reference, kind="bias")

    [case] = [one for one in expected()["cases"] if one["id"] == "hours_label_gt_40"]
    wanted = case["facets"][0]["post_training"]["RD"]
    assert metric(report, "RD").value == pytest.approx(wanted, abs=1e-9)
    [point] = [one for one in report.points if one.name == "bias_metric_RD"]
    assert point.dimensions["LabelValue"] == "(40.0, 99.0]"


def test_points_are_sagemakers(reference: Baseline) -> None:
    points = {one.name: one for one in dl.check(people(), reference, kind="bias").points}

    assert points["bias_metric_DPPL"].namespace == "aws/sagemaker/Endpoints/bias-metrics"
    assert points["bias_metric_DPPL"].dimensions == {
        "BiasStage": "Post-Training",
        "Label": "income",
        "LabelValue": "1",
        "Facet": "sex",
        "FacetValue": "Female",
    }
    assert points["bias_metric_CI"].dimensions["BiasStage"] == "Pre-training"


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"facet": "planet"}, "made without it"),
        ({"facet": "sex=Robot"}, 'never holds "Robot"'),
        ({"group": "planet"}, 'group "planet"'),
    ],
)
def test_what_the_reference_does_not_hold_cannot_be_asked_for(
    reference: Baseline, named: dict, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        dl.check(sample(500), reference, kind="bias", **named)


def test_a_baseline_without_groups_cannot_be_asked() -> None:
    with pytest.raises(InputError, match="facet"):
        dl.check(sample(500), Baseline.fit(people(), **COLUMNS), kind="bias")


def test_a_positive_class_that_there_is_not_is_named(reference: Baseline) -> None:
    with pytest.raises(InputError, match='positive "yes": no column has this value'):
        dl.check(sample(1_000), reference, kind="bias", positive="yes")


@pytest.mark.parametrize("values", [("1", "0"), ("1.0", "0.0"), ("True", "False"), (1, 0)])
def test_groups_are_known_again_however_they_are_written(values: tuple[object, object]) -> None:
    table = unfair()
    women = np.array(table["sex"].to_pylist()) == "Female"
    baseline = Baseline.fit(
        with_column(people(), "sex", np.array(people()["sex"].to_pylist()) == "Female"),
        **COLUMNS,
        facet="sex=true",
    )
    written = with_column(table, "sex", [values[0] if one else values[1] for one in women])

    report = dl.check(written, baseline, kind="bias")

    assert metric(report, "DI", "true").violated
    assert report.details["facets"][0]["new_values"] == {}


def test_new_values_beside_a_named_group_are_others(reference: Baseline) -> None:
    table = sample(4_000)
    window = with_column(table, "sex", ["X", *table["sex"].to_pylist()[1:]])

    report = dl.check(window, reference, kind="bias")

    assert report.details["facets"][0]["new_values"] == {"X": 1}
    assert {one.facet_value for one in report.metrics} == {"Female"}
    assert report.summary == "4,000 rows, no violations"
