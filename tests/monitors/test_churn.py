"""A published job of SageMaker, told again: 60 violations in 1,977 requests, texts and all.

Source: amazon-sagemaker-examples, sm-model_monitor_introduction (files in fixtures/monitors,
Apache-2.0; the telecom churn set of Larose, Discovering Knowledge in Data). Its printed result:
"CompletedWithViolations: Job completed successfully with 60 violations."
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "monitors"
# The same job is told again with compat in every run (sagemaker/test_evaluation.py).
pytestmark = pytest.mark.full
TEXT = (
    "Data type match requirement is not met. Expected data type: Integral, "
    "Expected match: 100.0%. Observed: Only {}% of data is Integral."
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    rows = (FIXTURES / "test-dataset-input-cols.csv").read_text().split()
    traffic = rows[:180] + 5 * rows + rows[:127]
    predictions = np.random.default_rng(0).uniform(0.01, 0.99, len(traffic))
    file = tmp_path_factory.mktemp("churn") / "traffic.csv"
    file.write_text(
        "".join(f"{p:.17f},{row}\n" for p, row in zip(predictions, traffic, strict=True))
    )
    assert len(rows) == 334
    assert len(traffic) == 1977
    return check(file, Baseline.fit(FIXTURES / "training-dataset-with-header.csv"))


def test_the_published_violations_are_found_with_their_exact_texts(report: Report) -> None:
    found = Counter(one.description for one in report.violations)

    assert found == {TEXT.format("99.64592817400101"): 59, TEXT.format("0.0"): 1}


def test_no_other_check_fires(report: Report) -> None:
    assert {one.constraint_check_type for one in report.violations} == {"data_type_check"}
    assert report.row_count == 1977


def test_the_prediction_is_most_to_blame(report: Report) -> None:
    assert report.violations[0].feature_name == "Churn"
    assert sum(one.share_of_blame for one in report.violations) == pytest.approx(1)


def test_the_rows_behind_a_type_violation_are_the_seven_that_hold_fractions(report: Report) -> None:
    violation = next(one for one in report.violations if one.feature_name == "State_AL")

    rows = report.rows(violation)

    assert violation.row_count == len(rows) == 7
    assert rows.columns[0] == "State_AL"
    assert [pointer["row"] for pointer in violation.first_rows] == [
        0, 180, 180 + 334, 180 + 2 * 334, 180 + 3 * 334, 180 + 4 * 334, 180 + 5 * 334,
    ]  # fmt: skip
