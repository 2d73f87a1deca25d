"""Losses of a regression without labels: predicted from the inputs, and beside labels that came.

What is expected is known by construction: errors are normal, three times as large in one group.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.report.report import Report
from tests.monitors.kinds.model_quality.cases import of

KIND = "model-quality"


def values(rows: int, seed: int, *, spread: float = 1.0) -> pa.Table:
    """A regression whose errors are three times as large where g is b."""
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=rows), rng.choice(["a", "b"], rows)
    error = np.where(group == "b", 3.0, 1.0) * rng.normal(size=rows) * spread
    return pa.table({"x": x, "g": group, "y": x + error, "said": x})


@pytest.fixture(scope="module")
def of_values() -> Baseline:
    return Baseline.fit(values(8_000, 1), label="y", prediction="said", problem="regression")


def test_losses_are_predicted_from_the_inputs(of_values: Baseline) -> None:
    table = values(2_000, 2)
    hard = table.filter(pa.compute.equal(table["g"], "b"))

    report: Report = dl.check(hard.drop_columns(["y"]), of_values, kind=KIND)
    later: Report = dl.check(hard, of_values, kind=KIND)

    estimate, realised = of(report)["estimated_mae"], of(later)["mae"].value
    # The mean of |N(0, 3)|.
    assert estimate.value == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.05)
    assert estimate.low < realised < estimate.high
    assert not report.violations
    assert "estimated_mae" not in of(later)  # Labels say more.
