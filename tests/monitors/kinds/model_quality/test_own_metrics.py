"""Metrics of the user's own: functions of a program, of a file, and of an installed package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as peer

import driftline as dl
from driftline.baseline.answers import Answers
from driftline.errors import InputError
from driftline.monitors.engine.block_test import judge
from driftline.monitors.kinds.model_quality.measures import measure_answers
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric, read_metrics
from driftline.monitors.kinds.model_quality.own_test import OwnSums
from driftline.monitors.report.report import Report
from tests.monitors.kinds.model_quality.cases import BINARY, bounds, flights, of, severities
from tests.plugged import plugged_in

MODULE = """
import numpy as np

def acme_profit(labels, predictions, scores=None, weights=None):
    return np.mean(np.where(labels == 1, 3 * predictions, -predictions))

acme_profit.greater_is_better = True
nothing = 3
"""


def profit(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.mean(np.where(labels == 1, 3 * predictions, -predictions)))


def share_said(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(predictions.mean())


def mean_score(labels: np.ndarray, predictions: np.ndarray, scores: object = None) -> float:
    return float(np.mean(scores))


def answers(rows: int, seed: int, problem: str = "binary") -> Answers:
    rng = np.random.default_rng(seed)
    if problem == "regression":
        label = rng.normal(size=rows)
        answer, classes, score = label + rng.normal(size=rows), (), None
    else:
        classes = ("no", "yes") if problem == "binary" else ("dog", "ant", "cat")
        chances = rng.dirichlet(np.ones(len(classes)), rows)
        label = (chances.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
        answer, score = chances.argmax(axis=1), chances
        if problem == "binary":
            score = chances[:, 1]
    return Answers(problem, label, answer, classes, score, None, 0, np.arange(rows))


@pytest.fixture(autouse=True, scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installed package with entry points, as pip leaves it."""
    points = "[driftline.metrics]\nacme_profit = acme_metrics:acme_profit\n"
    points += "acme_nothing = acme_metrics:nothing\nacme_gone = acme_metrics:gone\n"
    place = tmp_path_factory.mktemp("site")
    with plugged_in(place, "acme_metrics", MODULE, points):
        yield place


def blind(columns, rng) -> None:  # type: ignore[no-untyped-def]
    columns["logit"] -= 2.0


def interval(own: OwnMetric, rows: Answers) -> tuple[float, float]:
    sums = OwnSums(own, None, rows)
    (found,) = judge(sums.reference, sums.buckets, length=1.0, level=0.01)
    return found.low, found.high


def check(reference: dl.Baseline, metrics: object, change=None, seed: int = 5) -> Report:  # type: ignore[no-untyped-def]
    window = flights(7, seed, first=100, change=change)
    return dl.check(window, reference, metrics=metrics)


@pytest.mark.parametrize(
    ("problem", "function", "built_in"),
    [
        ("binary", peer.accuracy_score, "accuracy"),
        ("binary", peer.f1_score, "f1"),
        ("binary", peer.roc_auc_score, "auc"),
        ("binary", peer.brier_score_loss, "brier"),
        ("multiclass", peer.balanced_accuracy_score, "balanced_accuracy"),
        ("multiclass", peer.log_loss, "log_loss"),
        ("regression", peer.root_mean_squared_error, "rmse"),
    ],
)
def test_scikit_learns_functions_have_the_value_and_the_error_of_our_own(
    problem: str, function: Callable[..., float], built_in: str
) -> None:
    rows = answers(3_000, 2, problem)
    (own,) = read_metrics([function])

    found, known = own.measure(rows), measure_answers(rows)[built_in]

    assert found.value == pytest.approx(known.value, abs=1e-9)
    # 64 groups tell a standard error to 9%.
    low, high = interval(own, rows)
    least, most = bounds(rows)[built_in]
    assert high - low == pytest.approx(most - least, rel=0.4)


def test_a_function_is_judged_as_other_metrics_are_and_stands_where_they_stand(
    tmp_path: Path,
) -> None:
    reference = dl.Baseline.fit(flights(91, 1), **BINARY)  # Thirteen weeks, as the window is one.
    asked = {"profit": "acme_profit", "kappa": "cohen_kappa_score", "said": share_said}

    usual, worse = check(reference, asked), check(reference, asked, blind)
    worse.save(tmp_path)

    assert usual.kind == "model-quality"
    assert usual.passed
    assert all(of(usual)[name].bound is not None for name in asked)
    assert {name: severities(worse).get(name) for name in asked} == dict.fromkeys(asked, "ticket")
    assert of(worse)["kappa"].operator == "LessThanThreshold"
    assert of(worse)["said"].operator == "LessThanThreshold"  # Of two sides, the one it went to.
    written = json.loads((tmp_path / "statistics.json").read_text())
    value = written["binary_classification_metrics"]["profit"]["value"]
    assert value == of(worse)["profit"].value
    assert {"profit", "profit_std"} <= {one.name for one in worse.points}


def test_a_function_knows_how_days_differ_as_its_built_in_twin_does() -> None:
    def hits(labels: np.ndarray, predictions: np.ndarray) -> float:
        return float(np.mean(labels == predictions))

    hits.greater_is_better = True  # type: ignore[attr-defined]
    rng = np.random.default_rng(4)
    right = 1 / (1 + np.exp(-(1.5 + 0.15 * rng.normal(size=31))))

    def rows(days: slice) -> pd.DataFrame:
        chance = np.repeat(right[days], 400)
        label = rng.integers(0, 2, len(chance))
        said = np.where(rng.random(len(chance)) < chance, label, 1 - label)
        times = pd.date_range("2026-01-01", periods=len(right) * 400, freq="216s", tz="UTC")
        at = times[days.start * 400 : days.stop * 400]
        return pd.DataFrame({"y": label, "p": said, "at": at})

    baseline = dl.Baseline.fit(
        rows(slice(0, 30)), timestamp="at", label="y", prediction="p", positive=1, metrics=[hits]
    )
    found = of(dl.check(rows(slice(30, 31)), baseline, kind="model-quality"))

    assert found["hits"].bound == pytest.approx(found["accuracy"].bound, abs=0.01)


def test_a_function_that_fails_says_so_and_harms_no_other(reference: dl.Baseline) -> None:
    def careless(labels: np.ndarray, predictions: np.ndarray) -> float:
        labels[:] = predictions[:] = 0
        raise ValueError("no luck")

    def words(labels: np.ndarray, predictions: np.ndarray) -> object:
        return "good"

    def leaves(labels: np.ndarray, predictions: np.ndarray) -> object:
        raise SystemExit(3)

    def endless(labels: np.ndarray, predictions: np.ndarray) -> object:
        return 10**400

    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError

        __repr__ = __str__

    def mute(labels: np.ndarray, predictions: np.ndarray) -> object:
        raise SilentError

    def shapeless(labels: np.ndarray, predictions: np.ndarray) -> object:
        return SilentError()

    broken = [careless, words, leaves, endless, mute, shapeless]
    plain, found = check(reference, [profit]), check(reference, [*broken, profit])

    notes = {one.__name__: of(found)[one.__name__].why for one in broken}
    assert notes == {
        "careless": "careless failed: ValueError: no luck",
        "words": "words failed: it returned 'good'; expected a number",
        "leaves": "leaves failed: SystemExit: 3",
        "endless": "endless failed: OverflowError: int too large to convert to float",
        "mute": "mute failed: SilentError",
        "shapeless": "shapeless failed: ValueError: ",
    }
    assert [of(found)[one.name] for one in plain.metrics] == [*plain.metrics]


def test_a_sum_a_maximum_and_what_needs_every_row_are_not_judged(reference: dl.Baseline) -> None:
    def total(labels: np.ndarray, predictions: np.ndarray) -> float:
        return float(labels.sum())

    def largest(labels: np.ndarray, predictions: np.ndarray, scores: np.ndarray) -> float:
        return float(scores.max())

    def whole(labels: np.ndarray, predictions: np.ndarray) -> float:
        if len(labels) not in (25_200, 2_100):
            raise ValueError("all of them")
        return float(labels.mean())

    found = of(check(reference, [total, largest, whole, profit]))

    why = {name: found[name].why.partition(": ")[2] for name in ("total", "largest", "whole")}
    assert why == {
        "total": "the value grows with their number; return a mean, not a sum",
        "largest": "a few of them make most of its variance",
        "whole": "without some it fails",
    }
    assert not any(found[name].judged for name in why)
    assert found["profit"].judged


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "metrics 3; expected a function"),
        ([3], "metric 3; expected a function"),
        (lambda a, b: 0, "no name for a metric"),
        ([profit, profit], '"profit" is given twice'),
        ("acme_profits", 'did you mean "acme_profit"'),
        ("acme_nothing", "acme_metrics:nothing is no function"),
        ("acme_gone", "acme_metrics:gone cannot be loaded"),
        ("acme_profit=more", "expected =higher or =lower"),
        ("gone.py:profit", "gone.py cannot be read"),
        ([peer.log_loss], 'metric "log_loss": driftline has one of this name'),
    ],
)
def test_metrics_that_are_none_are_refused(
    reference: dl.Baseline, given: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check(reference, given)


@pytest.mark.full
def test_a_baseline_keeps_the_names_and_finds_again_what_can_be_found(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODULE.replace("acme_profit", "gain"))
    asked = [mean_score, f"{file}:gain", "acme_profit"]
    made = dl.Baseline.fit(flights(28, 1), metrics=asked, **BINARY)
    made.save(tmp_path / "baseline")

    fresh = dl.check(flights(7, 2), made, kind="model-quality")
    again = dl.check(flights(7, 2), str(tmp_path / "baseline"), kind="model-quality")
    given = dl.check(flights(7, 2), str(tmp_path / "baseline"), metrics=[mean_score])

    assert of(fresh)["mean_score"].operator
    assert of(again)["mean_score"].why.startswith('metric "mean_score": no such metric')
    for one in (fresh, given):
        assert of(one)["mean_score"].reference == pytest.approx(0.283, abs=0.01)
        assert of(one)["gain"].value == of(again)["gain"].value
    assert of(again)["gain"].value == of(again)["acme_profit"].value
