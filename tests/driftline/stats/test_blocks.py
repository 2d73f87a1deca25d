"""How blocks of a reference differ: nothing learnt from noise, what they share found."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.stats.blocks import laws_of_means


def test_rows_that_count_as_independent_have_the_normal_law() -> None:
    of_rows = np.full(2, 0.03)

    bound, variance, freedom = laws_of_means(np.zeros((1, 2)), np.ones((1, 2)), of_rows)

    assert bound.tolist() == variance.tolist() == of_rows.tolist()
    assert np.isinf(freedom).all()


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_variance_between_blocks_is_found(spread: float) -> None:
    rng = np.random.default_rng(4)
    blocks, size = 400, 200
    middles = 0.5 + spread * rng.choice([-1.0, 1.0], blocks) / 2
    hits = rng.binomial(size, middles).astype(np.float64)

    shares = hits / size
    usual = shares.mean() * (1 - shares.mean()) / size
    sums, counts = (hits - size * shares.mean())[:, None], np.full((blocks, 1), size)
    found = laws_of_means(sums, counts, np.zeros(1), usual * size)[1] / (1.0 + 1.0 / blocks)

    truth = (spread / 2) ** 2
    # Of 400 blocks chance moves it by 0.07 of the usual variance.
    assert float(found[0]) * usual * size == pytest.approx(truth, rel=0.25, abs=0.4 * usual)
