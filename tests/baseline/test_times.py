import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline import times
from driftline.baseline.times import STRETCH_CAP, TimeSummary

SECOND = 1_000_000
moments = st.lists(
    st.integers(0, 20 * SECOND) | st.integers(-(2**63), 2**63 - 1), min_size=0, max_size=40
)


def summary_of(values):
    found = TimeSummary()
    found.update(np.asarray(values, np.int64))
    return found


def state(found):
    return found.width_us, found.first.tolist(), found.last.tolist(), found.counts.tolist()


@given(moments, moments, moments)
def test_merging_is_exactly_associative_and_commutative_whatever_the_width(a, b, c):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "STRETCH_CAP", 8)
        parts = [summary_of(part) for part in (a, b, c)]
        whole = state(summary_of(a + b + c))

        assert state(parts[0].merge(parts[1]).merge(parts[2])) == whole
        assert state(parts[2].merge(parts[1].merge(parts[0]))) == whole
        grown = summary_of(a)
        grown.update(np.asarray(b + c, np.int64))
        assert state(grown) == whole


def test_memory_is_bounded_even_over_all_times_that_64_bits_hold():
    rng = np.random.default_rng(3)
    found = summary_of(rng.integers(-(2**63), 2**63 - 1, 50_000))

    assert len(found.first) <= STRETCH_CAP
    assert found.count == 50_000
