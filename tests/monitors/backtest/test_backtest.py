"""History replayed: alarms where a change was planted, in order, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from driftline.app.commands.backtest_text import told
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.backtest.backtest import backtest as whole_backtest
from driftline.monitors.backtest.labelled_events import LabelledEvent
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.page import backtest_page
from driftline.monitors.check import check

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGE = START + 40 * DAY
# What is estimated besides has tests of its own.
Options = partial(BacktestOptions, estimate=False)


def backtest(data: object, reference: object = None, **given):
    given.setdefault("options", Options())
    return whole_backtest(data, reference, **given)


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

    first = found.own.first
    assert first is not None
    assert found.verdicts[0].start == START + 28 * DAY
    assert found.verdicts[first].start == CHANGE
    assert {column for one in found.own.alarms for column in one} == {"amount"}
    assert len(found.alarms) == 10
    assert found.own.episode_count == 1


def test_the_cause_is_told_in_the_words_of_a_violation(rows: pa.Table, baseline) -> None:
    found = backtest(
        rows, baseline, timestamp="at", options=Options(start=CHANGE, end=CHANGE + DAY)
    )

    (window,) = found.as_dict()["windows"]
    assert window["state"] == "alarm"
    assert window["row_count"] == 960
    assert window["alarms"][0]["column"] == "amount"
    assert " of rows " in window["alarms"][0]["cause"]
    assert "(reference " in window["alarms"][0]["cause"]


def test_without_bounds_the_same_windows_alarm(rows: pa.Table, baseline) -> None:
    plain = Options(estimate=False, bounds=False)

    found = backtest(rows, baseline, timestamp="at", options=plain)
    whole = backtest(rows, baseline, timestamp="at", options=Options(estimate=False))

    assert found.own == whole.own
    assert len(found.alarms) == 10
    assert [one.strength for one in found.verdicts] == [one.strength for one in whole.verdicts]


def test_a_change_that_several_windows_show_is_told_with_them(rows: pa.Table, baseline) -> None:
    late = rows["at"].to_numpy() >= np.datetime64(CHANGE.replace(tzinfo=None), "us")
    # A quarter of a deviation in place of a whole one.
    small = rows.set_column(1, "amount", pa.array(rows["amount"].to_numpy() - 7.5 * late))

    found = backtest(small, baseline, timestamp="at", options=Options(start=START + 28 * DAY))

    told = [
        (window, alarm)
        for window in found.as_dict()["windows"]
        for alarm in window["alarms"]
        if alarm["window_count"] > 1
    ]
    assert told
    for window, alarm in told:
        since = datetime.fromisoformat(alarm["since"])
        words = f" over the last {alarm['window_count']} windows, since {since:%Y-%m-%d %H:%M} UTC"
        assert alarm["cause"].endswith(words)
        assert datetime.fromisoformat(window["end"]) == since + alarm["window_count"] * DAY
        assert words in backtest_page(found.as_dict())


def test_rows_in_any_order_give_the_same_windows(rows: pa.Table, baseline) -> None:
    shuffled = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
    options = Options(start=START + 38 * DAY)

    first = backtest(rows, baseline, timestamp="at", options=options)
    second = backtest(shuffled, baseline, timestamp="at", options=options)

    assert first.as_dict() == second.as_dict()


def test_a_timetable_and_an_equal_length_cut_the_same_days(rows: pa.Table, baseline) -> None:
    options = Options(start=START + 38 * DAY, end=START + 44 * DAY)

    by_length = backtest(rows, baseline, timestamp="at", window="1d", options=options)
    by_table = backtest(rows, baseline, timestamp="at", window="cron(0 0 ? * * *)", options=options)

    assert [one.start for one in by_length.verdicts] == [one.start for one in by_table.verdicts]
    assert by_length.own.alarms == by_table.own.alarms


def test_windows_with_too_few_rows_are_a_state_of_their_own(baseline) -> None:
    few = pa.table(stream(days=3, rows=1))

    found = backtest(few, baseline, timestamp="at", window="1h")

    assert found.verdicts[0].state == "insufficient_data"
    assert found.verdicts[0].strength is None
    assert found.insufficient_count > 0


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
    options = Options(start=START + 40 * DAY)
    alone = Baseline.fit(rows.slice(0, 40 * 200).drop(["even"]), timestamp="at")

    both = backtest(rows, reference, timestamp="at", options=options)
    none = backtest(rows, alone, timestamp="at", options=options)

    assert check(rows.slice(40 * 200, 200), reference).undecidable == ("spell",)  # As monitors do.
    assert (both.unjudged, both.undecidable_count) == (("spell",), 0)
    assert {one.state for one in both.verdicts} == {"quiet"}
    assert "in no window judged, as they vary too much or have too few rows: spell" in " ".join(
        told(both.as_dict())
    )
    assert (none.unjudged, none.undecidable_count, none.own.rate) == (("spell",), 10, None)
    assert {(one.state, one.strength) for one in none.verdicts} == {("undecidable", None)}
    text = " ".join(told(none.as_dict()))
    assert "10 windows of which every column varies too much to judge" in text
    assert "no window could be judged: the columns vary too much" in text
    assert "10 windows of which every column varies" in backtest_page(none.as_dict())


def test_rows_without_a_time_are_counted_and_in_no_window(rows: pa.Table, baseline) -> None:
    times = rows["at"].to_pylist()[: 2 * 960]
    times[:5] = [None] * 5
    some = rows.slice(0, 2 * 960).set_column(0, "at", pa.array(times, pa.timestamp("us")))

    found = backtest(some, baseline, timestamp="at")

    assert found.undated_count == 5
    assert sum(one.row_count for one in found.verdicts) == 2 * 960 - 5


def test_other_rules_stand_beside_on_the_same_windows(rows: pa.Table) -> None:
    options = Options(
        start=START + 36 * DAY,
        against=("sagemaker", "evidently", "evidently-dataset", "nannyml"),
    )
    until = START + 28 * DAY

    found = backtest(rows, timestamp="at", reference_until=until, options=options)

    assert [one.name for one in found.rules] == [
        "driftline", "sagemaker", "evidently", "evidently-dataset", "nannyml",
    ]  # fmt: skip
    by_name = {one.name: one for one in found.rules}
    # One deviation: 0.38 of distance, far above each rule's threshold.
    for name in ("sagemaker", "evidently", "nannyml"):
        assert all("amount" in one for one in by_name[name].alarms[4:]), name
        assert len(by_name[name].alarms) == len(found.verdicts)
    # One column of three is below half of them.
    assert not any(by_name["evidently-dataset"].alarms)


def test_marks_count_what_was_found_and_what_was_needless(rows: pa.Table, baseline) -> None:
    marks = (
        LabelledEvent("amount", CHANGE, CHANGE + DAY, "harmful"),
        LabelledEvent("size", CHANGE, CHANGE + DAY, "harmful"),
        LabelledEvent(None, CHANGE + 2 * DAY, CHANGE + 3 * DAY, "expected"),
        LabelledEvent(None, START + 30 * DAY, START + 31 * DAY, "new_normal"),
        # What other checks found can be found, but not missed.
        LabelledEvent("amount", CHANGE, CHANGE + 2 * DAY, "harmful", is_drift=False),
        LabelledEvent("size", CHANGE, CHANGE + 2 * DAY, "harmful", is_drift=False),
        # Of windows that are not replayed: neither found nor missed.
        LabelledEvent("amount", START + 90 * DAY, START + 91 * DAY, "harmful"),
    )

    found = backtest(rows, baseline, timestamp="at", options=Options(marks=marks))

    assert found.marks is not None
    assert (found.marks.harmful_count, found.marks.found_count) == (3, 2)
    assert (found.marks.expected_count, found.marks.needless_count) == (2, 1)
    assert found.marks.other_count == 1
    words = (
        "2 of 3 harmful spans found; 1 of 2 expected or new-normal ones alarmed; 1 harmful of "
        "checks that are not replayed"
    )
    assert words in backtest_page(found.as_dict())
    assert words in " ".join(" ".join(told(found.as_dict())).split())


def test_marks_of_other_windows_are_no_score(rows: pa.Table, baseline) -> None:
    marks = (LabelledEvent("amount", START + 90 * DAY, START + 91 * DAY, "harmful"),)

    assert backtest(rows, baseline, timestamp="at", options=Options(marks=marks)).marks is None


def test_the_page_tells_of_marks_and_of_rows_without_a_time(rows: pa.Table, baseline) -> None:
    times = rows["at"].to_pylist()[: 2 * 960]
    times[:5] = [None] * 5
    some = rows.slice(0, 2 * 960).set_column(0, "at", pa.array(times, pa.timestamp("us")))
    marks = (LabelledEvent("amount", START, START + DAY, "harmful"),)

    found = backtest(some, baseline, timestamp="at", options=Options(marks=marks))

    page = backtest_page(found.as_dict())
    assert "0 of 1 harmful spans found" in page
    assert "<dt>rows without a time</dt><dd>5</dd>" in page


def test_a_time_at_the_end_of_the_calendar_is_refused_with_the_mend(baseline) -> None:
    some = pa.table(stream(days=2))
    times = [
        *(one.replace(tzinfo=UTC) for one in some["at"].to_pylist()[:-1]),
        datetime(9999, 12, 31, 12, tzinfo=UTC),
    ]
    some = some.set_column(0, "at", pa.array(times, pa.timestamp("us", "UTC")))

    with pytest.raises(InputError, match="leave such rows out"):
        backtest(some, baseline, timestamp="at")

    found = backtest(some, baseline, timestamp="at", options=Options(end=START + 2 * DAY))
    assert len(found.verdicts) == 2


def test_whole_numbers_beyond_those_of_floats_are_laid_beside_other_rules() -> None:
    rng = np.random.default_rng(5)
    at = np.datetime64("2024-01-01", "us") + np.arange(40 * 240) * np.timedelta64(360_000_000, "us")
    some = pa.table({"at": at, "code": rng.integers(2**60, 2**62, len(at))})
    options = Options(against=("sagemaker", "evidently"))

    found = backtest(some, timestamp="at", reference_until=START + 30 * DAY, options=options)

    assert not any(found.rules[1].alarms)


def test_the_result_is_plain_json(rows: pa.Table, baseline) -> None:
    options = Options(start=START + 39 * DAY, against=("sagemaker",))

    found = json.loads(backtest(rows, baseline, timestamp="at", options=options).to_json())

    assert found["columns"] == ["amount", "size", "shop"]
    assert found["window_count"] == len(found["windows"]) == 11
    assert [one["name"] for one in found["rules"]] == ["driftline", "sagemaker"]
    assert found["rules"][0]["rate"]["count"] == 10
    assert found["resampled"] is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"window": "fortnight"}, 'window "fortnight"; expected a length such as 30m'),
        ({"window": "0d"}, 'window "0d"; expected a length'),
        ({"timestamp": "when"}, "when"),
        ({"reference": None}, "neither of a baseline"),
        ({"reference_until": START + DAY}, "both of a baseline"),
        ({"window": "NOW"}, 'window "NOW"'),
    ],
)
def test_wrong_use_is_one_sentence(rows: pa.Table, baseline, given, sentence: str) -> None:
    asked = {"reference": baseline, "timestamp": "at"} | given

    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        backtest(rows, **asked)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"against": ("psi",)}, 'against "psi"; expected one of sagemaker, evidently'),
        ({"tolerance": 1.5}, "tolerance 1.5; expected 0 to below 1"),
        ({"start": START, "end": START}, "expected the end after the start"),
        ({"start": START.replace(tzinfo=None)}, "has no time zone"),
    ],
)
def test_wrong_options_are_one_sentence(given, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Options(**given)


def test_a_span_without_rows_is_an_error(rows: pa.Table, baseline) -> None:
    options = Options(start=START + 100 * DAY)

    with pytest.raises(InputError, match="no window has rows"):
        backtest(rows, baseline, timestamp="at", options=options)


def test_a_wider_tolerance_silences_a_small_change(rows: pa.Table, baseline) -> None:
    narrow = Options(start=CHANGE, end=CHANGE + 2 * DAY)

    loud = backtest(rows, baseline, timestamp="at", options=narrow)
    quiet = backtest(rows, baseline, timestamp="at", options=replace(narrow, tolerance=0.5))

    assert len(loud.alarms) == 2
    assert not quiet.alarms
