"""Distances against independent numbers: Deequ's own regression tests and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline.monitors.distances import (
    EmptyDistributionError,
    cdf_distance,
    chi_squared,
    jensen_shannon_distance,
    kolmogorov_p_value,
    population_stability,
    robust,
    share_distance,
    total_variation,
    wasserstein,
)

counts = hnp.arrays(np.int64, 12, elements=st.integers(1, 1000))
samples = hnp.arrays(np.float64, st.integers(2, 60), elements=st.integers(-20, 20).map(float))


# awslabs/deequ, KLL/KLLDistanceTest.scala, categorical cases; levels a b c d e (f).
def test_simple_share_distance_gives_the_number_of_deequ() -> None:
    found = share_distance([10, 20, 25, 10, 5], [11, 20, 25, 10, 10])

    assert found == pytest.approx(0.06015037593984962, rel=1e-14)


def test_robust_share_distance_gives_the_number_of_deequ() -> None:
    simple = share_distance([10, 20, 25, 10, 5], [11, 20, 25, 10, 10])

    assert robust(simple, 70, 76) == 0.0


def test_share_distance_counts_a_level_that_only_one_side_has() -> None:
    found = share_distance([10, 20, 25, 10, 5, 0], [20, 0, 25, 10, 10, 11])

    # awslabs/deequ: {a10,b20,c25,d10,e5} against {a20,f11,c25,d10,e10}.
    assert found == pytest.approx(20 / 70, rel=1e-14)
    assert found == pytest.approx(0.2857142857142857, rel=1e-14)


def test_chi_squared_gives_the_p_value_of_deequ_with_a_level_missing_on_each_side() -> None:
    # Levels a b c d e f g; sample {a207,b20,c25,d14,e25,g13}, expected {a223,b20,c25,d12,e13,f15}.
    found = chi_squared([223, 20, 25, 12, 13, 15, 0], [207, 20, 25, 14, 25, 0, 13])

    assert found is not None
    assert found[0] == pytest.approx(28.175042782458068, rel=1e-12)
    assert found[1] == pytest.approx(3.364e-05, rel=1e-3)


def test_chi_squared_gives_the_p_value_of_deequ_on_common_levels() -> None:
    found = chi_squared([223, 20, 25, 12, 13], [207, 20, 25, 14, 25])

    assert found is not None
    assert found[1] == pytest.approx(0.013227994814265176, rel=1e-12)


def test_chi_squared_of_one_level_has_no_verdict() -> None:
    assert chi_squared([100, 1], [50, 0]) is None


def test_robust_distance_takes_off_the_sampling_noise() -> None:
    assert robust(0.5, 10_000, 200) == pytest.approx(0.5 - 1.8 * np.sqrt(1 / 10_000 + 1 / 200))


@given(samples, samples)
def test_cdf_distance_is_scipys_statistic_also_with_ties(first, second) -> None:
    expected = stats.ks_2samp(first, second, method="asymp").statistic

    assert cdf_distance(first, second) == pytest.approx(expected, abs=1e-12)


@given(samples, samples)
def test_wasserstein_is_scipys(first, second) -> None:
    expected = stats.wasserstein_distance(first, second)

    assert wasserstein(first, second) == pytest.approx(expected, abs=1e-9)


@given(samples, st.integers(2, 5))
def test_weights_stand_for_repeated_values(values, times) -> None:
    other = np.arange(10.0)

    found = cdf_distance(values, other, reference_weights=np.full(values.size, times))

    assert found == pytest.approx(cdf_distance(np.repeat(values, times), other), abs=1e-12)


@given(counts, counts)
def test_jensen_shannon_distance_is_scipys_in_base_two(first, second) -> None:
    found = jensen_shannon_distance(first, second, corrected=False)

    assert found == pytest.approx(jensenshannon(first, second, base=2), abs=1e-7)


@given(counts, counts)
def test_binned_distances_are_symmetric_and_zero_on_equal_shares(first, second) -> None:
    for distance in (share_distance, total_variation):
        assert distance(first, second) == pytest.approx(distance(second, first), abs=1e-12)
        assert distance(first, 3 * first) == pytest.approx(0, abs=1e-12)


def test_uncorrected_stability_of_equal_samples_grows_with_the_bins_and_corrected_does_not() -> (
    None
):
    rng = np.random.default_rng(7)
    pairs = [
        (rng.multinomial(500, [1 / 20] * 20), rng.multinomial(300, [1 / 20] * 20))
        for _ in range(300)
    ]

    plain = np.mean([population_stability(a, b, corrected=False) for a, b in pairs])

    # drift-methods.md section 3: the mean without drift is (k - 1)(1/n + 1/m); 5 sd of 300 draws.
    assert plain == pytest.approx(19 * (1 / 500 + 1 / 300), rel=0.12)
    assert np.mean([population_stability(a, b, corrected=True) for a, b in pairs]) < plain / 2


def test_kolmogorov_p_value_agrees_with_scipy() -> None:
    expected = stats.kstwo.sf(0.15, 120)

    assert kolmogorov_p_value(0.15, 240, 240) == pytest.approx(expected, rel=0.02)


def test_no_rows_give_an_error_and_no_zero() -> None:
    with pytest.raises(EmptyDistributionError):
        share_distance([0, 0], [1, 2])
    with pytest.raises(EmptyDistributionError):
        cdf_distance([], [1.0])
