"""When a fault began: planted beginnings and ends, streams without any, and plain likelihoods."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from driftline.monitors.root_cause.onset import TimeCounts, _gains, find_onset

DAY = datetime(2024, 1, 3, tzinfo=UTC)
HOURS = [DAY + timedelta(hours=hour) for hour in range(24)]


def drawn(rng, rate: np.ndarray, rows: int = 200):
    held = rng.poisson(rows, rate.size) + 1
    return held, rng.binomial(held, rate)


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_beginning_is_named_to_the_hour(seed):
    rng = np.random.default_rng(seed)
    rate = np.where(np.arange(24) >= 14, 0.4, 0.02)

    found = find_onset(HOURS, *drawn(rng, rate), 0.02)

    assert found is not None
    assert (found.start, found.end) == (HOURS[14], None)
    assert str(found) == "since 2024-01-03 14:00 UTC"
    assert found.share_inside == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(9, 13, "from 2024-01-03 09:00 to 13:00 UTC"), (0, 6, "until 2024-01-03 06:00 UTC")],
)
def test_what_has_ended_is_told_with_its_end(first, last, words):
    rng = np.random.default_rng(1)
    hours = np.arange(24)
    rate = np.where((hours >= first) & (hours < last), 0.5, 0.01)

    assert str(find_onset(HOURS, *drawn(rng, rate), 0.01)) == words


def test_only_a_beginning_is_found_where_only_that_is_asked():
    rng = np.random.default_rng(1)
    hours = np.arange(24)
    rate = np.where((hours >= 9) & (hours < 13), 0.5, 0.01)

    found = find_onset(HOURS, *drawn(rng, rate), 0.01, lasting=True)

    assert found is None or found.end is None


def test_a_fault_of_the_whole_day_has_no_hour():
    """Chance of any in these 200: 200 x 0.001 by the bound; asked for more than 2 in 200."""
    rng = np.random.default_rng(2)
    found = [find_onset(HOURS, *drawn(rng, np.full(24, 0.3)), 0.0) for _ in range(200)]
    assert sum(one is not None for one in found) <= 2


@pytest.mark.parametrize("lasting", [False, True])
def test_shares_that_are_equal_to_the_last_row_have_no_beginning(lasting):
    rows = np.full(24, 20)

    assert find_onset(HOURS, rows, rows // 5, 0.0, lasting=lasting) is None


def test_rows_that_come_in_bunches_are_no_beginning():
    """Each hour's share is drawn anew, as weather that all its flights share."""
    rng = np.random.default_rng(3)
    found = [find_onset(HOURS, *drawn(rng, rng.beta(1, 4, 24)), 0.0) for _ in range(200)]
    assert sum(one is not None for one in found) <= 4


def test_the_gain_is_that_of_two_binomials_over_one():
    """Against scipy's logpmf, whose binomial coefficients cancel, summed over the blocks."""
    rng = np.random.default_rng(4)
    rows, matching = drawn(rng, np.linspace(0.05, 0.5, 6), 50)

    gains = _gains(rows.astype(float), matching.astype(float))

    def fit(chosen):
        share = matching[chosen].sum() / rows[chosen].sum()
        return binom.logpmf(matching[chosen], rows[chosen], share).sum()

    inside = np.array([False, False, True, True, True, True])
    expected = fit(inside) + fit(~inside) - fit(inside | ~inside)
    assert gains[2, 5] == pytest.approx(expected, rel=1e-9)
    assert gains[0, 5] == -np.inf
    assert gains[0, 2] == -np.inf, "a lower share is no fault"


def test_too_little_says_nothing():
    nobody = np.zeros(2, np.int64)
    assert find_onset(HOURS[:2], nobody + 5, nobody + 1, 0.0) is None
    assert find_onset(HOURS[:3], np.full(3, 5), np.zeros(3, np.int64), 0.0) is None
    assert find_onset(HOURS[:3], np.full(3, 5), np.full(3, 5), 0.0) is None
    assert find_onset([], nobody[:0], nobody[:0], 0.0) is None


def test_counts_by_minute_add_up_however_they_are_cut():
    rng = np.random.default_rng(5)
    seconds = rng.integers(0, 86_400, 3_000)
    times = pa.array(
        [DAY + timedelta(seconds=int(one)) for one in seconds], pa.timestamp("us", "UTC")
    )
    matching = seconds >= 14 * 3600

    whole = TimeCounts(2)
    whole.update(times, [matching, None])
    parts = [TimeCounts(2) for _ in range(2)]
    parts[0].update(times[:1000], [matching[:1000], None])
    parts[1].update(times[1000:], [matching[1000:], None])
    merged = parts[0].merge(parts[1])

    assert whole.counts is not None
    assert merged.counts is not None
    assert (merged.minutes == whole.minutes).all()
    assert (merged.counts == whole.counts).all()
    starts, rows, bad = merged.blocks(0)
    assert starts == HOURS
    assert rows.sum() == 3_000
    assert (bad[:14].sum(), bad.sum()) == (0, matching.sum())
    assert merged.blocks(1)[2].sum() == 0


def test_texts_are_times_too_and_rows_without_one_are_left_out():
    counted = TimeCounts(1)
    counted.update(pa.array(["2024-01-03T00:00:10Z", None, "x"]), [np.array([True, True, True])])
    assert counted.counts is not None
    assert counted.counts.tolist() == [[1, 1]]


def test_rows_of_years_that_the_calendar_does_not_have_are_left_out():
    far = [2**62, -(2**62), 253_402_300_800_000_000, 1_704_240_000_000_000]
    counted = TimeCounts(1)

    counted.update(pa.array(far, pa.timestamp("us", "UTC")), [np.array([True, False, True, True])])
    starts, rows, matching = counted.blocks(0)

    assert starts == [DAY]
    assert (rows.tolist(), matching.tolist()) == ([1], [1])


def test_a_year_takes_no_more_room_than_its_days_in_whatever_order_rows_come():
    rng = np.random.default_rng(6)
    begin = 1_704_240_000_000_000
    times = begin + rng.integers(0, 365 * 1440, 20_000) * 60_000_000
    matching = rng.random(20_000) < 0.3
    counted = TimeCounts(1)

    # The first batch is of one hour: its blocks are narrow ones, which widen with the next.
    order = np.argsort(times)
    for part in (order[:3], *np.array_split(rng.permutation(order[3:]), 7)):
        counted.update(pa.array(times[part], pa.timestamp("us", "UTC")), [matching[part]])
    starts, rows, bad = counted.blocks(0)

    days = (times - begin) // 86_400_000_000
    assert starts == [DAY + timedelta(days=day) for day in range(365)]
    assert rows.tolist() == np.bincount(days).tolist()
    assert bad.tolist() == np.bincount(days, weights=matching).tolist()
