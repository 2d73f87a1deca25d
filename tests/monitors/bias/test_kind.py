"""The kind "bias": what is a violation, what is none, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.outcomes import outcome_columns
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.capture.window import Window
from driftline.errors import InputError
from driftline.monitors.bias import kind as bias
from driftline.monitors.bias.change import Comparison, Estimate, Spread, exactly, holm, spread
from driftline.monitors.bias.judgement import GroupCounts, judge_groups
from driftline.monitors.metric import INSUFFICIENT, MetricResult
from driftline.monitors.question import Budget, Question, WindowFacts
from driftline.monitors.report import Report
from driftline.roles import Facet
from tests.monitors.bias.adult import (
    FIXTURES,
    aws_analysis,
    aws_validation,
    aws_window,
    expected,
    people,
)

COLUMNS = {"label": "income", "prediction": "predicted", "positive": 1}


@pytest.fixture(scope="module")
def reference() -> Baseline:
    """Adult, women against men, by education."""
    return Baseline.fit(people(), **COLUMNS, facet="sex=Female", group="education")


def sample(rows: int, seed: int = 0) -> pa.Table:
    return people().take(np.random.default_rng(seed).integers(0, people().num_rows, rows))


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def unfair(rows: int = 4_000) -> pa.Table:
    """A window in which half of the women lose their positive answer."""
    table = sample(rows)
    women = np.array(table["sex"].to_pylist()) == "Female"
    hit = women & (np.random.default_rng(9).random(rows) < 0.5)
    return with_column(table, "predicted", np.where(hit, 0, table["predicted"].to_numpy()))


def metric(report: Report, name: str, group: str = "Female") -> MetricResult:
    [found] = [one for one in report.metrics if (one.name, one.facet_value) == (name, group)]
    return found


def test_the_reference_and_samples_of_it_are_no_violation(reference: Baseline) -> None:
    assert dl.check(people(), reference, kind="bias").passed
    for seed in range(5):
        report = dl.check(sample(2_000, seed), reference, kind="bias")
        assert report.passed
        assert report.decided


def test_the_reference_is_written_as_clarify_writes_it(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])

    assert list(document) == ["version", "post_training_bias_metrics", "pre_training_bias_metrics"]
    [case] = [one for one in expected()["cases"] if one["id"] == "sex_female"]
    for stage, values in (("post", "post_training"), ("pre", "pre_training")):
        theirs = aws_analysis()[f"{stage}_training_bias_metrics"]
        ours = document[f"{stage}_training_bias_metrics"]
        assert list(ours) == list(theirs)
        assert (ours["label"], ours["label_value_or_threshold"]) == ("income", "1")
        [entry] = ours["facets"]["sex"]
        [known] = theirs["facets"]["Sex"]
        assert list(entry) == list(known)
        assert entry["value_or_threshold"] == "Female"
        # The same names and words in the same order; FT needs rows.
        words = [
            (one["name"], one["description"]) for one in known["metrics"] if one["name"] != "FT"
        ]
        assert [(one["name"], one["description"]) for one in entry["metrics"]] == words
        wanted = {k: v for k, v in case["facets"][0][values].items() if k != "FT"}
        assert {one["name"]: one["value"] for one in entry["metrics"]} == pytest.approx(wanted)


def test_there_is_no_document_without_groups_or_answers() -> None:
    assert bias.suggest(Baseline.fit(people(), **COLUMNS)) == {}
    assert bias.suggest(Baseline.fit(people(), facet="sex=Female")) == {}


def test_labels_alone_are_enough_for_a_document_of_labels() -> None:
    document = json.loads(
        bias.suggest(Baseline.fit(people(), label="income", facet="sex=Female"))[ANALYSIS]
    )

    assert list(document) == ["version", "pre_training_bias_metrics"]


def test_a_change_is_found_and_told(reference: Baseline, tmp_path: Path) -> None:
    report = dl.check(unfair(), reference, kind="bias")

    assert not report.passed
    assert {one.feature_name for one in report.violations} >= {"sex = Female: DI"}
    worst = report.violations[0]
    assert worst.severity == "ticket"
    assert worst.ratio > 1
    assert "Female moved" in worst.cause
    [impact] = [one for one in report.violations if one.feature_name == "sex = Female: DI"]
    assert "(was 7.8 %)" in impact.cause
    assert "95 % interval" in worst.cause
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


def test_the_same_question_gives_the_same_bytes(reference: Baseline) -> None:
    first, second = (dl.check(unfair(), reference, kind="bias").documents() for _ in range(2))

    assert first == second


def test_a_value_beyond_its_bound_is_a_violation_and_no_other(reference: Baseline) -> None:
    for table in (sample(3_000), unfair()):
        for one in dl.check(table, reference, kind="bias").metrics:
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
    assert metric(report, "RD").note == "undefined: no_labels"
    [group] = report.details["groups"]
    assert group["group"]["labelled"] == 0


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
    assert any("with a positive answer" in text for text in report.details["warnings"])


def test_too_few_rows_are_said_to_be_too_few(reference: Baseline) -> None:
    report = dl.check(sample(60), reference, kind="bias")

    assert report.passed
    assert not report.decided
    assert {one.note for one in report.metrics} == {INSUFFICIENT}
    assert report.details["groups"][0]["group"]["rows"] < 30


@pytest.mark.parametrize("answer", [0, 1])
def test_a_model_that_always_says_the_same_is_measured_all_the_same(
    reference: Baseline, answer: int
) -> None:
    table = with_column(sample(3_000), "predicted", np.full(3_000, answer))

    report = dl.check(table, reference, kind="bias")

    assert metric(report, "DPPL").value == 0
    assert metric(report, "DI").note == ("" if answer else "undefined: no_predicted_positives")
    json.loads(report.documents()[ANALYSIS])


def test_a_facet_that_is_empty_or_renamed_is_told_not_guessed(reference: Baseline) -> None:
    gone = dl.check(
        with_column(sample(2_000), "sex", pa.nulls(2_000, pa.string())), reference, kind="bias"
    )
    renamed = with_column(
        sample(2_000), "sex", [value[0] for value in sample(2_000)["sex"].to_pylist()]
    )
    other = dl.check(renamed, reference, kind="bias")

    for report in (gone, other):
        assert not report.decided
        assert report.passed
    assert gone.details["facets"][0]["missing_share"] == 1.0
    assert set(other.details["facets"][0]["new_values"]) == {"F", "M"}


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


def test_a_limit_that_somebody_set_pages_when_it_is_broken(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    [entry] = document["post_training_bias_metrics"]["facets"]["sex"]
    for one in entry["metrics"]:
        one["value"] = {"DPPL": 0.1, "GE": 0.5}.get(one["name"], one["value"])
    limited = replace(reference, documents={ANALYSIS: json.dumps(document)})

    report = dl.check(people(), limited, kind="bias")

    [violation] = report.violations
    assert violation.document["metric_name"] == "DPPL"
    assert violation.severity == "page"
    assert "0.1 the limit" in violation.cause
    assert metric(report, "GE").bound > 0.5


def test_what_the_document_leaves_out_is_shown_but_not_judged(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    [entry] = document["post_training_bias_metrics"]["facets"]["sex"]
    entry["metrics"] = [one for one in entry["metrics"] if one["name"] not in ("DI", "RD")]
    less = replace(reference, documents={ANALYSIS: json.dumps(document)})

    report = dl.check(unfair(), less, kind="bias")

    assert metric(report, "DI").bound is None
    assert (
        metric(report, "DI").value == metric(dl.check(unfair(), reference, kind="bias"), "DI").value
    )
    assert not report.violations


def test_a_folder_of_sagemaker_is_enough(tmp_path: Path) -> None:
    (tmp_path / "analysis.json").write_bytes((FIXTURES / "aws-analysis.json").read_bytes())

    report = dl.check(aws_window(), str(tmp_path), kind="bias", prediction="predicted")

    assert "analysis.json alone" in report.details["reference"]
    assert metric(report, "RD", "0").reference == pytest.approx(0.1308103661044837)
    assert metric(report, "RD", "0").reference_low is None
    assert metric(report, "RD", "0").bound > 0.1308
    assert report.passed  # 334 rows: what SageMaker reported is within chance.


def test_a_real_change_against_a_folder_of_sagemaker_is_found(tmp_path: Path) -> None:
    (tmp_path / "analysis.json").write_bytes((FIXTURES / "aws-analysis.json").read_bytes())
    table = pa.concat_tables([aws_window()] * 12)
    men = table["Sex"].to_numpy() == 1

    report = dl.check(
        with_column(table, "predicted", men.astype(int)),
        str(tmp_path),
        kind="bias",
        prediction="predicted",
    )

    [violation] = [one for one in report.violations if one.document["metric_name"] == "DPPL"]
    assert violation.document["description"].endswith("requirement 0.2199248120300752")
    assert violation.severity == "ticket"
    assert "in the baseline" in violation.cause


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"facet": "race"}, "made without it"),
        ({"facet": "sex=Robot"}, 'never holds "Robot"'),
        ({"group": "marital_status"}, "--group marital_status"),
    ],
)
def test_what_the_reference_does_not_hold_cannot_be_asked_for(
    reference: Baseline, named: dict, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        dl.check(sample(500), reference, kind="bias", **named)


def test_an_identifier_is_no_group() -> None:
    table = people().append_column("id", pa.array([f"p{i}" for i in range(people().num_rows)]))

    with pytest.raises(InputError, match="more than 10,000 values"):
        dl.check(table, Baseline.fit(table, **COLUMNS, facet="id"), kind="bias")


def test_a_baseline_without_groups_cannot_be_asked() -> None:
    with pytest.raises(InputError, match="--facet"):
        dl.check(sample(500), Baseline.fit(people(), **COLUMNS), kind="bias")


def test_saving_and_loading_changes_nothing(reference: Baseline, tmp_path: Path) -> None:
    reference.save(tmp_path)

    loaded = dl.check(unfair(), str(tmp_path), kind="bias")

    assert loaded.documents() == dl.check(unfair(), reference, kind="bias").documents()


def test_a_text_cannot_be_split_by_a_threshold() -> None:
    with pytest.raises(InputError, match="splits numbers"):
        Baseline.fit(people(), **COLUMNS, facet=Facet("sex", (), 1.0))


START = datetime(2024, 1, 1, tzinfo=UTC)


def days(count: int, seed: int, swing: float) -> Iterator[pa.Table]:
    """Days of two groups; each day lifts or lowers the second group's answers."""
    rng = np.random.default_rng(seed)
    for day in range(count):
        size = 400
        second = rng.random(size) < 0.4
        lift = rng.normal(0, swing)
        chance = np.clip(0.3 + second * (lift - 0.05), 0.02, 0.98)
        yield pa.table(
            {
                "who": np.where(second, "d", "a"),
                "answer": (rng.random(size) < chance).astype(int),
                "truth": (rng.random(size) < 0.3).astype(int),
                "time": pa.array(
                    [START + timedelta(days=day, minutes=3 * i) for i in range(size)],
                    pa.timestamp("us", "UTC"),
                ),
            }
        )


def judged_days(reference: Baseline, swing: float) -> int:
    """Count the days without change that are a violation."""
    found = 0
    for day, table in enumerate(days(25, 5, swing)):
        window = Window(START + timedelta(days=100 + day), START + timedelta(days=101 + day))
        question = Question(
            reference,
            lambda table=table: iter(table.to_batches()),
            roles=reference.outcomes.roles,
            facts=WindowFacts(window),
        )
        found += not bias.examine(question).passed
    return found


def test_days_that_share_a_fate_are_no_violations_when_the_reference_shows_them() -> None:
    roles = {"label": "truth", "prediction": "answer", "facet": "who=d"}
    table = pa.concat_tables(list(days(60, 4, 0.12)))
    timed = Baseline.fit(table, **roles, timestamp="time")
    timeless = Baseline.fit(table.drop_columns(["time"]), **roles)

    assert judged_days(timed, 0.12) == 0
    assert judged_days(timeless, 0.12) > 2


def test_the_spread_between_blocks_is_an_upper_limit_of_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.poisson(2_000, (300, 2))
    shares = 0.3 + rng.normal(0, 0.05, (300, 2))
    counts = np.zeros((300, 2, 3, 3), np.int64)
    counts[:, :, 2, 1] = rng.binomial(sizes, shares)
    counts[:, :, 2, 0] = sizes - counts[:, :, 2, 1]

    found = spread("DPPL", counts)

    assert found.blocks == 300
    assert 1 <= found.variance / (2 * 0.05**2) <= 1.5
    assert 1 <= spread("DI", counts).variance / (2 * (0.05 / 0.3) ** 2) <= 1.5
    assert spread("GE", counts) == Spread()


def test_holm_is_step_down() -> None:
    # Holm 1979: 0.01 < 0.05/4, 0.013 < 0.05/3, 0.04 >= 0.05/2 and there it stops.
    assert holm([0.04, 0.01, 0.2, 0.013], 0.05) == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])
    assert holm([], 0.05) == []


def test_a_limit_is_broken_when_the_interval_lies_beyond_it() -> None:
    window = Estimate(0.3, lambda z: (0.3 - 0.05 * z, 0.3 + 0.05 * z))

    broken = Comparison(window, exactly(0.1), 0.0)

    assert broken.p_value == pytest.approx(6.3342e-5, rel=1e-3)  # Two tails beyond z = 4.
    assert broken.bound(0.05) == pytest.approx(0.1 + 1.96 * 0.05, abs=1e-4)
    assert Comparison(window, exactly(0.31), 0.0).p_value == 1.0


def test_windows_without_change_keep_the_budget() -> None:
    rng = np.random.default_rng(6)
    rates = np.array([[0.2, 0.1, 0.1, 0.6], [0.15, 0.1, 0.1, 0.65]])

    def draw(sizes: tuple[int, int]) -> np.ndarray:
        counts = np.zeros((2, 1, 3, 3), np.int64)
        for side in range(2):
            tp, fp, fn, tn = rng.multinomial(sizes[side], rates[side])
            counts[side, 0, :2, :2] = [[tn, fp], [fn, tp]]
        return counts

    broken = 0
    for _ in range(3):
        reference = draw((5_000, 2_000))
        for _ in range(60):
            group = GroupCounts("who", "d", draw((350, 150)), reference)
            found, _ = judge_groups([group], stratified=False, budget=Budget())
            broken += any(one.result.violated for one in found)

    assert broken <= 1


def test_captured_windows_need_just_the_columns_that_the_reference_knows(
    reference: Baseline,
) -> None:
    wanted = outcome_columns(reference.outcomes.roles)

    found = dl.check(unfair().select(list(wanted)), reference, kind="bias")

    assert found.documents() == dl.check(unfair(), reference, kind="bias").documents()


def test_the_validation_set_of_a_real_job_gives_its_document() -> None:
    reference = Baseline.fit(
        aws_validation(), label="Target", positive=1, facet="Sex=0", group="Age"
    )

    document = json.loads(bias.suggest(reference)[ANALYSIS])

    [entry] = document["pre_training_bias_metrics"]["facets"]["Sex"]
    [known] = aws_analysis()["pre_training_bias_metrics"]["facets"]["Sex"]
    assert entry["value_or_threshold"] == known["value_or_threshold"] == "0"
    for ours, theirs in zip(entry["metrics"], known["metrics"], strict=True):
        assert ours["name"] == theirs["name"]
        assert ours["value"] == pytest.approx(theirs["value"], abs=1e-12)


@pytest.mark.parametrize("value", [10**400, "0.1", [], {}])
def test_a_limit_that_is_no_number_is_refused(reference: Baseline, value: object) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    document["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"][0]["value"] = value
    edited = replace(reference, documents={ANALYSIS: json.dumps(document)})

    with pytest.raises(InputError, match=r"analysis\.json"):
        dl.check(sample(100), edited, kind="bias")


def test_a_document_of_brackets_is_refused(reference: Baseline) -> None:
    with pytest.raises(InputError, match=r"analysis\.json"):
        dl.check(sample(100), replace(reference, documents={ANALYSIS: "[" * 100_000}), kind="bias")


def test_rows_that_lack_what_is_compared_are_refused(reference: Baseline) -> None:
    with pytest.raises(InputError, match='facet "sex": the data has no such column'):
        dl.check(sample(2_000).drop_columns(["sex"]), reference, kind="bias")
    with pytest.raises(InputError, match='neither answers nor labels; expected "predicted", "inc'):
        dl.check(sample(2_000).drop_columns(["income", "predicted"]), reference, kind="bias")


def test_labels_alone_judge_nothing_and_say_so(reference: Baseline) -> None:
    report = dl.check(sample(2_000).drop_columns(["predicted"]), reference, kind="bias")

    assert not report.decided
    assert "no_predictions" in report.summary


def test_a_positive_class_that_there_is_not_is_named(reference: Baseline) -> None:
    with pytest.raises(InputError, match='positive "yes": no answer or label of the reference is'):
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
