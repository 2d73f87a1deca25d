"""Labels that are a chosen sample of a group's rows are no ground to call it treated otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.bias.facet_counts import labelled_count
from driftline.monitors.kinds.bias.labels import fairly_labelled
from driftline.monitors.kinds.bias.plan import plan_of
from driftline.monitors.report.report import Report
from driftline.monitors.results.label_sample import ALL_LABELS, LabelSample
from tests.monitors.kinds.bias.cases import metric, sample, unfair, with_column

LABELLED = ("RD", "SD")


def labelled(table: pa.Table, has_label: np.ndarray) -> pa.Table:
    return with_column(table, "income", pa.array(table["income"].to_numpy(), mask=~has_label))


def ask(table: pa.Table, reference: Baseline) -> Report:
    return check(table, reference, kind="bias")


def men(table: pa.Table) -> np.ndarray:
    return np.array(table["sex"].to_pylist()) == "Male"


def of_accepted_men(table: pa.Table) -> np.ndarray:
    """Whether a refused man would have paid is never known; all women's outcomes are."""
    refused = men(table) & (table["predicted"].to_numpy() == 0)
    return ~refused | (np.random.default_rng(3).random(len(table)) < 0.1)


def test_labels_chosen_by_the_answer_violate_no_metric_of_labels(reference: Baseline) -> None:
    table = sample(6_000, 4)

    report = ask(labelled(table, of_accepted_men(table)), reference)

    for name in LABELLED:
        note = metric(report, name).note
        assert note.startswith("unrepresentative_labels: all but sex = Female: ")
        assert "% of the rows have labels, their share predicted as " in note
    assert metric(report, "DPPL").judged  # Which needs none.
    assert not report.violations
    assert report.details["withheld_violations"]
    assert not report.decided
    assert report.summary.startswith("6,000 rows; bias by labels was not judged because")


@pytest.mark.parametrize("seed", range(3))
def test_labels_at_random_or_of_one_group_more_often_are_judged(
    reference: Baseline, seed: int
) -> None:
    """More labels of one group say nothing of its recall."""
    table, rng = sample(6_000, seed), np.random.default_rng(seed)

    report = ask(labelled(table, rng.random(6_000) < np.where(men(table), 0.9, 0.5)), reference)

    assert all(metric(report, name).judged for name in LABELLED)
    assert report.passed


def test_labels_in_order_of_time_are_judged(reference: Baseline) -> None:
    table = sample(6_000, 5)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = pa.array([start + timedelta(minutes=at) for at in range(6_000)])
    table = table.append_column("event_time", times)

    report = ask(labelled(table, np.arange(6_000) < 4_000), reference)

    assert all(metric(report, name).judged for name in LABELLED)


def test_bias_that_no_missing_label_could_mend_stays_a_violation(reference: Baseline) -> None:
    table = unfair(12_000)
    lacks = (table["predicted"].to_numpy() == 1) & (np.random.default_rng(6).random(12_000) < 0.04)

    report = ask(labelled(table, ~lacks), reference)

    assert metric(report, "RD").violated


def test_labels_that_come_as_in_the_reference_are_judged() -> None:
    table = sample(12_000, 7)
    chosen = labelled(table, of_accepted_men(table))
    baseline = Baseline.fit(
        chosen, label="income", prediction="predicted", positive=1, facet="sex=Female"
    )
    window = sample(6_000, 8)

    report = ask(labelled(window, of_accepted_men(window)), baseline)

    assert all(metric(report, name).judged for name in LABELLED)


def test_documents_alone_are_guarded_too(reference: Baseline) -> None:
    alone = replace(reference, outcomes=None)
    table = sample(6_000, 4)

    report = check(
        labelled(table, of_accepted_men(table)), alone, kind="bias",
        label="income", prediction="predicted", positive=1, facet="sex=Female",
    )  # fmt: skip

    assert metric(report, "SD").note.startswith("unrepresentative_labels: ")


def test_spans_of_windows_add_up_no_labels_that_are_a_chosen_sample(reference: Baseline) -> None:
    assert reference.outcomes is not None
    plan = plan_of(reference, reference.outcomes.roles)
    [facet] = plan.counted

    chosen = fairly_labelled(plan, plan.reference, [LabelSample(chance=1e-9)])

    assert labelled_count(chosen) == 0
    assert np.array_equal(
        chosen[facet].counts.sum(axis=2), plan.reference[facet].counts.sum(axis=2)
    )
    assert fairly_labelled(plan, plan.reference, [ALL_LABELS]) == plan.reference
