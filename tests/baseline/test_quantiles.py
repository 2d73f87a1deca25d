import numpy as np
import pytest

from driftline.baseline.frequent import NumberCounts, frequent_numbers
from driftline.baseline.moments import Moments
from driftline.baseline.quantiles import quantiles, rank_error
from driftline.baseline.sketch import QuantileSketch

RNG = np.random.default_rng(11)
SHARES = np.linspace(0, 1, 401)


def sketch_of(values):
    sketch = QuantileSketch()
    sketch.update(values)
    return sketch


def in_one_go(values):
    return sketch_of(values)


def by_stored_hours(values):
    total = QuantileSketch()
    for part in np.array_split(values, 2000):
        # As if each had been written and read again.
        total = QuantileSketch.from_levels(
            total.merge(QuantileSketch.from_levels(sketch_of(part).levels)).levels
        )
    return total


def by_pairs(values):
    parts = [sketch_of(part) for part in np.array_split(values, 512)]
    while len(parts) > 1:
        parts = [a.merge(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


# Of these all orders and builds in a full run alone.
MANY = pytest.mark.full


@pytest.mark.parametrize("order", ["random", "ascending", "drifting"])
@pytest.mark.parametrize(
    ("count", "build"),
    [
        *((9_000, build) for build in (in_one_go, by_stored_hours, by_pairs)),
        (100_000, by_pairs),
        *(pytest.param(100_000, build, marks=MANY) for build in (in_one_go, by_stored_hours)),
        *(
            pytest.param(600_000, build, marks=MANY)
            for build in (in_one_go, by_stored_hours, by_pairs)
        ),
    ],
)
def test_every_rank_is_within_the_stated_error(count, build, order):
    values = np.arange(count, dtype=float)
    if order == "random":
        values = RNG.permutation(values)
    elif order == "drifting":
        values = np.concatenate([RNG.permutation(part) for part in np.array_split(values, 50)])

    sketch = build(values)

    points = np.linspace(0, count - 1, 2001).round()
    found = np.abs(sketch.ranks(points) - (points + 1)).max() / count
    assert 0 < rank_error(sketch) < 0.006
    assert found <= rank_error(sketch)
    assert sketch.count == count


def test_quantiles_have_the_true_value_between_their_bounds():
    values = RNG.lognormal(size=200_000)
    moments = Moments()
    moments.update(values)

    found = quantiles(sketch_of(values), moments, SHARES.tolist())

    true = np.quantile(values, SHARES, method="inverted_cdf")
    for one, value in zip(found, true.tolist(), strict=True):
        assert one.lower <= value <= one.upper
        assert one.lower <= one.value <= one.upper
    assert (found[0].value, found[-1].value) == (values.min(), values.max())


def test_few_values_have_exact_quantiles():
    values = RNG.normal(size=2_000)
    moments = Moments()
    moments.update(values)

    (median,) = quantiles(sketch_of(values), moments, [0.5])

    assert rank_error(sketch_of(values)) == 0.0
    assert median.lower == median.value == median.upper == np.sort(values)[999]


def counted(values):
    found = NumberCounts()
    found.update(np.sort(np.asarray(values, float)))
    return found


def test_frequent_numbers_are_counted_exactly_while_few_differ():
    codes = RNG.integers(0, 40, 300_000).astype(float)
    counts = counted(codes)
    for part in np.array_split(codes, 3):
        counts = counts.merge(counted(part))

    found = frequent_numbers(counts, sketch_of(codes), 3)

    values, often = np.unique(codes, return_counts=True)
    best = np.argsort(-often, kind="stable")[:3]
    assert [one.value for one in found] == values[best].tolist()
    assert [one.count for one in found] == (2 * often[best]).tolist()
    assert all(one.is_exact for one in found)


def test_among_measurements_a_filled_in_value_is_found_with_bounds():
    values = RNG.normal(size=300_000)
    values[RNG.permutation(300_000)[:60_000]] = -999.0
    counts = counted(values)

    found = frequent_numbers(counts, sketch_of(values), 10)

    assert not counts.is_complete
    (only,) = found
    assert only.value == -999.0
    assert only.lower <= 60_000 <= only.upper
    assert not only.is_exact
