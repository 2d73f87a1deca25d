"""The kind "model-quality": documents, verdicts, and what is said to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.capture.window import Window
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.kinds import settle_roles
from driftline.monitors.metric import INSUFFICIENT, MetricResult
from driftline.monitors.quality.kind import NAMESPACE, examine, suggest
from driftline.monitors.question import Budget, Question, WindowFacts
from driftline.monitors.report import Report
from driftline.roles import Roles

FIXTURE = Path(__file__).parents[2] / "fixtures" / "monitors" / "model_quality"
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_ROWS = 300
REFERENCE_DAYS = 84
BINARY = {
    "label": "late",
    "prediction": "said",
    "probability": "chance",
    "timestamp": "time",
    "problem": "binary",
}
Change = Callable[[dict[str, np.ndarray], np.random.Generator], None]


def times(days: int, first: int) -> pa.Array:
    start = np.datetime64((START + first * DAY).replace(tzinfo=None), "us")
    step = np.timedelta64(86_400_000_000 // DAY_ROWS, "us")
    return pa.array(start + np.arange(days * DAY_ROWS) * step, pa.timestamp("us", "UTC"))


def flights(days: int, seed: int, *, first: int = 0, change: Change | None = None) -> pa.Table:
    """Two classes; each day has weather of its own that the model knows only in part."""
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    weather = np.repeat(rng.normal(0, 0.4, days), DAY_ROWS)
    known = rng.normal(-1.2, 1.2, rows)
    columns = {"logit": known, "truth": known + weather}
    if change is not None:
        change(columns, rng)
    chance = 1 / (1 + np.exp(-columns["logit"]))
    late = rng.random(rows) < 1 / (1 + np.exp(-columns["truth"]))
    return pa.table(
        {
            "time": times(days, first),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "late": late.astype(np.int64),
            "said": (chance > 0.5).astype(np.int64),
            "chance": chance,
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(flights(REFERENCE_DAYS, 1), **BINARY)


def ask(baseline: Baseline, table: pa.Table, *, first: int = 100, days: int = 7, **roles) -> Report:
    """Judge a table as the window that it was captured in."""
    window = Window(START + first * DAY, START + (first + days) * DAY)
    facts = WindowFacts(window, labelled_count=table.num_rows)
    named = settle_roles(Roles.of(**roles), baseline)
    budget = Budget(1.0, 365 / days)
    return examine(Question(baseline, lambda: iter(table.to_batches()), named, budget, facts))


def of(report: Report) -> dict[str, MetricResult]:
    return {one.name: one for one in report.metrics}


def severities(report: Report) -> dict[str, str]:
    return {one.feature_name: one.severity for one in report.violations}


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


def test_documents_of_two_classes_have_sagemakers_keys_in_front(reference: Baseline) -> None:
    found = suggest(reference)
    statistics = json.loads(found[QUALITY_STATISTICS])
    constraints = json.loads(found[QUALITY_CONSTRAINTS])["binary_classification_constraints"]

    names = list(statistics["binary_classification_metrics"])
    assert names[:4] == ["confusion_matrix", "recall", "precision", "accuracy"]
    assert names[11:17] == [
        "receiver_operating_characteristic_curve",
        "precision_recall_curve",
        "auc",
        "f0_5",
        "f1",
        "f2",
    ]
    assert statistics["dataset"]["item_count"] == REFERENCE_DAYS * DAY_ROWS
    assert statistics["binary_classification_metrics"]["auc"]["standard_deviation"] > 0
    assert list(constraints) == [
        *("recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate"),
        *("false_positive_rate", "false_negative_rate", "auc", "f0_5", "f1", "f2", "brier_skill"),
    ]
    assert constraints["false_positive_rate"]["comparison_operator"] == "GreaterThanThreshold"
    assert suggest(reference) == found


def test_data_like_the_reference_break_nothing_though_half_lie_below_it(
    reference: Baseline,
) -> None:
    reports = [ask(reference, flights(7, seed)) for seed in range(20, 32)]

    below = sum(one.value < one.reference for report in reports for one in report.metrics
                if one.name in ("auc", "accuracy", "f1"))  # fmt: skip
    assert below >= 8
    assert all(one.passed and one.decided for one in reports)


def test_lost_ranking_pages(reference: Baseline) -> None:
    def shuffle(columns, rng) -> None:
        rng.shuffle(columns["logit"])

    report = ask(reference, flights(7, 5, change=shuffle))

    assert severities(report)["auc"] == "page"
    assert of(report)["auc"].value < of(report)["auc"].bound < of(report)["auc"].reference
    assert of(report)["auc"].p_value < report.alpha


def test_lost_calibration_pages_and_says_why_in_words(reference: Baseline) -> None:
    def overrate(columns, rng) -> None:
        columns["logit"] += 2.2

    report = ask(reference, flights(7, 6, change=overrate))

    assert severities(report)["brier_skill"] == "page"
    assert severities(report).get("auc") is None
    assert report.cause.startswith("brier_skill: -")
    assert "worse than guessing the base rate" in report.cause
    assert "AUC 0." in report.cause
    assert "late = 1 where the reference has" in report.cause


def test_another_share_of_positives_makes_tickets_at_most(reference: Baseline) -> None:
    # Fewer late flights, and the model knows: precision and F move, skill holds.
    def season(columns, rng) -> None:
        columns["logit"] -= 1.0
        columns["truth"] -= 1.0

    report = ask(reference, flights(7, 7, change=season))

    assert not report.passed
    assert set(severities(report).values()) == {"ticket"}
    assert {"recall", "f2"} <= set(severities(report))


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
        "mse": "page",
        "rmse": "page",
        "r2": "page",
    }
    with pytest.raises(InputError, match="no label is named"):
        check(data, str(tmp_path))


def test_rows_without_label_do_not_count(reference: Baseline) -> None:
    table = flights(7, 10)
    late = table["late"].to_numpy().astype(object)
    late[::2] = None
    half = table.set_column(2, "late", pa.array(late.tolist(), pa.int64()))

    report = ask(reference, half)

    assert report.details["labelled_rows"] == 7 * DAY_ROWS // 2
    assert report.details["rows_without_label"] == 7 * DAY_ROWS // 2
    assert report.row_count == 7 * DAY_ROWS


@pytest.mark.parametrize("rows", [0, 12])
def test_too_few_labels_are_said_and_judge_nothing(reference: Baseline, rows: int) -> None:
    report = ask(reference, flights(7, 11).slice(0, rows))

    assert report.passed
    assert not report.decided
    assert {one.note for one in report.metrics} == {INSUFFICIENT}
    assert report.details["needed"]["auc"] == (f"30 labelled rows with an answer; there are {rows}")


def test_a_metric_of_too_few_positives_is_not_judged_but_the_others_are(
    reference: Baseline,
) -> None:
    table = flights(7, 12)
    few = np.zeros(table.num_rows, np.int64)
    few[:4] = 1

    report = ask(reference, table.set_column(2, "late", pa.array(few)))

    assert of(report)["recall"].note == INSUFFICIENT
    assert of(report)["true_negative_rate"].note == ""
    assert report.details["needed"]["recall"] == "10 rows that it rests on; there are 4"


def test_what_is_not_defined_has_no_value_and_a_note(reference: Baseline) -> None:
    table = flights(7, 13)
    never = table.set_column(3, "said", pa.array(np.zeros(table.num_rows, np.int64)))

    report = ask(reference, never)

    assert of(report)["precision"].value is None
    assert of(report)["precision"].note == "undefined: no predicted positives"
    document = json.loads(report.files["statistics.json"])["binary_classification_metrics"]
    assert document["precision"]["value"] == "NaN"


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


def test_what_says_yes_is_known_where_only_no_is_seen(tmp_path: Path) -> None:
    line = '{"threshold": 0.9, "comparison_operator": "LessThanThreshold"}'
    text = f'{{"binary_classification_constraints": {{"accuracy": {line}}}}}'
    (tmp_path / "constraints.json").write_text(text)
    table = pa.table({"late": [0] * 50, "said": [0] * 50})

    report = check(table, str(tmp_path), label="late", prediction="said")

    assert report.details["positive"] == "1"
    assert report.passed


def test_reports_are_the_same_bytes_for_the_same_rows(reference: Baseline) -> None:
    table = flights(7, 14)

    assert ask(reference, table).documents() == ask(reference, table).documents()


def test_metrics_go_out_under_sagemakers_names(reference: Baseline) -> None:
    points = {one.name: one for one in ask(reference, flights(7, 15)).points}

    assert {one.namespace for one in points.values()} == {NAMESPACE}
    assert {"auc", "auc_std", "f2", "accuracy_best_constant_classifier"} <= set(points)


def test_people_get_a_confusion_matrix_and_a_calibration_table(reference: Baseline) -> None:
    details = ask(reference, flights(7, 16)).details

    matrix = details["confusion_matrix"]
    assert list(matrix) == ["0", "1"]
    assert sum(sum(row.values()) for row in matrix.values()) == 7 * DAY_ROWS
    assert len(details["calibration"]) == 10


def test_the_segment_that_loses_most_is_named(reference: Baseline) -> None:
    table = flights(7, 17)
    origin = table["origin"].to_numpy(zero_copy_only=False)
    chance = np.where(origin == "LGA", 0.97, table["chance"].to_numpy())
    broken = table.set_column(4, "chance", pa.array(chance))

    report = ask(reference, broken)

    assert severities(report)["brier_skill"] == "page"
    assert report.violations[0].segment.column == "origin"
    assert report.violations[0].segment.level == "LGA"
    assert 'origin = "LGA" holds' in report.cause


def values(days: int, seed: int, *, scale: float = 1.0, noise: float = 0.5) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    truth = rng.normal(0, scale, rows)
    said = truth + rng.normal(0, noise, rows) + np.repeat(rng.normal(0, 0.1, days), DAY_ROWS)
    return pa.table({"time": times(days, 0), "truth": truth, "said": said})


@pytest.fixture(scope="module")
def regression() -> Baseline:
    roles = {"label": "truth", "prediction": "said", "timestamp": "time", "problem": "regression"}
    return Baseline.fit(values(REFERENCE_DAYS, 1), **roles)


def test_a_worse_regression_pages(regression: Baseline) -> None:
    report = ask(regression, values(7, 3, noise=0.9))

    assert severities(report) == {"mae": "page", "mse": "page", "rmse": "page", "r2": "page"}


def test_errors_that_only_grow_with_the_labels_are_a_ticket(regression: Baseline) -> None:
    report = ask(regression, values(7, 4, scale=3.0, noise=1.2))

    assert set(severities(report).values()) == {"ticket"}
    assert "mae" in severities(report)
    assert ask(regression, values(7, 5)).passed


def species(days: int, seed: int, *, right: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    truth = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])
    said = np.where(rng.random(rows) < right, truth, rng.choice(["a", "b", "c"], rows))
    return pa.table({"time": times(days, 0), "truth": truth, "said": said})


def test_several_classes_page_below_the_majority() -> None:
    baseline = Baseline.fit(
        species(REFERENCE_DAYS, 1, right=0.6), label="truth", prediction="said", timestamp="time"
    )

    report = ask(baseline, species(7, 2, right=0.1))

    assert baseline.outcomes.roles.problem == "multiclass"
    assert severities(report)["accuracy_skill"] == "page"
    assert severities(report)["balanced_accuracy"] == "page"
    assert severities(report)["accuracy"] == "ticket"
    assert ask(baseline, species(7, 3, right=0.6)).passed
    names = list(json.loads(report.files["statistics.json"])["multiclass_classification_metrics"])
    assert names[:3] == ["confusion_matrix", "accuracy", "weighted_recall"]


def test_probabilities_of_several_classes_make_the_answer_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    table = species(REFERENCE_DAYS, 1, right=0.6)
    truth = table["truth"].to_numpy(zero_copy_only=False)
    for name in ("a", "b", "c"):
        table = table.append_column(name, pa.array((truth == name) + rng.random(len(truth))))
    roles = {"label": "truth", "probability": ("a", "b", "c"), "timestamp": "time"}
    baseline = Baseline.fit(table.drop_columns(["said"]), **roles)

    found = of(ask(baseline, table.slice(0, 7 * DAY_ROWS).drop_columns(["said"])))

    assert found["accuracy"].value > 0.8
    assert found["log_loss"].note.startswith("undefined: the scores are not probabilities")


def test_without_times_the_rows_own_variance_decides() -> None:
    good, bad = flights(10, 2).drop_columns(["time"]), flights(2, 3).drop_columns(["time"])
    roles = {name: value for name, value in BINARY.items() if name != "timestamp"}
    baseline = Baseline.fit(good, **roles)
    shuffled = bad.set_column(3, "chance", pa.array(bad["chance"].to_numpy()[::-1]))

    assert check(bad, baseline, kind="model-quality").passed
    report = check(shuffled, baseline, kind="model-quality")
    assert severities(report)["auc"] == "page"
    assert report.details["reference_blocks"] == []


def test_a_window_longer_than_a_tenth_of_the_reference_is_judged_by_shorter_blocks(
    reference: Baseline,
) -> None:
    month = ask(reference, flights(28, 18), days=28)

    assert month.passed
    assert [one["count"] for one in month.details["reference_blocks"]] == [3, 6, 12, 24]


def test_a_baseline_of_another_kind_says_what_it_lacks() -> None:
    baseline = Baseline.fit(flights(2, 1))

    with pytest.raises(InputError, match="holds no labels and answers"):
        check(flights(1, 2), baseline, kind="model-quality", label="late", prediction="said")


def test_a_broken_threshold_is_named(reference: Baseline) -> None:
    text = '{"binary_classification_constraints": {"auc": {"threshold": "high"}}}'

    with pytest.raises(InputError, match="constraint \"auc\": threshold 'high'"):
        ask(replace(reference, documents={QUALITY_CONSTRAINTS: text}), flights(1, 2))


def test_data_that_do_not_change_stay_silent_from_day_to_day(reference: Baseline) -> None:
    # A budget of one a year allows 0.07 in these 25 windows; three have a chance under 1e-4.
    found = sum(len(ask(reference, flights(1, 1000 + day), days=1).violations) for day in range(25))

    assert found < 3
