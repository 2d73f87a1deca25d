import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.moments import SEQUENTIAL_COUNT, Moments

numbers = st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=60)


def moments_of(values):
    moments = Moments()
    moments.update(np.asarray(values, dtype=float))
    return moments


@given(numbers, numbers)
def test_merged_halves_equal_the_whole(first, second):
    merged = moments_of(first).merge(moments_of(second))

    whole = moments_of(first + second)
    assert merged.count == whole.count
    assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
    if whole.count:
        assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
        assert merged.deviation == pytest.approx(whole.deviation, rel=1e-9, abs=1e-5)


def test_sum_and_deviation_are_those_of_a_left_to_right_stream():
    values = np.random.default_rng(5).lognormal(3, 2, size=SEQUENTIAL_COUNT)
    total = average = squares = 0.0
    for count, value in enumerate(values.tolist(), start=1):
        total += value
        delta = value - average
        step = delta / count
        average += step
        squares += delta * (delta - step)

    moments = Moments()
    for part in np.array_split(values, 7):
        moments.update(part)

    assert moments.total == total
    assert moments.deviation == math.sqrt(squares / SEQUENTIAL_COUNT)


def test_blocks_agree_with_numpy_beyond_the_sequential_part():
    values = np.random.default_rng(6).normal(1e6, 1.0, size=SEQUENTIAL_COUNT + 70_000)

    moments = moments_of(values)

    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.deviation == pytest.approx(values.std(), rel=1e-9)
