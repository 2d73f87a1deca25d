"""Means over classes, metrics of one class, and further errors, against scikit-learn."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics as peer

from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.model_quality.class_metrics import AREAS, area, class_areas
from driftline.monitors.kinds.model_quality.documents import CONSTRAINED, EXTRAS, MACRO
from driftline.monitors.kinds.model_quality.error_metrics import ERRORS
from driftline.monitors.kinds.model_quality.influence import Range, Rows
from driftline.monitors.kinds.model_quality.metrics import multiclass_metrics, regression_metrics
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

CLASSES = ("bird", "cat", "dog")
HEADING = "multiclass_classification_constraints"


def several(rows: int, seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.linspace(0.4, 1.2, classes), rows)
    label = (rng.random((rows, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    return label.clip(0, classes - 1), probability.argmax(axis=1), probability


def test_means_over_classes_are_scikit_learns() -> None:
    label, answer, _ = several(3_000, 1)

    found = {name: one.value for name, one in multiclass_metrics(label, answer, 4).items()}

    for name, wanted in (
        ("macro_precision", peer.precision_score(label, answer, average="macro")),
        ("macro_recall", peer.recall_score(label, answer, average="macro")),
        ("macro_f1", peer.f1_score(label, answer, average="macro")),
        ("balanced_accuracy", peer.balanced_accuracy_score(label, answer)),
    ):
        assert found[name] == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_classes_without_labels_or_answers_count_as_in_scikit_learn(rows) -> None:
    label, answer = (np.array(one) for one in zip(*rows, strict=True))

    found = multiclass_metrics(label, answer, 6)

    for name, of in (
        ("macro_precision", peer.precision_score),
        ("macro_recall", peer.recall_score),
        ("macro_f1", peer.f1_score),
    ):
        one = found[name]
        wanted = of(label, answer, average="macro", zero_division=0)
        assert one.value == pytest.approx(wanted, abs=1e-12)
        low, high = one.interval
        assert one.unbounded or low - 1e-12 <= one.value <= high + 1e-12


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_areas_over_classes_are_scikit_learns(average: str) -> None:
    label, _, probability = several(900, 2)
    probability = probability.round(2)  # Ties count half.

    found = class_areas(label, probability, Rows(len(label)))[f"{average}_auc"]

    wanted = np.average(
        [peer.roc_auc_score(label == one, probability[:, one]) for one in range(4)],
        weights=None if average == "macro" else np.bincount(label),
    )
    assert found.value == pytest.approx(wanted, abs=1e-12)
    probability /= probability.sum(axis=1, keepdims=True)
    exact = class_areas(label, probability, Rows(len(label)))[f"{average}_auc"]
    wanted = peer.roc_auc_score(label, probability, multi_class="ovr", average=average)
    assert exact.value == pytest.approx(wanted, abs=1e-12)


def test_standard_errors_of_means_over_classes_are_those_of_the_bootstrap() -> None:
    # 400 resamples know a standard deviation to 3.5%; 20% is more than five times that.
    label, answer, probability = several(800, 3)
    rng = np.random.default_rng(8)

    def measure(rows: np.ndarray):
        found = multiclass_metrics(label[rows], answer[rows], 4)
        areas = class_areas(label[rows], probability[rows], Rows(len(rows)))
        return {**{name: found[name] for name in MACRO}, **areas}

    drawn = [measure(rng.integers(0, 800, 800)) for _ in range(400)]

    for name, one in measure(np.arange(800)).items():
        wanted = float(np.std([each[name].value for each in drawn]))
        assert one.error == pytest.approx(wanted, rel=0.2), name


def test_a_mean_says_that_a_class_it_counts_as_0_leaves_it_without_limits() -> None:
    label, answer = np.array([0, 0, 1, 1, 2] * 10), np.array([0, 0, 1, 1, 1] * 10)

    found = multiclass_metrics(label, answer, 3)

    assert "1 class has no label or no answer" in found["macro_precision"].unbounded
    assert not found["macro_recall"].unbounded


def test_areas_need_labels_of_two_classes_and_rows_that_can_be_ranked_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    label, _, probability = several(50, 4)

    alike = class_areas(np.zeros(50, dtype=np.intp), probability, Rows(50))
    monkeypatch.setattr("driftline.monitors.kinds.model_quality.class_metrics.MOST_RANKED", 100)
    many = class_areas(label, probability, Rows(50))

    assert [alike[one].undefined for one in AREAS] == ["all labels are equal"] * 2
    assert many["macro_auc"].undefined == "50 rows of 4 classes take too long to rank"


@pytest.mark.parametrize("rarest", [3, 4])
def test_a_mean_area_with_a_class_of_hardly_a_row_has_no_limits(rarest: int) -> None:
    label = np.array([0] * 30 + [1] * 20 + [2] * rarest)
    probability = np.random.default_rng(4).dirichlet(np.ones(3), len(label))

    found = class_areas(label, probability, Rows(len(label)))

    assert ("3 of the rarest class" in found["macro_auc"].unbounded) == (rarest == 3)
    assert not found["weighted_auc"].unbounded


def test_further_errors_are_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    label = rng.normal(10, 3, 701)
    answer = label + rng.normal(0.4, 1, 701)

    found = {name: one.value for name, one in regression_metrics(label, answer).items()}

    beside = np.abs(label) + np.abs(answer)
    weighted = peer.mean_absolute_error(label, answer, sample_weight=1 / beside)
    for name, wanted in (
        ("mape", peer.mean_absolute_percentage_error(label, answer)),
        ("smape", 2 * weighted * (1 / beside).sum() / 701),
        ("median_absolute_error", peer.median_absolute_error(label, answer)),
        ("max_error", peer.max_error(label, answer)),
        ("mean_error", answer.mean() - label.mean()),
    ):
        assert found[name] == pytest.approx(wanted, abs=1e-12)


def test_a_relative_error_of_a_label_of_0_is_none_and_of_two_zeros_is_0() -> None:
    found = regression_metrics(np.array([0.0, 2.0]), np.array([0.0, 3.0]))

    assert math.isnan(found["mape"].value)
    assert found["mape"].undefined == "a label is 0, and has no relative error"
    assert found["smape"].value == pytest.approx((0 + 2 * 1 / 5) / 2)


@pytest.mark.parametrize("tiny", [1e-200, 1e-300, 5e-324])
def test_a_relative_error_of_a_label_next_to_0_is_none(tiny: float) -> None:
    found = regression_metrics(np.array([tiny, 2.0, 3.0]), np.array([1.0, 3.0, 3.0]))

    assert "so near 0" in found["mape"].undefined
    assert found["smape"].value == pytest.approx((2 + 2 * 1 / 5) / 3)


def test_the_largest_error_has_no_interval_and_says_why() -> None:
    found = regression_metrics(np.arange(50.0), np.arange(50.0) + 1)["max_error"]

    assert found.value == 1.0
    assert "grows with the number of rows" in found.unbounded


def test_a_median_lies_between_the_ranks_of_its_binomial_interval() -> None:
    # Campbell and Gardner, BMJ 296, 1988: of 100 values the 40th and the 61st hold it at 95%.
    error = np.arange(1.0, 101.0)

    low, high = regression_metrics(np.zeros(100), error)["median_absolute_error"].interval

    assert (low, high) == (40.0, 61.0)


@pytest.mark.parametrize(
    ("scale", "value"),
    [(Range(), -3.0), (Range(0), 4.0), (Range(most=1), -2.0), (Range(-5, 100), 0.25)],
)
def test_a_scale_with_ends_goes_there_and_back_and_has_the_slope_of_its_curve(
    scale: Range, value: float
) -> None:
    there = scale.forward(value)

    assert scale.backward(there) == pytest.approx(value)
    step = (scale.forward(value + 1e-6) - scale.forward(value - 1e-6)) / 2e-6
    assert scale.slope(value) == pytest.approx(step, rel=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_an_area_with_few_of_either_class_is_held_as_often_as_it_says(rate: float) -> None:
    # It was 91 to 92% with few negatives. Of 1,500 windows 93% is 3.5 standard deviations low.
    rng = np.random.default_rng(9)
    truth, held = 0.8, 0
    shift = math.sqrt(2) * special.ndtri(truth)
    for _ in range(1_500):
        label = rng.random(200) < rate
        score = rng.standard_normal(200) + shift * label
        low, high = area(label, score, Rows(200)).interval
        held += low <= truth <= high

    assert held / 1_500 >= 0.93


def animals(rows: int, seed: int, *, lost: str = "") -> pa.Table:
    """Three classes; of one the model may know nothing any more."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    logit = rng.normal(0, 1, (rows, 3)) + 1.8 * np.eye(3)[truth]
    if lost:
        place = CLASSES.index(lost)
        logit[:, place] = rng.normal(0, 1, rows)
    chance = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    columns = {f"p_{name}": chance[:, place] for place, name in enumerate(CLASSES)}
    return pa.table({"animal": names[truth], "said": names[chance.argmax(axis=1)], **columns})


@pytest.fixture(scope="module")
def reference() -> Baseline:
    probability = [f"p_{name}" for name in CLASSES]
    return Baseline.fit(
        animals(6_000, 1), label="animal", prediction="said", probability=probability
    )


def with_constraints(reference: Baseline, **thresholds: float) -> Baseline:
    """Name further metrics in the document of the reference."""
    report = check(animals(3_000, 2), reference, kind="model-quality")
    document = json.loads(report.documents()["constraints.json"])
    document[HEADING] |= {
        name: {"threshold": value, "comparison_operator": "LessThanThreshold"}
        for name, value in thresholds.items()
    }
    return replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(document)})


def by_key(report: Report) -> dict[str, MetricResult]:
    return {one.key: one for one in report.metrics}


def test_each_class_is_shown_beside_the_reference_and_not_judged(reference: Baseline) -> None:
    table = animals(3_000, 2)

    report = check(table, reference, kind="model-quality")

    found = by_key(report)["recall / cat"]
    rows = table.to_pandas()
    wanted = peer.recall_score(rows.animal, rows.said, labels=["cat"], average=None)[0]
    assert found.value == pytest.approx(wanted, abs=1e-12)
    assert found.low < found.value < found.high
    assert found.reference is not None
    assert not found.judged
    assert {f"{one} / bird" for one in ("precision", "recall", "f1", "auc")} <= {*by_key(report)}
    points = [one for one in report.points if one.dimensions == {"Label": "cat"}]
    assert {one.name for one in points} == {"precision", "recall", "f1", "auc"}
    assert "dog: precision" in [one.shown for one in report.metrics]


def test_what_scikit_learn_has_is_shown_and_no_alarm_unless_a_constraint_names_it(
    reference: Baseline,
) -> None:
    found = by_key(check(animals(3_000, 3, lost="cat"), reference, kind="model-quality"))

    assert {*MACRO, *AREAS} <= {*found}
    assert not any(found[name].judged for name in (*MACRO, *AREAS))
    assert EXTRAS.isdisjoint({*MACRO, *AREAS, *ERRORS} & {*CONSTRAINED["multiclass"]})
    assert found["macro_auc"].value < found["macro_auc"].reference_low


def test_a_metric_of_one_class_is_judged_where_a_constraint_names_it(reference: Baseline) -> None:
    named = {"recall[cat]": 0.6, "macro_auc": 0.88, "auc[dog]": 0.7}
    edited = with_constraints(reference, **named)

    lost = check(animals(3_000, 3, lost="cat"), edited, kind="model-quality")
    usual = check(animals(3_000, 4), edited, kind="model-quality")

    broken = {one.feature_name for one in lost.violations}
    assert {"recall[cat]", "macro_auc"} <= broken
    assert "auc[dog]" not in broken
    assert "recall / cat" not in by_key(lost)
    assert usual.passed
    assert by_key(usual)["recall[cat]"].judged


def test_a_constraint_on_a_class_that_nobody_knows_is_told(reference: Baseline) -> None:
    edited = with_constraints(reference, **{"recall[cow]": 0.5})

    report = check(animals(3_000, 4), edited, kind="model-quality")

    assert 'could not be computed: recall[cow] (no class "cow")' in report.summary


def test_a_class_that_is_absent_leaves_no_verdict_that_its_interval_denies(
    reference: Baseline,
) -> None:
    """The mean precision 0.51 (95% 0.15 to 0.88) was a violation of 0.66, and so was a recall of 0
    of no rows.
    """
    table = animals(3_000, 5).to_pandas()
    never = table.assign(said=table.said.replace("bird", "cat"))
    edited = with_constraints(
        reference, **dict.fromkeys((*MACRO, "precision[dog]"), 0.5), **{"recall[dog]": 0.5}
    )

    unsaid = by_key(check(never, edited, kind="model-quality"))
    absent = by_key(check(table[table.animal != "dog"], edited, kind="model-quality"))

    note = unsaid["weighted_precision"].note
    assert note == "too_variable: the answers lack 1 of the labels' classes"
    note = unsaid["macro_precision"].note
    assert note == absent["macro_recall"].note
    assert note.endswith("1 class has no label or no answer, and counts as 0")
    assert absent["recall[dog]"].note == "undefined: no rows of the positive class"
    assert absent["precision[dog]"].violated  # All its answers are wrong.
    assert unsaid["accuracy"].violated
    for one in (*unsaid.values(), *absent.values()):
        assert not (one.violated and one.unbounded)
        assert not one.violated or one.low <= one.value <= one.high < edited_threshold(one, edited)


def edited_threshold(one: MetricResult, baseline: Baseline) -> float:
    document = json.loads(baseline.documents[QUALITY_CONSTRAINTS])
    return document[HEADING][one.key]["threshold"]


def test_classes_without_labels_lack_no_rows() -> None:
    rng = np.random.default_rng(4)

    def rows(count: int) -> dict[str, np.ndarray]:
        chances = rng.dirichlet([2.0, 2.0, 2.0], count)
        label = np.array(list("abc"))[(rng.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)]
        said = np.array(list("abc"))[chances.argmax(axis=1)]
        scores = {f"p_{name}": chances[:, place] for place, name in enumerate("abc")}
        return {"y": label, "said": said, **scores}

    baseline = Baseline.fit(
        pa.table(rows(3_000)), label="y", prediction="said", probability=["p_a", "p_b", "p_c"]
    )
    window = {name: values for name, values in rows(2_000).items() if name != "y"}

    report = check(pa.table(window), baseline, kind="model-quality")

    assert "quality is estimated" in report.summary
    assert "too small" not in report.summary
    assert not report.insufficient_data
