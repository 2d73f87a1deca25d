"""Labels that come by their outcome are no representative sample, unlike those at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from tests.monitors.kinds.model_quality.cases import (
    BINARY,
    REFERENCE_DAYS,
    ask,
    flights,
    of,
)

Come = Callable[[pa.Table, np.random.Generator], np.ndarray]


def positives_first(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) < np.where(table["late"].to_numpy() == 1, 0.5, 0.05)


def of_low_scores(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """Whom the model refused never gets an outcome."""
    return table["chance"].to_numpy() < 0.3


def at_random(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) < 0.12


def in_order(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return np.arange(len(table)) < len(table) * 0.7


def labelled(table: pa.Table, come: Come, seed: int = 0) -> pa.Table:
    has_label = come(table, np.random.default_rng(seed))
    late = pa.array(table["late"].to_numpy(), mask=~has_label)
    return table.set_column(table.column_names.index("late"), "late", late)


@pytest.mark.full
@pytest.mark.parametrize(
    "come", [positives_first, pytest.param(of_low_scores, marks=pytest.mark.full)]
)
def test_labels_that_come_by_outcome_or_score_violate_nothing(
    reference: Baseline, come: Come
) -> None:
    for seed in range(2):
        report = ask(reference, labelled(flights(7, 60 + seed), come, seed))

        assert not report.violations
        assert not (report.passed and "withheld_violations" in report.details)
    auc = of(report)["auc"]
    assert auc.state == "unrepresentative_labels"
    assert " of the rows have labels, their mean score is 0." in auc.why
    why_not = "could not be judged (labels so far are not a representative sample"
    assert f"{why_not})" in report.unjudged_line
    assert f"{why_not}: " in report.unjudged_text


def by_lot(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    columns["truth"] = rng.permutation(columns["truth"])


def lacks_few_high(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) > 0.2 * table["chance"].to_numpy()


def few_low(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) < 0.3 * (1.0 - table["chance"].to_numpy()) ** 2


@pytest.mark.full
def test_a_loss_that_no_missing_label_could_mend_stays_a_violation(reference: Baseline) -> None:
    report = ask(reference, labelled(flights(28, 80, change=by_lot), lacks_few_high), days=28)

    assert report.page_count
    assert of(report)["auc"].severity == "page"
    assert of(report)["true_negative_rate"].state == "unrepresentative_labels"


def test_a_loss_that_missing_labels_could_mend_is_undecided_not_passed(
    reference: Baseline,
) -> None:
    report = ask(reference, labelled(flights(7, 81, change=by_lot), few_low))

    assert not report.violations
    assert "auc" in report.details["withheld_violations"]
    assert not report.decided
    assert not report.passed
    assert report.summary.startswith("2,100 rows; nothing could be judged: ")
    assert "could not be judged (labels so far are not a representative sample: " in report.summary


@pytest.mark.parametrize("come", [at_random, in_order])
def test_labels_that_lack_at_random_or_are_to_come_judge_as_before(
    reference: Baseline, come: Come
) -> None:
    good = ask(reference, labelled(flights(7, 70), come))
    bad = ask(reference, labelled(flights(7, 71, change=by_lot), come))

    assert of(good)["auc"].judged
    assert of(good)["brier_skill"].judged
    assert bad.page_count


def test_labels_that_come_as_in_the_reference_are_judged() -> None:
    accepted = flights(REFERENCE_DAYS, 1)
    accepted = accepted.filter(pa.array(of_low_scores(accepted, np.random.default_rng(0))))
    baseline = Baseline.fit(accepted, **BINARY)

    report = ask(baseline, labelled(flights(7, 72), of_low_scores))

    assert of(report)["auc"].judged
    assert report.passed
