"""Metrics of rows with weights: scikit-learn's values, and intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as peer

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.measures import Extras, measure_answers
from driftline.monitors.kinds.model_quality.roc import precision_recall_curve, rank, roc_curve
from driftline.monitors.kinds.model_quality.values import confusion_matrix
from tests.monitors.kinds.model_quality.cases import binary_metrics, multiclass_metrics

Numbers = NDArray[np.float64]
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
EXACT = 1e-12
# Their sums have no rounding, in which scikit-learn misses a median between two rows.
WEIGHTS = st.lists(
    st.sampled_from([0.0, 1 / 128, 0.25, 1.0, 2.5, 700.0]), min_size=30, max_size=120
)


def answers(problem: str, rows: int, weight: Numbers | None = None, seed: int = 0) -> Answers:
    """Make answers of one problem, with ties among scores and errors that are skew."""
    rng = np.random.default_rng(seed)
    places = np.arange(rows)
    if problem == "regression":
        label = rng.normal(size=rows)
        said = label + rng.standard_t(4, rows)
        return Answers("regression", label, said, (), None, None, 0, places, weight=weight)
    if problem == "binary":
        score = rng.random(rows).round(2)
        label = (rng.random(rows) < score).astype(np.intp)
        said = (score > 0.5).astype(np.intp)
        return Answers("binary", label, said, ("no", "yes"), score, None, 0, places, weight=weight)
    score = rng.dirichlet([0.5, 0.8, 1.2], rows)
    label = (rng.random((rows, 1)) > score.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    said, names = score.argmax(axis=1), ("a", "b", "c")
    return Answers("multiclass", label, said, names, score, None, 0, places, weight=weight)


def usable(weights: list[float], *parts: NDArray[np.bool_]) -> bool:
    """Whether each part has a row of some weight."""
    found = np.array(weights)
    return all(found[part].sum() > 0 for part in parts)


@given(WEIGHTS, st.integers(0, 99))
def test_two_classes_with_weights_are_scikit_learns(weights: list[float], seed: int) -> None:
    one = answers("binary", len(weights), np.array(weights), seed)
    label, said, score, weight = one.label == 1, one.answer == 1, one.probability, one.weight
    if not usable(weights, label, ~label, said):
        return
    assert score is not None

    found = {name: each.value for name, each in measure_answers(one).items()}

    for name, of in (
        ("recall", peer.recall_score),
        ("precision", peer.precision_score),
        ("accuracy", peer.accuracy_score),
        ("balanced_accuracy", peer.balanced_accuracy_score),
    ):
        assert found[name] == pytest.approx(of(label, said, sample_weight=weight), abs=EXACT)
    for name, beta in BETAS.items():
        wanted = peer.fbeta_score(label, said, beta=beta, sample_weight=weight)
        assert found[name] == pytest.approx(wanted, abs=EXACT)
    assert found["auc"] == pytest.approx(
        peer.roc_auc_score(label, score, sample_weight=weight), abs=EXACT
    )
    assert found["brier"] == pytest.approx(
        peer.brier_score_loss(label, score, sample_weight=weight), abs=EXACT
    )
    # Brier skill is 1 - Brier score / that of the share of positives.
    share = np.full(len(label), np.average(label, weights=weight))
    base = peer.brier_score_loss(label, share, sample_weight=weight)
    assert found["brier_skill"] == pytest.approx(1.0 - found["brier"] / base, abs=1e-9)


def test_log_loss_with_weights_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    weight, score = rng.exponential(size=300), rng.uniform(0.01, 0.99, 300)
    label = rng.random(300) < score
    chances = rng.dirichlet([1, 2, 3], 300)
    several = rng.integers(0, 3, 300)

    two = binary_metrics(label, score > 0.5, score, weights=weight)
    many = multiclass_metrics(several, chances.argmax(axis=1), 3, chances, weights=weight)

    wanted = peer.log_loss(label, score, sample_weight=weight)
    assert two["log_loss"].value == pytest.approx(wanted, abs=EXACT)
    wanted = peer.log_loss(several, chances, sample_weight=weight)
    assert many["log_loss"].value == pytest.approx(wanted, abs=EXACT)
    loss = ((chances - np.eye(3)[several]) ** 2).sum(axis=1)
    assert many["brier"].value == pytest.approx(np.average(loss, weights=weight), abs=EXACT)


@given(WEIGHTS, st.integers(0, 99))
def test_several_classes_with_weights_are_scikit_learns(weights: list[float], seed: int) -> None:
    one = answers("multiclass", len(weights), np.array(weights), seed)
    label, said, chances, weight = one.label, one.answer, one.probability, one.weight
    if not usable(weights, *(label == place for place in range(3))):
        return
    assert chances is not None

    found = {name: each.value for name, each in Extras().measure(one).items()}

    named = {"sample_weight": weight, "zero_division": 0}
    for average in ("weighted", "macro"):
        for name, of in (
            ("precision", peer.precision_score),
            ("recall", peer.recall_score),
            ("f1", peer.f1_score),
        ):
            wanted = of(label, said, average=average, **named)
            assert found[f"{average}_{name}"] == pytest.approx(wanted, abs=EXACT)
        wanted = peer.roc_auc_score(
            label, chances / chances.sum(axis=1, keepdims=True), sample_weight=weight,
            average=average, multi_class="ovr",
        )  # fmt: skip
        assert found[f"{average}_auc"] == pytest.approx(wanted, abs=EXACT)
    for name, beta in BETAS.items():
        wanted = peer.fbeta_score(label, said, beta=beta, average="weighted", **named)
        assert found[f"weighted_{name}"] == pytest.approx(wanted, abs=EXACT)
    wanted = peer.accuracy_score(label, said, sample_weight=weight)
    assert found["accuracy"] == pytest.approx(wanted, abs=EXACT)
    wanted = peer.balanced_accuracy_score(label, said, sample_weight=weight)
    assert found["balanced_accuracy"] == pytest.approx(wanted, abs=EXACT)
    matrix = np.array([[*line.values()] for line in confusion_matrix(one).values()])
    wanted = peer.confusion_matrix(label, said, sample_weight=weight)
    assert matrix == pytest.approx(wanted, abs=1e-9)


@given(WEIGHTS, st.integers(0, 99))
def test_errors_with_weights_are_scikit_learns(weights: list[float], seed: int) -> None:
    one = answers("regression", len(weights), np.array(weights), seed)
    label, said, weight = one.label, one.answer, one.weight
    if np.count_nonzero(weights) < 3:
        return

    found = {name: each.value for name, each in measure_answers(one).items()}

    for name, of in (
        ("mae", peer.mean_absolute_error),
        ("mse", peer.mean_squared_error),
        ("rmse", peer.root_mean_squared_error),
        ("r2", peer.r2_score),
        ("mape", peer.mean_absolute_percentage_error),
    ):
        wanted = of(label, said, sample_weight=weight)
        assert found[name] == pytest.approx(wanted, rel=EXACT, abs=EXACT)
    wanted = np.average(said - label, weights=weight)
    assert found["mean_error"] == pytest.approx(wanted, abs=EXACT)
    wanted = peer.median_absolute_error(label, said, sample_weight=weight)
    assert found["median_absolute_error"] == pytest.approx(wanted, abs=EXACT)


def test_curves_with_weights_are_scikit_learns() -> None:
    one = answers("binary", 800, np.random.default_rng(2).exponential(size=800))
    assert one.probability is not None
    label = one.label == 1

    ranking = rank(label, one.probability, one.weight)

    false, true, _ = peer.roc_curve(
        label, one.probability, sample_weight=one.weight, drop_intermediate=False
    )
    assert roc_curve(ranking)[0][:-1] == pytest.approx(false, abs=EXACT)
    assert roc_curve(ranking)[1][:-1] == pytest.approx(true, abs=EXACT)
    precision, recall, _ = peer.precision_recall_curve(
        label, one.probability, sample_weight=one.weight
    )
    assert precision_recall_curve(ranking)[0][1:] == pytest.approx(precision[::-1][1:], abs=EXACT)
    assert precision_recall_curve(ranking)[1][1:] == pytest.approx(recall[::-1][1:], abs=EXACT)


@pytest.mark.parametrize("problem", ["regression", "binary", "multiclass"])
def test_whole_weights_are_repeated_rows(problem: str) -> None:
    times = np.random.default_rng(5).integers(1, 4, 400)
    weighted = answers(problem, 400, times.astype(np.float64))
    repeated = answers(problem, 400).take(np.repeat(np.arange(400), times))

    wanted, found = Extras().measure(repeated), Extras().measure(weighted)

    for name, one in wanted.items():
        assert found[name].value == pytest.approx(one.value, rel=1e-11, nan_ok=True), name
    if problem != "regression":
        assert confusion_matrix(weighted) == confusion_matrix(repeated)
