import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.lengths import LengthCounts

lengths = st.lists(st.integers(0, 400) | st.integers(0, 2**31), max_size=60)


def counted(values, counts=None):
    found = LengthCounts()
    found.update(np.asarray(values, np.int64), None if counts is None else np.asarray(counts))
    return found


def state(found):
    return (
        found.lengths.tolist(),
        found.counts.tolist(),
        found.total,
        found.minimum,
        found.maximum,
    )


@given(lengths, lengths, lengths)
def test_merging_is_exactly_associative_and_commutative(a, b, c):
    parts = [counted(part) for part in (a, b, c)]

    whole = state(counted(a + b + c))
    assert state(parts[0].merge(parts[1]).merge(parts[2])) == whole
    assert state(parts[2].merge(parts[1].merge(parts[0]))) == whole


@given(lengths.filter(len), st.floats(0, 1))
def test_quantiles_are_exact_below_256_and_within_a_128th_above(values, share):
    found = counted(values)

    true = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    got = found.quantile(share)
    if share >= 1.0:
        assert got == max(values)
    elif true < 256:
        assert got == true
    else:
        assert true * (1 - 1 / 128) <= got <= true
    assert found.mean == pytest.approx(np.mean(values))


def test_counted_values_are_as_if_each_had_come():
    assert state(counted([3, 5, 3], [2, 4, 1])) == state(counted([3] * 3 + [5] * 4))
