"""The judge of bench/real.py: it tells a segment that holds a change from one that does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from bench.segments import is_true_segment


def rows(seed: int, count: int = 4_000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": np.round(rng.gamma(2.0, 10.0, count), 2),
            "shop": rng.choice(["north", "south", "west", "east"], count),
        }
    )


@pytest.fixture(scope="module")
def found() -> tuple[dl.Violation, pd.DataFrame, pd.DataFrame]:
    """A violation of a window in which one shop sends a thousandfold, window and reference."""
    reference, window = rows(1), rows(2)
    window.loc[window["shop"] == "south", "amount"] *= 1000
    violations = dl.check(window, dl.Baseline.fit(reference)).violations
    violation = next(one for one in violations if one.feature_name == "amount")
    return violation, window, reference


def test_the_segment_that_changed_is_true(found) -> None:
    violation, window, reference = found

    assert violation.segment is not None
    assert violation.segment.level == "south"
    assert is_true_segment(violation, window, reference) == "true"


def test_a_segment_that_did_not_change_is_false(found) -> None:
    violation, window, reference = found
    other = replace(violation, segment=replace(violation.segment, level="west"))

    assert is_true_segment(other, window, reference) == "false"
