import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline import times
from driftline.baseline.times import STRETCH_CAP, WIDTHS_US, TimeSummary

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


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=60, unique=True))
def test_the_longest_gap_is_exact_or_says_that_it_may_be_longer(values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "STRETCH_CAP", 8)
        gap = summary_of(values).gap

    true = int(np.diff(np.sort(values)).max())
    if gap is None or not gap.is_exact:
        assert true < (WIDTHS_US[-1] if gap is None else gap.resolution_us)
    else:
        assert gap.end_us - gap.start_us == true


def test_memory_is_bounded_even_over_all_times_that_64_bits_hold():
    rng = np.random.default_rng(3)
    found = summary_of(rng.integers(-(2**63), 2**63 - 1, 50_000))

    assert len(found.first) <= STRETCH_CAP
    assert found.count == 50_000


def test_times_that_no_calendar_has_are_not_made_up():
    assert summary_of([2**62]).maximum is None
    assert TimeSummary().minimum is None
    assert TimeSummary().gap is None
    assert summary_of([5]).gap is None
