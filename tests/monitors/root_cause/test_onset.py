"""When a fault began: planted beginnings and ends, streams without any, and plain likelihoods."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.monitors.root_cause.onset import TimeCounts, find_onset

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


def test_rows_that_come_in_bunches_are_no_beginning():
    """Each hour's share is drawn anew, as weather that all its flights share."""
    rng = np.random.default_rng(3)
    found = [find_onset(HOURS, *drawn(rng, rng.beta(1, 4, 24)), 0.0) for _ in range(200)]
    assert sum(one is not None for one in found) <= 4


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
