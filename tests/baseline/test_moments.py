import math

import numpy as np
import pytest

from driftline.baseline.moments import SEQUENTIAL_COUNT, Moments


def moments_of(values):
    moments = Moments()
    moments.update(np.asarray(values, dtype=float))
    return moments


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
