import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.sketch import QuantileSketch

numbers = st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=300)
# Small ones, so that a few hundred values already fill several levels.
ITEMS = 8


class OneByOne:
    """Deequ's QuantileNonSample, one value at a time, written from its description alone."""

    def __init__(self, items, shrinking):
        self.items, self.shrinking = items, shrinking
        self.levels, self.compactions, self.offsets = [[]], [0], [0]

    def capacity(self, height):
        return 2 * (math.ceil(self.items * self.shrinking**height / 2) + 1)

    def add(self, value):
        self.levels[0].append(value)
        if sum(map(len, self.levels)) > sum(self.capacity(h) for h in range(len(self.levels))):
            self.compact()

    def compact(self):
        for height, level in enumerate(self.levels):
            if len(level) >= self.capacity(height):
                break
        if height + 1 == len(self.levels):
            self.levels.append([])
            self.compactions.append(0)
            self.offsets.append(0)
        if self.compactions[height] % 2 == 1:
            self.offsets[height] = 1 - self.offsets[height]
        self.compactions[height] += 1
        even = len(level) - len(level) % 2
        self.levels[height + 1].extend(sorted(level[:even])[self.offsets[height] :: 2])
        self.levels[height] = level[even:]


def sketch_of(values, items=2048):
    sketch = QuantileSketch(items)
    sketch.update(np.asarray(values, dtype=float))
    return sketch


@given(numbers, st.integers(0, 300))
def test_arrays_give_the_same_levels_as_values_one_by_one(values, cut):
    expected = OneByOne(ITEMS, 0.64)
    for value in values:
        expected.add(value)

    sketch = QuantileSketch(ITEMS)
    sketch.update(np.asarray(values[:cut], dtype=float))
    sketch.update(np.asarray(values[cut:], dtype=float))

    assert [level.tolist() for level in sketch.levels] == expected.levels


@given(numbers, numbers)
def test_merging_loses_no_weight_and_changes_no_input(first, second):
    a, b = sketch_of(first, ITEMS), sketch_of(second, ITEMS)
    before = [level.tolist() for level in a.levels]

    merged = a.merge(b)

    assert merged.count == len(first) + len(second)
    assert [level.tolist() for level in a.levels] == before


def test_churn_columns_have_the_level_sizes_that_aws_printed():
    # 2,333 rows: model-monitor, section 3.4.
    sketch = sketch_of(np.arange(2333))

    assert [len(level) for level in sketch.levels] == [283, 1025]
    assert sketch.count == 2333


def test_quantiles_of_few_values_are_those_values():
    sketch = sketch_of([3.0, 1.0, 2.0, 4.0])

    assert sketch.quantiles(np.array([0.0, 0.25, 0.5, 1.0])).tolist() == [1.0, 1.0, 2.0, 4.0]


def test_ranks_tell_ties_from_what_lies_below():
    sketch = sketch_of([1.0, 1.0, 2.0])

    assert sketch.ranks(np.array([1.0])).tolist() == [2.0]
    assert sketch.ranks(np.array([1.0]), inclusive=False).tolist() == [0.0]
