"""How seldom a number is: against the laws that the sample was drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from driftline.monitors.kinds.outliers.rarity import fit_rarity

LAWS = {
    "one column": stats.expon(),
    "twenty columns": stats.gamma(20),
    "twenty columns that are one": stats.expon(scale=20),
    "distance of sixteen": stats.gamma(8),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize("rows", [300, 20_000])
def test_a_rarity_is_rarely_said_to_be_greater_than_it_is(
    law: stats.rv_continuous, rows: int
) -> None:
    wanted = np.log(10_000)
    shares = []
    for seed in range(60):
        rarity = fit_rarity(law.rvs(rows, random_state=seed))
        values = np.linspace(law.isf(0.5), 4 * law.isf(1e-6), 100_000)
        shares.append(law.sf(values[np.searchsorted(rarity.of(values), wanted)]))

    # 95 of 100 samples shall keep the promise; of 60, with these laws and seeds, 54 at least.
    assert np.count_nonzero(np.array(shares) <= 1e-4) >= 54
    assert rows < 20_000 or np.median(shares) > 2e-5  # And not by being blind.


def test_within_the_sample_it_is_counted() -> None:
    values = stats.expon().rvs(20_000, random_state=1)
    rarity = fit_rarity(values)

    for share in (0.5, 0.1, 0.02):
        at = np.quantile(values, 1 - share)
        assert rarity.of(np.array([at]))[0] == pytest.approx(-np.log(share), abs=0.01)


def test_it_rises_with_the_number() -> None:
    rarity = fit_rarity(stats.gamma(3).rvs(5_000, random_state=2))

    found = rarity.of(np.linspace(-1, 100, 5_000))

    assert np.all(np.diff(found) >= 0)
    assert found[0] == 0


def test_more_than_ever_is_as_rare_as_the_sample_can_say() -> None:
    """None of n rows: less than 3/n with 95% confidence, also where all share one number."""
    found = fit_rarity(np.zeros(3_000)).of(np.array([0.0, 1e-9]))

    np.testing.assert_allclose(found, [0.0, np.log(1_000)], atol=1e-6)


def test_a_group_of_odd_rows_is_as_rare_as_the_sample_has_it() -> None:
    """Twenty of 20,000 rows lie far out together: such are one in a thousand, not in a million."""
    usual = stats.gamma(10).rvs(19_980, random_state=3)
    for group in (np.full(20, 70.0), np.linspace(60.0, 80.0, 20)):
        found = fit_rarity(np.concatenate([usual, group])).of(group)

        assert found.max() < np.log(20_000) + 0.01
        assert np.median(found) == pytest.approx(np.log(1_000), abs=1.0)
