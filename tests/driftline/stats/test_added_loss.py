"""What each segment holds of the loss that a window has more than the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftline.stats.added_loss import added_loss


def sums(rows, rates):
    """Return the three sums of losses of 0 and 1."""
    wrong = np.asarray(rows, float) * np.asarray(rates, float)
    return np.stack([np.asarray(rows, float), wrong, wrong])


REFERENCE = sums([5_000] * 4, [0.02, 0.05, 0.10, 0.30])
USUAL = float(REFERENCE[1].sum() / REFERENCE[0].sum())


def test_a_segment_that_was_always_hard_holds_nothing_of_what_an_easy_one_added() -> None:
    found = added_loss(sums([1_250] * 4, [0.12, 0.05, 0.10, 0.30]), REFERENCE, USUAL, effect=1.0)

    assert found.share == pytest.approx([1, 0, 0, 0], abs=0.01)
    assert found.stands(4).tolist() == [True, False, False, False]
    assert abs(found.rest[0]) < 0.1


@pytest.mark.parametrize("rates", [[0.06, 0.09, 0.14, 0.34], [0.032, 0.08, 0.16, 0.48]])
def test_no_segment_stands_out_when_all_become_worse(rates) -> None:
    assert not added_loss(sums([1_250] * 4, rates), REFERENCE, USUAL, effect=1.0).stands(4).any()


def test_rows_that_share_their_fate_need_more_of_them() -> None:
    window = sums([150] * 4, [0.20, 0.05, 0.10, 0.30])

    assert added_loss(window, REFERENCE, USUAL, effect=1.0).stands(4)[0]
    assert not added_loss(window, REFERENCE, USUAL, effect=4.0).stands(4)[0]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.floats(0, 1), st.integers(0, 500), st.floats(0, 1)),
        min_size=2,
        max_size=6,
    ).filter(lambda found: sum(one[0] for one in found) > 0 < sum(one[2] for one in found)),
    st.floats(0.5, 100),
)
@example([(0, 0.0, 0, 0.0), (75, 0.8945864731812436, 334, 0.8945864731812436)], 100.0)
def test_shares_stay_shares_and_a_unit_of_loss_changes_nothing(found, unit) -> None:
    rows, rates, known, usual = map(np.array, zip(*found, strict=True))
    window, reference = sums(rows, rates), sums(known, usual)
    mean = float(reference[1].sum() / reference[0].sum())
    scale = np.array([[1.0], [unit], [unit**2]])

    plain = added_loss(window, reference, mean, effect=1.0)
    scaled = added_loss(window * scale, reference * scale, mean * unit, effect=1.0)

    assert ((plain.share >= 0) & (plain.share <= 1)).all()
    assert scaled.share == pytest.approx(plain.share, abs=1e-5)
