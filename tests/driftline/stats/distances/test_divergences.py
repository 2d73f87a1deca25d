"""Distances against independent numbers: Deequ's own regression tests and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline.stats.distances.counts import EmptyDistributionError
from driftline.stats.distances.curves import cdf_distance
from driftline.stats.distances.deequ import chi_squared, robust
from driftline.stats.distances.divergences import (
    chi_square,
    hellinger_square,
    jensen_shannon,
    jensen_shannon_distance,
    kullback_leibler,
    population_stability,
)

counts = hnp.arrays(np.int64, 12, elements=st.integers(1, 1000))
samples = hnp.arrays(np.float64, st.integers(2, 60), elements=st.integers(-20, 20).map(float))


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


@given(samples, st.integers(2, 5))
def test_weights_stand_for_repeated_values(values, times) -> None:
    other = np.arange(10.0)

    found = cdf_distance(values, other, reference_weights=np.full(values.size, times))

    assert found == pytest.approx(cdf_distance(np.repeat(values, times), other), abs=1e-12)


@given(counts, counts)
def test_jensen_shannon_distance_is_scipys_in_base_two(first, second) -> None:
    found = jensen_shannon_distance(first, second, corrected=False)

    assert found == pytest.approx(jensenshannon(first, second, base=2), abs=1e-7)


def test_stability_of_equal_samples_has_the_published_mean_and_corrected_hardly_any() -> None:
    rng = np.random.default_rng(7)
    flat = [1 / 20] * 20
    pairs = [(rng.multinomial(500, flat), rng.multinomial(300, flat)) for _ in range(300)]

    plain = np.mean([population_stability(a, b, corrected=False) for a, b in pairs])

    # the mean without drift is (k - 1)(1/n + 1/m); 5 sd of 300 draws.
    assert plain == pytest.approx(19 * (1 / 500 + 1 / 300), rel=0.12)
    assert np.mean([population_stability(a, b, corrected=True) for a, b in pairs]) < plain / 2


def test_no_rows_give_an_error_and_no_zero() -> None:
    with pytest.raises(EmptyDistributionError):
        jensen_shannon_distance([0, 0], [1, 2], corrected=False)
    with pytest.raises(EmptyDistributionError):
        cdf_distance([], [1.0])


@given(counts, counts)
def test_the_divergences_are_scipys(first, second) -> None:
    p, q = ((one + 0.5) / (one + 0.5).sum() for one in (first, second))

    assert kullback_leibler(first, second) == pytest.approx(stats.entropy(q, p), abs=1e-12)
    both_ways = stats.entropy(q, p) + stats.entropy(p, q)
    assert population_stability(first, second) == pytest.approx(both_ways, abs=1e-12)
    distance = jensenshannon(first, second)
    assert jensen_shannon(first, second) == pytest.approx(distance**2, abs=1e-9)


@given(counts, counts)
def test_chi_square_is_scipys_of_the_table(first, second) -> None:
    expected = stats.chi2_contingency([first, second], correction=False)

    assert chi_square(first, second) == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)


@given(counts, counts)
def test_hellinger_is_one_minus_the_affinity(first, second) -> None:
    affinity = np.sqrt(first / first.sum() * second / second.sum()).sum()

    assert hellinger_square(first, second) == pytest.approx(1 - affinity, abs=1e-12)


@given(counts, counts)
def test_ranges_symmetry_and_zero_for_equals(first, second) -> None:
    for measure, most in (
        (population_stability, np.inf),
        (jensen_shannon, np.log(2)),
        (hellinger_square, 1.0),
        (chi_square, np.inf),
    ):
        assert 0.0 <= measure(first, second) <= most
        assert measure(first, second) == pytest.approx(measure(second, first), abs=1e-9)
        assert measure(first, first) == pytest.approx(0.0, abs=1e-12)
    assert jensen_shannon([5, 0], [0, 3]) == pytest.approx(np.log(2))
    assert hellinger_square([5, 0], [0, 3]) == 1.0
