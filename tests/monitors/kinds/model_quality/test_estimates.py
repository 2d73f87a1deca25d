"""Quality without labels: what is estimated, how surely, when not at all, and beside its labels.

Golden numbers: NannyML 0.13.1, the functions ``estimate_…`` of its CBPE, of the same ten rows.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.answers import Answers
from driftline.baseline.estimation import EstimationRows
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.model_quality.estimates import expected_sums, learn_estimator
from driftline.monitors.kinds.model_quality.measures import measure_answers
from driftline.monitors.kinds.model_quality.metrics import QualityMetrics
from driftline.monitors.kinds.model_quality.sums import QualitySums
from tests.monitors.kinds.model_quality.cases import ask, flights, of

CHANCES = np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.55, 0.6, 0.8, 0.9, 0.97])


def answers(chance: np.ndarray, label: np.ndarray | None = None) -> Answers:
    rows = len(chance)
    several = chance.ndim == 2
    truth = np.zeros(rows, np.intp) if label is None else label.astype(np.intp)
    said = chance.argmax(axis=1) if several else (chance > 0.5).astype(np.intp)
    classes = tuple("abcdef"[: chance.shape[1]]) if several else ("0", "1")
    problem = "multiclass" if several else "binary"
    return Answers(problem, truth, said, classes, chance, None, 0, np.arange(rows))


def calibrated(rows: int, seed: int, *, error: float = 0.0) -> Answers:
    """Draw labels by the scores; with an error the scores say too much."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.0, 2.0, rows)
    return answers(chance ** (1.0 - error), rng.random(rows) < chance)


def nothing(rows: Answers) -> np.ndarray:
    return np.zeros((len(rows), 0))


def estimator_of(reference: Answers):
    return learn_estimator(EstimationRows({}, np.zeros(0)), pa.table({}), reference, timedelta(1))


def unlabelled(table: pa.Table) -> pa.Table:
    return table.drop_columns(["late"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auc", 0.8576915690416747),
        ("f1", 0.7701612903225805),
        ("precision", 0.764),
        ("recall", 0.7764227642276423),
        ("true_negative_rate", 0.767716535433071),
        ("accuracy", 0.772),
    ],
)
def test_expected_metrics_are_those_of_nannyml(name: str, expected: float) -> None:
    rows = answers(CHANCES)
    sums = QualitySums.of(rows)
    total = expected_sums(sums, rows, CHANCES, np.zeros(10, np.intp), 1)[0]
    metrics = QualityMetrics.of(sums, total, ())

    found = dict(zip(metrics.names, metrics.measure(total), strict=True))

    assert found[name] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("error", [pytest.param(0.0, marks=pytest.mark.full), 0.4])
def test_intervals_hold_what_labels_will_say(pytestconfig: pytest.Config, error: float) -> None:
    windows, too_few = (200, 168) if pytestconfig.getoption("full") else (60, 43)
    found = estimator_of(calibrated(6_000, 7, error=error))
    inside = {"accuracy": 0, "auc": 0, "recall": 0}
    for seed in range(windows):
        window = calibrated(600, 1_000 + seed, error=error)
        estimates = found.estimate(window, nothing(window))
        realised = measure_answers(window)
        for name in inside:
            inside[name] += estimates[name].low <= realised[name].value <= estimates[name].high

    # Of 200 at 95%, 168 and fewer have a chance below 1e-8; of 60, 43 and fewer.
    assert min(inside.values()) > too_few


def test_a_window_without_labels_shows_its_estimates_and_has_not_passed(
    reference: Baseline,
) -> None:
    report = ask(reference, unlabelled(flights(7, 20)))

    one = of(report)["estimated_auc"]
    assert not report.decided
    assert not report.violations
    assert one.low < 0.77 < one.high
    assert one.bound is None
    assert "none of the rows has a label yet; estimated without" in report.summary
    assert report.details["estimate_note"].startswith("estimated without labels: AUC 0.7")
    assert {one.name for one in report.points} >= {"estimated_auc", "estimated_recall"}
    assert "stimated without labels" in report.html()


def test_labels_stand_beside_the_estimates(reference: Baseline) -> None:
    report = ask(reference, flights(7, 22))

    beside = report.details["estimates"]["auc"]
    assert beside["realised"] == pytest.approx(of(report)["auc"].value)
    assert beside["low"] < beside["realised"] < beside["high"]
    assert not beside["contradicted"]
    assert of(report)["estimated_auc"].bound is None  # Labels are judged.
    assert "labels of 2,100 of 2,100 rows say 0.7" in report.details["estimate_note"]


def test_labels_that_contradict_an_estimate_are_marked_beside_it(reference: Baseline) -> None:
    def unrelated(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        rng.shuffle(columns["truth"])

    report = ask(reference, flights(7, 23, change=unrelated))

    beside = report.details["estimates"]["auc"]
    assert beside["contradicted"]
    assert beside["realised"] < 0.55 < beside["low"]
    assert report.details["estimate_note"].endswith("which contradicts the estimate")


def test_inputs_that_the_reference_never_had_are_not_estimated(reference: Baseline) -> None:
    table = unlabelled(flights(7, 24))
    strange = table.set_column(1, "origin", pa.array(["LAX"] * len(table)))

    report = ask(reference, strange)

    assert not report.decided
    assert report.summary == (
        "2,100 rows; nothing could be judged: none of the rows has a label yet; cannot estimate: "
        "100% of the rows have values that the reference never had, or lack some, most of them of "
        'origin; the data has no column "late"'
    )
    assert [one.name for one in report.unjudged] == ["estimated_auc"]


def test_a_few_labels_are_judged_beside_estimates_of_all_rows(reference: Baseline) -> None:
    table = flights(7, 25)
    late = table["late"].to_pylist()[:300] + [None] * (len(table) - 300)

    report = ask(reference, table.set_column(2, "late", pa.array(late)))

    assert of(report)["auc"].count <= 300
    assert of(report)["estimated_auc"].count == len(table)
