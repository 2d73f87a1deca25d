"""The domain classifier: finds any change, and no day that is a day like others."""

import numpy as np
import pytest

from driftline.monitors.kinds.joint.classifier import judge_domain

NAMES = ("a", "b", "c")
ALPHA = 0.2 / 365


def rows(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 3))
    found[:, 1] += shift
    return found.astype(np.float32)


def test_a_shift_has_the_auc_of_theory() -> None:
    found = judge_domain(
        NAMES, rows(8_000, 0), rows(8_000, 1, 1.0), np.full(8_000, -1), alpha=ALPHA
    )

    # Two normals one deviation apart: AUC = Phi(1 / sqrt 2) = 0.760 for the best of classifiers.
    assert found.auc == pytest.approx(0.760, abs=0.02)


def test_rows_alike_are_not_told_apart_in_3_windows() -> None:
    reference, none = rows(2_000, 0), np.full(2_000, -1)
    found = [judge_domain(NAMES, reference, rows(400, 1 + at), none, alpha=0.01) for at in range(3)]

    # Hoeffding's bound is far from sharp: one in 3 would be a surprise, two do not happen.
    assert sum(one.drifted for one in found) <= 1


@pytest.mark.full
def test_days_that_differ_are_told_apart_and_are_no_change() -> None:
    rng = np.random.default_rng(7)
    shifts = rng.normal(size=8)
    reference = np.vstack([rows(125, at, shift) for at, shift in enumerate(shifts)])
    blocks = np.repeat(np.arange(8), 125)

    found = judge_domain(NAMES, reference, rows(200, 50, 1.0), blocks, alpha=0.01)

    assert found.auc > 0.6
    assert not found.drifted
    assert found.blocks == 8
