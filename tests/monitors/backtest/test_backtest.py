"""History replayed: alarms where a change was planted, in order, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.backtest.backtest import BacktestOptions, backtest
from driftline.monitors.monitor import Monitor

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGE = START + 40 * DAY


def stream(days: int = 50, rows: int = 40, seed: int = 7) -> dict[str, np.ndarray]:
    """Independent rows, so many an hour; one column changes at `CHANGE`, the others never."""
    rng = np.random.default_rng(seed)
    count = days * 24 * rows
    hours = np.repeat(np.arange(days * 24), rows)
    times = np.datetime64(START.replace(tzinfo=None), "us") + hours * np.timedelta64(3600, "s")
    late = times >= np.datetime64(CHANGE.replace(tzinfo=None), "us")
    return {
        "at": times,
        "amount": rng.normal(100, 10, count) + 10 * late,
        "size": rng.gamma(4, 3, count),
        "shop": rng.choice(["north", "south", "west"], count, p=[0.5, 0.3, 0.2]),
    }


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return pa.table(stream())


@pytest.fixture(scope="module")
def baseline(rows: pa.Table) -> Baseline:
    return Baseline.fit(rows.slice(0, 28 * 24 * 40), timestamp="at")


def test_a_change_alarms_in_the_window_in_which_it_comes_and_in_none_before(
    rows: pa.Table,
) -> None:
    found = backtest(rows, timestamp="at", reference_until=START + 28 * DAY, window="1d")

    assert found.verdicts[0].window.start == START + 28 * DAY
    assert found.alarms[0].window.start == CHANGE
    assert found.alarms_by_column == {"amount": 10}
    assert len(found.alarms) == 10
    assert found.episode_count == 1


def test_rows_in_any_order_give_the_same_windows(rows: pa.Table, baseline) -> None:
    shuffled = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
    options = BacktestOptions(start=START + 38 * DAY)

    first = backtest(rows, baseline, timestamp="at", options=options)
    second = backtest(shuffled, baseline, timestamp="at", options=options)

    assert first.as_dict() == second.as_dict()


def test_windows_with_too_few_rows_are_a_state_of_their_own(baseline) -> None:
    few = pa.table(stream(days=3, rows=1))

    found = backtest(few, baseline, timestamp="at", window="1h")

    assert found.verdicts[0].state == "insufficient_data"
    assert found.as_dict()["insufficient_count"] > 0


def spells(days: int = 50) -> pa.Table:
    """Days of 200 rows: of "spell" each is wholly a or b for eight days, "even" is independent."""
    rng, day = np.random.default_rng(3), np.repeat(np.arange(days), 200)
    return pa.table(
        {
            "at": np.datetime64(START.replace(tzinfo=None), "us") + day * np.timedelta64(1, "D"),
            "spell": np.where(day // 8 % 2, "b", "a"),
            "even": rng.choice(["a", "b"], day.size),
        }
    )


def test_a_column_that_the_monitor_cannot_judge_is_told_and_no_quiet_one() -> None:
    rows = spells()
    reference = Baseline.fit(rows.slice(0, 40 * 200), timestamp="at")
    options = BacktestOptions(start=START + 40 * DAY)
    alone = Baseline.fit(rows.slice(0, 40 * 200).drop(["even"]), timestamp="at")

    both = backtest(rows, reference, timestamp="at", options=options)
    none = backtest(rows.drop(["even"]), alone, timestamp="at", options=options)

    assert both.unjudged == none.unjudged == ("spell",)
    assert {one.state for one in both.verdicts} == {"quiet"}
    assert {one.state for one in none.verdicts} == {"undecidable"}


@pytest.mark.parametrize("kind", ["outliers", "joint"])
def test_every_kind_is_replayed_as_its_monitor_judges(rows: pa.Table, baseline, kind: str) -> None:
    options = BacktestOptions(start=CHANGE - 2 * DAY, end=CHANGE + 2 * DAY)
    monitor = Monitor(baseline, kind=kind)

    found = backtest(rows, baseline, timestamp="at", kind=kind, options=options)

    for verdict in found.verdicts:
        span = (verdict.window.start, verdict.window.end)
        start, end = (pa.scalar(one.replace(tzinfo=None), pa.timestamp("us")) for one in span)
        inside = rows.filter((pc.field("at") >= start) & (pc.field("at") < end))
        assert verdict.alarms == monitor.check(inside, time=span[0]).violations
    assert [one.state for one in found.verdicts[:2]] == ["quiet", "quiet"]
    assert found.as_dict()["kind"] == kind


def test_rows_without_a_time_are_counted_and_in_no_window(rows: pa.Table, baseline) -> None:
    times = rows["at"].to_pylist()[: 2 * 960]
    far = [START.replace(year=year, tzinfo=None) for year in (1, 9999)]
    times[:5] = [None, None, None, *far]
    some = rows.slice(0, 2 * 960).set_column(0, "at", pa.array(times, pa.timestamp("us")))

    found = backtest(some, baseline, timestamp="at")

    assert found.undated_count == 5
    assert sum(one.row_count for one in found.verdicts) == 2 * 960 - 5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"window": "fortnight"}, 'window "fortnight"; expected a length such as 30m'),
        ({"window": "0d"}, 'window "0d"; expected a length'),
        ({"timestamp": "when"}, "when"),
        ({"reference": None}, "neither of a baseline"),
        ({"reference_until": START + DAY}, "both of a baseline"),
        ({"window": "NOW"}, 'window "NOW"'),
        ({"kind": "neural"}, "neural"),
    ],
)
def test_wrong_use_is_one_sentence(rows: pa.Table, baseline, given, sentence: str) -> None:
    asked = {"reference": baseline, "timestamp": "at"} | given

    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        backtest(rows, **asked)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"start": START, "end": START}, "expected the end after the start"),
        ({"start": START.replace(tzinfo=None)}, "has no time zone"),
    ],
)
def test_wrong_options_are_one_sentence(given, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        BacktestOptions(**given)
