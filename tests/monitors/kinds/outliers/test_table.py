"""``outlier_scores``: a score and a reason for each row, in its order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.store import Baseline


def people(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    height = random.normal(170.0, 9.0, rows)
    return pd.DataFrame(
        {
            "height": height,
            "weight": 0.9 * (height - 100.0) + random.normal(0.0, 4.0, rows),
            "town": np.array(["Bern", "Basel", "Chur"])[random.integers(0, 3, rows)],
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(people(20_000, seed=1))


def test_each_row_has_a_score_in_its_place(baseline: Baseline) -> None:
    frame = people(1_000, seed=2)
    frame.loc[500, "height"] = 1_700.0

    found = dl.outlier_scores(frame, baseline).to_pandas()

    assert list(found.columns) == ["outlier_score", "is_outlier", "reason"]
    assert len(found) == 1_000
    assert found["is_outlier"].idxmax() == 500
    assert found["outlier_score"].idxmax() == 500
    assert (found.loc[~found["is_outlier"], "reason"] == "").all()


def test_the_reason_names_the_column_that_is_beyond_the_reference(baseline: Baseline) -> None:
    frame = people(10, seed=3)
    frame.loc[3, "weight"] = 5_000.0

    reason = dl.outlier_scores(frame, baseline).column("reason")[3].as_py()

    assert "weight above " in reason and "(beyond the reference)" in reason
    assert "5000" not in reason
