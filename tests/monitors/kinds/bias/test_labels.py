"""Labels that are a chosen sample of a group's rows are no ground to call it treated otherwise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from tests.monitors.kinds.bias.cases import metric, sample, with_column

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
        found = metric(report, name)
        assert found.state == "unrepresentative_labels"
        assert found.why.startswith("all but sex = Female: ")
        assert "% of the rows have labels, their share predicted as " in found.why
    assert metric(report, "DPPL").judged  # Which needs none.
    assert not report.violations
    assert report.details["withheld_violations"]
    assert not report.decided
    assert "labels so far are not a representative sample" in report.summary


@pytest.mark.parametrize("seed", range(3))
def test_labels_at_random_or_of_one_group_more_often_are_judged(
    reference: Baseline, seed: int
) -> None:
    """More labels of one group say nothing of its recall."""
    table, rng = sample(6_000, seed), np.random.default_rng(seed)

    report = ask(labelled(table, rng.random(6_000) < np.where(men(table), 0.9, 0.5)), reference)

    assert all(metric(report, name).judged for name in LABELLED)
    assert report.passed
