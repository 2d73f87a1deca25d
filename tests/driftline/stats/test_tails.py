"""The scale of rows' tails, and the bound that it gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.stats.tails import bernstein_nats, bernstein_reach, tail_scale


def test_the_tails_scale_is_that_of_their_law() -> None:
    rng = np.random.default_rng(0)
    # E|x|^k = k! for Laplace's law, of variance 2: Bernstein's condition holds with a scale of 1.
    assert tail_scale(rng.laplace(size=400_000)) == pytest.approx(1.0, rel=0.15)
    # A coin's moments are all 1, of variance 1: a third, by the third of them.
    assert tail_scale(rng.choice([-1.0, 1.0], 1_000)) == pytest.approx(1.0 / 3.0)
    assert tail_scale(np.array([np.nan, 0.0])) == 0.0


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_the_tails_scale_is_at_most_a_third_of_the_largest_row(values: list[float]) -> None:
    found = np.array(values)

    assert tail_scale(found) <= np.abs(found).max() / 3.0 * (1.0 + 1e-9)


def test_bernsteins_bound_holds_for_means_of_rows_with_heavy_tails() -> None:
    # scipy's law of a sum of 300 exponential rows, against the bound from 20,000 drawn ones.
    rows = np.random.default_rng(1).exponential(size=20_000) - 1.0
    scale = tail_scale(rows) / 300

    for nats in (3.0, 9.0, 16.0):
        reach = bernstein_reach(np.exp(-nats), 1.0 / 300, scale)
        true = -stats.gamma.logsf(300 * (1.0 + reach), 300)

        assert true > nats
        assert bernstein_nats(reach, 1.0 / 300, scale) == pytest.approx(nats)
        # Without the tails' scale it would be too sure.
        plain = bernstein_reach(np.exp(-nats), 1.0 / 300, 0.0)
        assert -stats.gamma.logsf(300 * (1.0 + plain), 300) < nats
