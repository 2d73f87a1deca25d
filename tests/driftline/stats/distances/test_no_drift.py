"""What the distances give where nothing changed, and where a known change is, by simulation.

Seeds are fixed. With R = 200 pairs a count of rare events is binomial; each limit is left by chance
with less than 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

import driftline as dl
from driftline.stats.distances.bins import Bins
from driftline.stats.distances.chances import parted
from driftline.stats.distances.chi_squared_family import measure_divergence
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.variation import largest_difference, total_variation

PAIRS = 200
MEASURES: dict[str, Callable[[Bins], Distance]] = {
    "psi": lambda bins: measure_divergence("psi", bins),
    "kl": lambda bins: measure_divergence("kl", bins),
    "js_divergence": lambda bins: measure_divergence("js_divergence", bins),
    "hellinger": lambda bins: measure_divergence("hellinger", bins),
    "total_variation": total_variation,
    "l_infinity": largest_difference,
}


def pairs(p, q, n: int, m: int) -> list[Bins]:
    rng = np.random.default_rng(11)
    return [
        Bins(rng.multinomial(n, p).astype(float), rng.multinomial(m, q).astype(float), "levels")
        for _ in range(PAIRS)
    ]


def rare_events(rate: float) -> float:
    """Return a count that is exceeded with a chance below 1e-6 at this rate."""
    return float(stats.binom.isf(1e-6, PAIRS, rate))


@pytest.mark.parametrize("name", MEASURES)
def test_corrected_values_are_near_zero_and_chances_are_honest(name: str) -> None:
    flat = np.full(20, 1 / 20)

    found = [MEASURES[name](one) for one in pairs(flat, flat, 1_000, 1_000)]

    # what is taken off is the mean, for a root that of its square.
    plain = np.mean([one.value for one in found])
    assert np.mean([one.corrected for one in found]) < 0.3 * plain
    for level in (0.05, 0.01):
        assert sum(one.p_value < level for one in found) <= rare_events(level)
    assert sum(one.lower > 1e-12 for one in found) <= rare_events(0.05)


def test_the_plain_values_have_the_published_means() -> None:
    flat = np.full(20, 1 / 20)
    both = pairs(flat, flat, 1_000, 1_000)
    expected = 19 * (1 / 1_000 + 1 / 1_000)

    # The mean of 200 chi-squares of 19 degrees, over 19, has the sd sqrt(2 / 19 / 200) = 2.3%.
    for name, factor in (("psi", 1.0), ("kl", 0.5), ("js_divergence", 1 / 8)):
        plain = np.mean([MEASURES[name](one).value for one in both])
        assert plain == pytest.approx(factor * expected, rel=0.12)


def test_many_rare_levels_are_no_drift() -> None:
    # 20,000 Zipf levels give a mean PSI of 0.207, "major shift".
    rng = np.random.default_rng(5)
    weights = 1 / np.arange(1, 20_001)
    weights /= weights.sum()
    sides = [np.char.add("n", rng.choice(20_000, 100_000, p=weights).astype(str)) for _ in "ab"]

    found = dl.distance("psi", *sides)

    assert 0.15 < found.value < 0.3
    assert found.corrected < 0.01
    assert found.p_value > 1e-4
    assert dl.distance("unseen", *sides).corrected < 0.01


@pytest.mark.parametrize("name", MEASURES)
def test_a_known_change_lies_in_the_interval(name: str) -> None:
    p = np.full(20, 1 / 20)
    q = p * np.where(np.arange(20) < 10, 1.3, 0.7)
    truth = MEASURES[name](Bins(p * 1e9, q * 1e9, "levels")).value

    found = [MEASURES[name](one) for one in pairs(p, q, 1_000, 1_000)]

    # 95% nominal; more than 11% misses of 200 have a chance below 1e-3 at 5%, and the seed is
    # fixed.
    missed = sum(not one.lower <= truth <= one.upper for one in found)
    assert missed <= 22
    if name != "l_infinity":  # The largest of 20 equal differences is biased however corrected.
        assert np.mean([one.corrected for one in found]) == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, rows: rng.normal(size=rows),
        lambda rng, rows: rng.lognormal(0, 1.5, rows),
        lambda rng, rows: rng.poisson(3, rows).astype(float),
    ],
    ids=["normal", "lognormal", "counts"],
)
def test_chances_of_curves_are_honest_also_with_ties(draw) -> None:
    rng = np.random.default_rng(8)
    names = ("kolmogorov_smirnov", "cramer_von_mises", "anderson_darling", "tails")
    chances: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(PAIRS):
        first, second = draw(rng, 600), draw(rng, 250)
        for name in names:
            found = dl.distance(name, first, second)
            if found.p_value is not None:
                chances[name].append(found.p_value)

    for name, found in chances.items():
        for level in (0.05, 0.01):
            assert sum(np.array(found) < level) <= rare_events(level), name


def test_the_winsorised_distance_of_equals_is_mostly_chance() -> None:
    rng = np.random.default_rng(9)

    found = [
        dl.distance("wasserstein", rng.normal(size=200), rng.normal(size=200)) for _ in range(PAIRS)
    ]

    # 1.29 / sqrt(N_e) for a normal column.
    assert np.mean([one.value for one in found]) == pytest.approx(1.29 / 10, rel=0.1)
    assert np.mean([one.corrected for one in found]) < 0.05
    assert sum(one.lower > 0 for one in found) <= rare_events(0.05)


@pytest.mark.parametrize(("bins", "draws"), [(200, 1_999), (400, 1_000), (8_000, 99)])
def test_partings_are_drawn_as_far_as_400_000_cells_go(bins: int, draws: int) -> None:
    one = np.ones(bins)

    drawn = parted(one, one)

    assert drawn.shape == (draws, bins)
    assert (drawn.sum(axis=1) == bins).all()
