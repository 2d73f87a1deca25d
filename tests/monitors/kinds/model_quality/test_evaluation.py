"""The kind "model-quality": documents, verdicts, and what is said to whom."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

import driftline as dl
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.kinds.model_quality.evaluation import (
    suggest,
)
from driftline.monitors.report.report import Report
from tests.monitors.kinds.model_quality.cases import (
    DAY,
    FIXTURE,
    START,
    ask,
    flights,
    of,
    severities,
)


def sagemaker_baseline() -> Baseline:
    return Baseline.fit(
        str(FIXTURE / "baseline_dataset.csv"),
        label="Prediction",
        prediction="Label",
        problem="regression",
    )


def test_the_documents_of_a_reference_are_sagemakers_byte_for_byte() -> None:
    found = suggest(sagemaker_baseline())

    assert found[QUALITY_STATISTICS] == (FIXTURE / "statistics.json").read_text()
    assert found[QUALITY_CONSTRAINTS] == (FIXTURE / "constraints.json").read_text()


def test_a_reference_without_label_or_answer_suggests_nothing() -> None:
    table = flights(2, 1)

    assert suggest(Baseline.fit(table)) == {}
    assert suggest(Baseline.fit(table, label="late")) == {}
    assert suggest(Baseline.fit(table, prediction="said")) == {}


def test_lost_ranking_pages(reference: Baseline) -> None:
    def shuffle(columns, rng) -> None:
        rng.shuffle(columns["logit"])

    report = ask(reference, flights(7, 5, change=shuffle))

    assert severities(report)["auc"] == "page"
    assert of(report)["auc"].value < of(report)["auc"].bound < of(report)["auc"].reference
    assert of(report)["auc"].p_value < report.alpha


def test_another_share_of_positives_makes_tickets_at_most(reference: Baseline) -> None:
    # Fewer late flights, and the model knows: precision and F move, skill holds.
    def season(columns, rng) -> None:
        columns["logit"] -= 1.0
        columns["truth"] -= 1.0

    report = ask(reference, flights(7, 7, change=season))

    assert not report.passed
    assert set(severities(report).values()) == {"ticket"}
    assert {"recall", "f2"} <= set(severities(report))


def test_shown_values_are_scikit_learns_where_the_share_of_positives_moved(
    reference: Baseline,
) -> None:
    table = flights(7, 18)
    late = table["late"].to_numpy(zero_copy_only=False).astype(int)
    kept = np.flatnonzero((late == 0) | (np.arange(len(late)) % 2 == 0))
    table, late = table.take(pa.array(kept)), late[kept]
    chance = table["chance"].to_numpy()
    guess = np.full(len(late), late.mean())

    found = of(ask(reference, table))

    skill = 1.0 - brier_score_loss(late, chance) / brier_score_loss(late, guess)
    for name, value in (("brier_skill", skill), ("auc", roc_auc_score(late, chance))):
        one = found[name]
        assert one.value == pytest.approx(value, abs=1e-12)
        assert one.low < one.value < one.high


def test_violations_have_sagemakers_fields_and_text(reference: Baseline) -> None:
    found = json.loads(suggest(reference)[QUALITY_CONSTRAINTS])
    lines = found["binary_classification_constraints"]
    lines["f2"]["threshold"] = 0.99
    edited = replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(found)})

    report = ask(edited, flights(7, 8))

    document = json.loads(report.documents()["constraint_violations.json"])
    (one,) = document["violations"]
    std = json.loads(report.files["statistics.json"])["binary_classification_metrics"]["f2"]
    assert list(one) == ["constraint_check_type", "description", "metric_name"]
    assert one["metric_name"] == "f2"
    assert one["constraint_check_type"] == "LessThanThreshold"
    assert one["description"] == (
        f"Metric f2 with {std['value']} +/- {std['standard_deviation']} "
        "was LessThanThreshold '0.99'"
    )
    assert report.details["own_thresholds"] == ["f2"]


def test_a_threshold_written_by_hand_needs_no_tolerance_but_evidence(reference: Baseline) -> None:
    table = flights(7, 9)
    accuracy = of(ask(reference, table))["accuracy"].value

    def judged(threshold: float) -> Report:
        found = json.loads(suggest(reference)[QUALITY_CONSTRAINTS])
        lines = found["binary_classification_constraints"]
        lines["accuracy"]["threshold"] = threshold
        return ask(replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(found)}), table)

    assert judged(accuracy + 0.001).passed
    assert severities(judged(accuracy + 0.2)) == {"accuracy": "ticket"}


def test_a_folder_that_sagemaker_wrote_judges_rows_with_named_columns(tmp_path: Path) -> None:
    for name in ("statistics.json", "constraints.json"):
        (tmp_path / name).write_text((FIXTURE / name).read_text())
    data = str(FIXTURE / "baseline_dataset.csv")
    roles = {"label": "Prediction", "prediction": "Label"}

    same = check(data, str(tmp_path), **roles)

    assert same.kind == "model-quality"
    assert same.passed
    assert same.files["statistics.json"] == (FIXTURE / "statistics.json").read_text()
    rng = np.random.default_rng(1)
    bad = pa.table({"Prediction": rng.normal(size=400), "Label": rng.normal(size=400) + 3})
    assert severities(check(bad, str(tmp_path), **roles)) == {
        "mae": "page",
        "rmse": "page",
        "r2": "page",
    }
    with pytest.raises(InputError, match="no label is named"):
        check(data, str(tmp_path))


def test_a_missing_answer_is_made_of_the_probability_strictly_above_the_threshold() -> None:
    chance = [0.5, 0.51, 0.2, 0.9] * 10
    table = pa.table({"late": ["no", "yes", "no", "yes"] * 10, "chance": chance})
    roles = {"label": "late", "probability": "chance", "problem": "binary", "positive": "yes"}
    baseline = Baseline.fit(table, **roles)

    half = check(table, baseline, kind="model-quality")
    high = check(table, baseline, kind="model-quality", threshold=0.51)

    assert half.details["confusion_matrix"] == {
        "no": {"no": 20, "yes": 0},
        "yes": {"no": 0, "yes": 20},
    }
    assert high.details["confusion_matrix"]["yes"] == {"no": 10, "yes": 10}


def test_labels_and_answers_are_compared_as_classes_whatever_their_types() -> None:
    rows = {"said": pa.array([0.0, 1.0, 1.0, None] * 20), "late": ["0", "1", "1.0", "0"] * 20}
    table = pa.table({**rows, "flag": [False, True, True, False] * 20})
    baseline = Baseline.fit(
        pa.table({"late": [0, 1] * 40, "said": [0, 1] * 40}),
        label="late",
        prediction="said",
        problem="binary",
    )

    report = check(table, baseline, kind="model-quality")
    both = {"label": "flag", "prediction": "flag", "positive": True}
    flags = check(table, baseline, kind="model-quality", **both)

    assert report.details["rows_without_answer"] == 20
    assert report.details["labelled_rows"] == 60
    assert of(report)["accuracy"].value == 1.0
    assert flags.details["positive"] == "1"  # As the reference names the class.
    assert flags.details["positive_share"] == 0.5


def test_the_segment_that_loses_most_is_named(reference: Baseline) -> None:
    table = flights(7, 17)
    origin = table["origin"].to_numpy(zero_copy_only=False)
    chance = np.where(origin == "LGA", 0.97, table["chance"].to_numpy())
    broken = table.set_column(4, "chance", pa.array(chance))

    report = ask(reference, broken)

    assert severities(report)["brier_skill"] == "page"
    assert report.violations[0].segment.column == "origin"
    assert report.violations[0].segment.level == "LGA"
    assert 'all of the added loss where origin = "LGA" (Brier score from 0.' in report.cause


def test_data_that_do_not_change_stay_silent_from_day_to_day(reference: Baseline) -> None:
    # A budget of one a year allows 0.01 in these three windows; two have a chance under 1e-3.
    found = sum(len(ask(reference, flights(1, 1000 + day), days=1).violations) for day in range(3))

    assert found < 2


def test_windows_of_few_labels_are_judged_over_a_span(reference: Baseline) -> None:
    monitor = dl.Monitor(reference, kind="model-quality")
    # Counted from 1970 on, a span of 4 days ends with the 105th day.
    reports = [
        monitor.check(flights(1, 50 + day, first=day).slice(0, 20), time=START + day * DAY)
        for day in range(101, 105)
    ]

    assert [one.decided for one in reports] == [False, False, False, True]
    assert reports[3].passed
    assert reports[3].summary == (
        "20 rows, no violations over the last 4 windows; of this window alone, 12 of 12 metrics "
        "could not be judged (too few rows)"
    )
