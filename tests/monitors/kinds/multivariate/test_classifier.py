"""The domain classifier: finds any change, and no day that is a day like others."""

from collections.abc import Callable

import numpy as np
import pytest

from driftline.monitors.kinds.multivariate.classifier import judge_domain

NAMES = ("a", "b", "c")
ALPHA = 0.2 / 365


def rows(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 3))
    found[:, 1] += shift
    return found.astype(np.float32)


def test_a_change_of_form_is_found_by_its_column() -> None:
    window = rows(1_500, 1)
    window[:, 2] = np.where(window[:, 2] > 0, 1, -1) * np.abs(window[:, 0])  # Same scale.

    found = judge_domain(NAMES, rows(4_000, 0), window, np.full(4_000, -1), alpha=ALPHA)

    assert found.drifted
    assert {name for name, _ in found.columns[:2]} == {"a", "c"}
    assert found.low < found.auc < found.high
    assert found.p_value < ALPHA


def test_a_shift_has_the_auc_of_theory() -> None:
    found = judge_domain(
        NAMES, rows(8_000, 0), rows(8_000, 1, 1.0), np.full(8_000, -1), alpha=ALPHA
    )

    # Two normals one deviation apart: AUC = Phi(1 / sqrt 2) = 0.760 for the best of classifiers.
    assert found.auc == pytest.approx(0.760, abs=0.02)


def test_rows_that_are_all_told_apart_leave_some_doubt() -> None:
    found = judge_domain(NAMES, rows(250, 0), rows(250, 1, 100.0), np.full(250, -1), alpha=ALPHA)

    assert found.auc == found.high == 1.0
    # Of 125 rows on either side that were asked about, one in 42 may be like the others (3 / 125).
    assert 0.95 < found.low < 0.99


def test_rows_alike_are_not_told_apart_in_6_windows() -> None:
    reference, none = rows(2_000, 0), np.full(2_000, -1)
    found = [judge_domain(NAMES, reference, rows(400, 1 + at), none, alpha=0.01) for at in range(6)]

    # Hoeffding's bound is far from sharp: one in 6 would be a surprise, two do not happen.
    assert sum(one.drifted for one in found) <= 1


def test_days_that_differ_are_told_apart_and_are_no_change() -> None:
    rng = np.random.default_rng(7)
    shifts = rng.normal(size=12)
    reference = np.vstack([rows(250, at, shift) for at, shift in enumerate(shifts)])
    blocks = np.repeat(np.arange(12), 250)

    found = judge_domain(NAMES, reference, rows(400, 50, 1.0), blocks, alpha=0.01)

    assert found.auc > 0.6
    assert not found.drifted
    assert found.blocks == 12


def correlated(count: int, seed: int, rho: float) -> np.ndarray:
    found = rows(count, seed)
    found[:, 1] = rho * found[:, 0] + np.sqrt(1 - rho**2) * found[:, 1]
    return found


def keeping(
    made: dict[object, np.ndarray],
) -> Callable[[tuple[object, ...], Callable[[], np.ndarray]], np.ndarray]:
    """Keep what is learnt of a reference's blocks for its further windows, as a monitor does."""
    return lambda key, make: made[key] if key in made else made.setdefault(key, make())


def test_days_that_are_alike_cost_a_large_window_no_power() -> None:
    reference, blocks = correlated(4_000, 0, 0.8), np.repeat(np.arange(16), 250)
    windows = correlated(3_000, 1, 0.6), correlated(3_000, 2, 0.8)
    keep = keeping({})

    found, alike = (
        judge_domain(NAMES, reference, one, blocks, alpha=0.01, keep=keep) for one in windows
    )

    # 250 rows, as many as a day of the reference has, show hardly anything of it: an AUC of 0.53.
    assert found.drifted
    assert found.auc > 0.56
    assert alike.auc < 0.52
    assert not alike.drifted


def test_days_that_differ_in_each_column_are_no_change_for_a_large_window() -> None:
    rng = np.random.default_rng(7)
    days = [rows(250, at) + rng.normal(0.0, 0.15, 3) for at in range(14)]
    reference, blocks = np.vstack(days).astype(np.float32), np.repeat(np.arange(14), 250)
    windows = [rows(3_000, 90 + at) + rng.normal(0.0, 0.15, 3) for at in range(2)]
    keep = keeping({})

    found = [
        judge_domain(NAMES, reference, one.astype(np.float32), blocks, alpha=0.01, keep=keep)
        for one in windows
    ]

    assert max(one.auc for one in found) > 0.55
    assert not any(one.drifted for one in found)


def test_blocks_of_a_reference_are_told_apart_once_for_many_windows() -> None:
    reference, blocks = correlated(1_000, 0, 0.8), np.repeat(np.arange(5), 200)
    windows = [correlated(200, 1, 0.6), correlated(400, 2, 0.8)]
    made: dict[object, np.ndarray] = {}
    keep = keeping(made)

    found = [judge_domain(NAMES, reference, one, blocks, alpha=0.01, keep=keep) for one in windows]

    assert len(made) == 1
    assert found[1] == judge_domain(NAMES, reference, windows[1], blocks, alpha=0.01)


def test_what_only_its_day_has_is_told_apart_and_no_change() -> None:
    def day(count: int, seed: int) -> np.ndarray:
        """Return rows of which one in eight has a value of this day alone."""
        found, rng = rows(count, seed), np.random.default_rng(seed)
        found[: count // 8, 2] = rng.uniform(-3, 3) + rng.normal(0, 0.01, count // 8)
        return rng.permutation(found).astype(np.float32)

    reference = np.vstack([day(250, at) for at in range(14)])

    found = judge_domain(
        NAMES, reference, day(3_000, 77), np.repeat(np.arange(14), 250), alpha=0.01
    )

    assert found.auc > 0.54
    assert not found.drifted


def test_days_that_are_always_told_apart_leave_nothing_to_find() -> None:
    # As with a number of the batch: each day has values that no other has.
    reference = np.vstack([rows(250, at, 10.0 * (at % 7 * 2 - at)) for at in range(12)])
    blocks = np.repeat(np.arange(12), 250)

    found = judge_domain(NAMES, reference, rows(400, 50, 200.0), blocks, alpha=ALPHA)

    assert found.usual > 0.95
    assert found.auc == 1.0
    assert not found.drifted
    assert found.p_value > ALPHA
    assert found.bound == 1.0


def test_the_same_question_has_the_same_answer() -> None:
    asked = (NAMES, rows(1_000, 0), rows(500, 1, 0.5), np.full(1_000, -1))

    assert judge_domain(*asked, alpha=ALPHA, seed=3) == judge_domain(*asked, alpha=ALPHA, seed=3)


def test_blocks_of_few_sampled_rows_are_no_measure() -> None:
    blocks = np.repeat(np.arange(40), 25)

    assert judge_domain(NAMES, rows(1_000, 0), rows(500, 1), blocks, alpha=ALPHA) is None


def test_too_few_rows_are_not_judged() -> None:
    assert (
        judge_domain(NAMES, rows(1_000, 0), rows(150, 1), np.full(1_000, -1), alpha=ALPHA) is None
    )
