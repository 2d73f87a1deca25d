"""Wasserstein and energy distance against scipy; and their scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.stats import mstats

import driftline as dl
from driftline.monitors.distance import pair_of
from driftline.stats.distances.transport import mean_shift, robust_scale

values = hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e3, 1e3, width=32))


@settings(deadline=None)
@given(values, values)
def test_the_raw_distance_is_scipys(first, second) -> None:
    expected = stats.wasserstein_distance(first, second)

    found = dl.distance("wasserstein_raw", first, second)

    assert found.value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_winsorised_distance_is_scipys_of_clipped_values_over_the_robust_scale() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.standard_t(2, 5_000), rng.standard_t(2, 3_000) * 1.3
    low, high = np.quantile(first, [0.001, 0.999], method="inverted_cdf")
    quartiles = np.quantile(first, [0.25, 0.75], method="inverted_cdf")
    expected = stats.wasserstein_distance(first.clip(low, high), second.clip(low, high))

    found = dl.distance("wasserstein", first, second)

    assert found.value == pytest.approx(expected / (np.ptp(quartiles) / 1.349), rel=1e-9)
    assert found.unit == "sd"


def test_one_outlier_does_not_decide() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=2_000), rng.normal(size=2_000)
    spoilt = np.append(second[:-1], 1e9)

    assert dl.distance("wasserstein", first, spoilt).value < 0.1
    assert dl.distance("wasserstein_raw", first, spoilt).value > 1e5


@settings(deadline=None)
@given(values, values)
def test_energy_is_scipys_of_clipped_values_over_the_scale(first, second) -> None:
    low, high = np.quantile(first, [0.001, 0.999], method="inverted_cdf")
    if low == high:  # Nothing can be drawn in to one value.
        low, high = -np.inf, np.inf
    expected = stats.energy_distance(first.clip(low, high), second.clip(low, high))
    scale = robust_scale(pair_of(first, second).curves)

    found = dl.distance("energy", first, second)

    assert found.value == pytest.approx(expected / np.sqrt(scale or 1.0), rel=1e-6, abs=1e-6)


def test_the_scale_falls_back_where_quartiles_meet() -> None:
    def scale(values: np.ndarray) -> float | None:
        return robust_scale(pair_of(values, values).curves)

    rng = np.random.default_rng(1)
    normal = rng.normal(10, 3, 20_000)
    half = np.where(np.arange(1_000) < 900, 0.0, 5.0)
    few = np.where(np.arange(1_000) < 980, 0.0, 5.0)

    assert scale(normal) == pytest.approx(3.0, rel=0.03)
    assert mstats.mquantiles(half, [0.25, 0.75]).tolist() == [0.0, 0.0]
    assert scale(half) == pytest.approx(5.0 / 3.29)
    assert scale(few) == pytest.approx(np.std(few))
    assert scale(np.full(50, 7.0)) is None


def test_a_constant_reference_gives_the_columns_own_unit() -> None:
    found = dl.distance("wasserstein", np.full(50, 7.0), np.full(30, 9.5))

    assert (found.value, found.unit) == (2.5, "of the column")
    assert "no spread" in found.note
    assert dl.distance("wasserstein_raw", np.full(50, 7.0), np.full(30, 9.5)).value == 2.5
    # sqrt(2 x 2.5) of the integral over the gap of 1 between 7 and 9.5.
    energy = dl.distance("energy", np.full(50, 7.0), np.full(30, 9.5))
    assert energy.value == pytest.approx(np.sqrt(5.0))


def test_a_change_of_what_is_nearly_a_constant_is_no_zero() -> None:
    nearly = np.r_[np.full(9_999, 5.0), 6.0]

    assert dl.distance("wasserstein", nearly, np.full(100, 6.0)).value > 10
    assert dl.distance("energy", nearly, np.full(100, 6.0)).value > 1
    assert dl.distance("wasserstein", np.full(100, 5.0), np.full(100, 5.0)).value == 0.0


@given(values, values, st.floats(-100, 100), st.floats(0.01, 100))
@settings(deadline=None)
def test_the_scaled_distance_does_not_know_the_unit(first, second, shift, factor) -> None:
    first, second = np.round(first, 3), np.round(second, 3)
    before = dl.distance("wasserstein", first, second)
    after = dl.distance("wasserstein", first * factor + shift, second * factor + shift)

    if before.unit == after.unit == "sd":
        assert after.value == pytest.approx(before.value, rel=1e-5, abs=1e-6)


def test_a_shift_is_measured_with_its_sign() -> None:
    rng = np.random.default_rng(3)
    down = pair_of(rng.normal(size=2_000), rng.normal(-0.5, 1, 2_000))

    assert mean_shift(down.curves) == pytest.approx(-0.5, abs=0.1)


def test_values_too_far_apart_give_no_number() -> None:
    found = dl.distances([-1e308, 1e308], [1.0, 2.0])

    assert found["wasserstein_raw"].value is None
    assert "too far apart" in found["wasserstein_raw"].note
