"""Labels that come by their outcome are no representative sample, unlike those at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.answers import Answers
from driftline.baseline.store import Baseline
from driftline.monitors.results import label_sample as samples
from driftline.monitors.results.label_sample import best_labels, label_sample
from tests.monitors.kinds.model_quality.cases import (
    BINARY,
    DAY_ROWS,
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


def scores(rows: int, rng: np.random.Generator, problem: str = "binary") -> Answers:
    """Rows of a day, whose scores hang on the hour, and on the request: four rows each."""
    hour = np.arange(rows) * 24 // rows
    logit = np.sin(hour / 4) + np.repeat(rng.normal(size=rows // 4), 4) + rng.normal(size=rows)
    chance = 1 / (1 + np.exp(-logit))
    times = np.arange(rows, dtype=np.int64) * (86_400_000_000 // rows)
    label = (rng.random(rows) < chance).astype(np.intp)
    said = (chance > 0.5).astype(np.intp) if problem == "binary" else np.exp(2.0 * logit)
    shown = chance if problem == "binary" else None
    return Answers(problem, label, said, ("0", "1"), shown, times, 0, np.arange(rows))


@pytest.mark.parametrize("come", [positives_first, of_low_scores])
def test_labels_that_come_by_outcome_or_score_violate_nothing(
    reference: Baseline, come: Come
) -> None:
    for seed in range(2):
        report = ask(reference, labelled(flights(7, 60 + seed), come, seed))

        assert not report.violations
        assert report.passed == ("withheld_violations" not in report.details)
    note = of(report)["auc"].note
    assert note.startswith("unrepresentative_labels: ")
    assert " of the rows have labels, their mean score is 0." in note
    why_not = "could not be judged (labels so far are not a representative sample"
    assert f"{why_not})" in report.unjudged_line
    assert f"{why_not}: " in report.unjudged_text
    assert of(report)["estimated_auc"].bound is not None  # Which is judged in their place.


def test_labels_of_one_class_alone_are_the_first_thing_that_is_told(reference: Baseline) -> None:
    report = ask(
        reference, labelled(flights(7, 64), lambda table, rng: table["late"].to_numpy() == 1)
    )

    why = report.details["sample_note"]
    assert 'a representative sample: all labels are "1"; in the reference ' in why
    assert " of the rows have labels, their mean score is 0." in why
    assert " metrics could be judged, no violations in them; " in report.headline
    assert f" metrics not judged because {why}" in report.headline
    assert f"; model quality was not judged because {why}" in report.summary


def lacks_some_high(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """As of flights that are cancelled in bad weather, and so never late."""
    return (table["chance"].to_numpy() < 0.5) | (rng.random(len(table)) < 0.7)


def test_a_quiet_week_with_nearly_all_labels_is_judged(
    reference: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = labelled(flights(7, 62), lacks_some_high)
    assert 0.9 < 1 - week["late"].null_count / len(week) < 0.97

    report = ask(reference, week)
    assert report.passed and report.decided
    assert of(report)["auc"].bound is not None

    monkeypatch.setattr(samples, "NEARLY_ALL", 1.0)
    assert of(ask(reference, week))["auc"].note.startswith("unrepresentative_labels: ")


def by_lot(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    columns["truth"] = rng.permutation(columns["truth"])


def lacks_few_high(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) > 0.2 * table["chance"].to_numpy()


def few_low(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(table)) < 0.3 * (1.0 - table["chance"].to_numpy()) ** 2


def test_a_loss_that_no_missing_label_could_mend_stays_a_violation(reference: Baseline) -> None:
    report = ask(reference, labelled(flights(28, 80, change=by_lot), lacks_few_high), days=28)

    assert report.page_count
    assert of(report)["auc"].severity == "page"
    assert of(report)["true_negative_rate"].note.startswith("unrepresentative_labels: ")


def test_a_loss_that_missing_labels_could_mend_is_undecided_not_passed(
    reference: Baseline,
) -> None:
    report = ask(reference, labelled(flights(7, 81, change=by_lot), few_low))

    assert not report.violations
    assert "auc" in report.details["withheld_violations"]
    assert of(report)["estimated_auc"].bound is not None  # Which passed.
    assert not report.decided
    assert not report.passed
    assert report.summary.startswith(
        "2,100 rows; model quality was not judged because the labels are not a representative "
        "sample: "
    )


def test_scores_that_call_no_row_positive_do_not_make_missing_labels_worse() -> None:
    """Frauds are rare: all missing ones of high scores taken for none would be a loss of AUC."""

    def rare(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        for name in columns:
            columns[name] = np.minimum(columns[name] - 1.5, -0.1)

    def low(table: pa.Table, rng: np.random.Generator) -> np.ndarray:
        return table["chance"].to_numpy() < 0.1

    baseline = Baseline.fit(flights(REFERENCE_DAYS, 1, change=rare), **BINARY)

    report = ask(baseline, labelled(flights(28, 82, change=rare), low), days=28)

    assert "auc" in report.details["withheld_violations"]
    assert not report.page_count


def test_best_labels_of_numbers_are_the_predictions_and_keep_those_that_came() -> None:
    every = scores(240, np.random.default_rng(4), "regression")
    came = every.take(np.arange(100))

    (found,) = best_labels(replace(every, label=np.zeros(240)), came)

    assert np.array_equal(found.label[:100], came.label)
    assert np.array_equal(found.label[100:], every.answer[100:])


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


@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("by", [1, 4])
def test_few_windows_wait_whose_labels_lack_at_random(problem: str, by: int) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        every = scores(240, rng, problem)
        has_label = np.repeat(rng.random(240 // by) < 0.3, by)  # Of single rows, of whole requests.
        found.append(label_sample(every, every.take(has_label), None).chance)

    # No more than 5% have a chance below 5%: 34 of 300 and more, one in a million.
    assert stats.binom.sf(33, 300, 0.05) < 1e-5
    assert np.sum(np.array(found) < 0.05) < 34


@pytest.mark.parametrize("days", [7, 28])
def test_labels_of_the_same_hours_of_each_day_are_a_chosen_sample(days: int) -> None:
    """An annotator's hours, 9 to 17: the night's rows never get a label."""
    every = scores(240 * days, np.random.default_rng(5))
    times = np.arange(len(every), dtype=np.int64) * (86_400_000_000 // 240)
    hour = times // 3_600_000_000 % 24
    at_night = (hour < 9) | (hour >= 17)
    by_hour = np.where(at_night, 0.7, 1.0) * every.probability
    at_work = replace(every, time_us=times)

    same = label_sample(at_work, at_work.take(~at_night), None)
    other = replace(at_work, probability=by_hour)
    different = label_sample(other, other.take(~at_night), None)
    as_usual = label_sample(other, other.take(~at_night), other.take(~at_night))

    assert same.chance > 0.01
    assert different.is_unfair(violated=False)
    assert not as_usual.is_unfair(violated=True)  # As they came in the reference.


def test_an_outcome_that_comes_first_is_told_without_scores() -> None:
    rng = np.random.default_rng(3)
    every = scores(DAY_ROWS * 4, rng, "regression")
    has_label = rng.random(len(every)) < np.where(every.label == 1, 0.6, 0.1)

    found = label_sample(every, every.take(has_label), every)

    assert found.chance < 1e-6
    assert "their mean prediction is" in found.words
