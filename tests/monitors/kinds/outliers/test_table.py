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


def test_the_reason_names_the_column_that_is_beyond_the_reference(baseline: Baseline) -> None:
    frame = people(10, seed=3)
    frame.loc[3, "weight"] = 5_000.0

    reason = dl.outlier_scores(frame, baseline).column("reason")[3].as_py()

    assert "weight above " in reason and "(beyond the reference)" in reason
    assert "5000" not in reason
