import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.column import ColumnProfile
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
    assert 0 < sketch.rank_error < 0.006
    assert found <= sketch.rank_error
    assert sketch.count == count


def test_the_true_quantile_lies_within_the_error_of_rank():
    values = RNG.lognormal(size=200_000)
    sketch = sketch_of(values)

    lower = sketch.quantiles(np.maximum(SHARES - sketch.rank_error, 0.0))
    upper = sketch.quantiles(np.minimum(SHARES + sketch.rank_error, 1.0))

    inner = (sketch.rank_error < SHARES) & (1.0 - sketch.rank_error > SHARES)
    true = np.quantile(values, SHARES, method="inverted_cdf")
    assert ((lower <= true) & (true <= upper))[inner].all()


def test_few_values_have_exact_quantiles():
    sketch = sketch_of(values := RNG.normal(size=2_000))

    assert sketch.rank_error == 0.0
    assert sketch.quantiles(np.array([0.5])) == np.sort(values)[999]


def test_the_most_frequent_values_are_listed_of_few_and_of_many_whole_numbers():
    many = RNG.integers(0, 10**6, 300_000)
    many[RNG.permutation(300_000)[:60_000]] = -999
    column, few = ColumnProfile("x", "int64"), ColumnProfile("x", "int64")
    column.update(pa.array(many))
    few.update(pa.array([3, 3, 3, 5, 4, 4]))

    assert column.frequent(10) == ["-999"]
    assert few.frequent(2) == ["3", "4"]
