"""A row without a time is of no day, and takes the days from no other row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.answers import read_answers, read_times
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.model_quality.expectation import reference_answers
from driftline.monitors.kinds.model_quality.loss_segments import find_loss_segment
from driftline.roles import Roles
from driftline.stats.blocks import DAY_US, NO_TIME, time_blocks, time_span
from driftline.stats.clusters import cluster_rows
from tests.monitors.kinds.model_quality.cases import BINARY, REFERENCE_DAYS, ask, flights, of


def without_times(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Take the time from some rows."""
    lacks = pa.array(np.isin(np.arange(len(table)), rows))
    time = pa.compute.if_else(lacks, pa.scalar(None, table["time"].type), table["time"])
    return table.set_column(table.column_names.index("time"), "time", time)


def test_rows_keep_their_times_where_another_has_none() -> None:
    table = pa.table({"at": ["2024-01-01", None, "soon", "2024-01-02"], "x": range(4)})
    roles = Roles(timestamp="at")

    first = 1_704_067_200_000_000
    assert read_times(table, roles).tolist() == [first, NO_TIME, NO_TIME, first + DAY_US]
    assert read_times(table.slice(1, 2), roles) is None
    # Where captured rows have their time, too, a gap in one is filled from the other.
    both = table.append_column("event_time", pa.array([None, None, 86_400_000_000, None],
                                                      pa.timestamp("us", "UTC")))  # fmt: skip
    assert read_times(both, roles).tolist() == [first, NO_TIME, DAY_US, first + DAY_US]


def test_a_row_without_a_time_is_in_no_block_and_makes_no_cluster() -> None:
    days = np.repeat(np.arange(30), 10) * DAY_US
    some = np.insert(days, [0, 150, 300], NO_TIME)
    timed = some != NO_TIME

    assert time_span(some) == time_span(days) == 29 * DAY_US
    assert time_span(some[~timed]) == 0
    blocks, clusters = time_blocks(some, DAY_US), cluster_rows(some)
    assert blocks[~timed].tolist() == [-1, -1, -1]
    assert blocks[timed].tolist() == time_blocks(days, DAY_US).tolist()
    assert clusters[timed].tolist() == cluster_rows(days).tolist()
    assert clusters.max() == 29
    # They add the chance of rows by themselves: no two of these are of one cluster.
    assert len(set(clusters[~timed])) == 3
    assert cluster_rows(some[~timed]) is None
    assert time_blocks(some[~timed], DAY_US).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("lacking", [1, 500])
def test_rows_without_a_time_leave_the_variation_by_day_of_the_others(lacking: int) -> None:
    usual = flights(REFERENCE_DAYS, 1)
    chosen = np.random.default_rng(5).choice(len(usual), lacking, replace=False)
    whole, gaps = (Baseline.fit(one, **BINARY) for one in (usual, without_times(usual, chosen)))
    window = flights(7, 2, first=100)

    known, found = ask(whole, window), ask(gaps, window)

    blocks = known.details["reference_blocks"]
    assert found.details["reference_blocks"] == blocks
    assert blocks
    for name in ("auc", "recall", "brier_skill"):
        assert of(found)[name].bound == pytest.approx(of(known)[name].bound, rel=0.05)
        assert of(found)[name].low == pytest.approx(of(known)[name].low, rel=0.01)
    assert f"{lacking:,} of 25,200 rows of the reference" in str(found.details["times_note"])
    assert "times_note" not in known.details


def test_a_regressions_estimates_know_days_though_a_row_has_no_time() -> None:
    rng = np.random.default_rng(3)
    usual = flights(60, 3)
    x = rng.normal(size=len(usual))
    day = np.repeat(rng.normal(0, 0.5, 60), 300)
    usual = pa.table({
        "time": usual["time"], "x": x, "price": 3 * x + (1 + day**2) * rng.normal(size=len(x)),
        "said": 3 * x,
    })  # fmt: skip
    roles = {"label": "price", "prediction": "said", "timestamp": "time", "problem": "regression"}
    whole, gaps = (
        Baseline.fit(one, **roles) for one in (usual, without_times(usual, np.array([7])))
    )
    window = usual.slice(0, 300).drop_columns("price")

    known, found = (dl.check(window, one, kind="model-quality") for one in (whole, gaps))

    for name in ("mae", "rmse"):
        first, second = (of(one)[f"estimated_{name}"] for one in (known, found))
        assert (second.low, second.high) == pytest.approx((first.low, first.high), rel=0.02)


def test_a_window_says_how_many_of_its_rows_have_no_time(reference: Baseline) -> None:
    window = flights(7, 2, first=100)
    gaps = without_times(window, np.arange(40))

    known, found = (dl.check(one, reference, kind="model-quality") for one in (window, gaps))

    note = '40 of 2,100 rows have no time ("time"): they count in metrics, and in no day'
    assert found.details["times_note"].startswith(note)
    assert found.details["reference_blocks"] == known.details["reference_blocks"]
    assert of(found)["auc"].value == of(known)["auc"].value
    assert of(found)["auc"].bound == pytest.approx(of(known)["auc"].bound, rel=0.02)


def test_the_hour_that_became_worse_is_found_though_rows_have_no_time() -> None:
    def worse(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        hour = np.arange(len(columns["logit"])) * 24 // 300 % 24
        columns["truth"] = np.where(hour == 5, -3 * columns["logit"], columns["truth"])

    usual = flights(REFERENCE_DAYS, 1)
    gaps = without_times(usual, np.arange(0, len(usual), 50))
    window = without_times(flights(56, 2, first=100, change=worse), np.arange(0, 16_800, 50))
    baseline = Baseline.fit(gaps, **BINARY)
    answers = read_answers(window, baseline.outcomes.roles, "binary")

    found = find_loss_segment(answers, window, reference_answers(baseline), baseline).segment

    assert (found.column, found.conditions[0].value) == ("hour of the day (UTC)", 5.0)


def test_labels_that_came_by_chance_are_a_fair_sample_though_a_row_has_no_time(
    reference: Baseline,
) -> None:
    window = flights(7, 2, first=100)
    late = np.array(window["late"].to_pylist(), object)
    late[np.arange(1_500, 2_100)] = None  # Of the last two days none has come.
    table = without_times(window.set_column(2, "late", pa.array(late.tolist(), pa.int64())),
                          np.arange(0, 1_500, 30))  # fmt: skip

    found = ask(reference, table)

    assert "withheld" not in found.details
    assert found.labelled_count == 1_500


def test_a_saved_baseline_knows_which_rows_have_no_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=3_000)
    table = pa.table({"time": flights(10, 4)["time"], "x": x, "y": 2 * x, "said": x})
    roles = {"label": "y", "prediction": "said", "timestamp": "time", "problem": "regression"}
    fitted = Baseline.fit(without_times(table, np.array([3, 4])), **roles)
    fitted.save(tmp_path / "base")

    loaded = Baseline.load(tmp_path / "base").estimation

    assert np.flatnonzero(loaded.time_us == NO_TIME).tolist() == [3, 4]
    assert np.array_equal(loaded.time_us, fitted.estimation.time_us)


def test_few_times_of_a_window_do_not_tell_how_long_it_is(reference: Baseline) -> None:
    def dealt(columns: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        lost = rng.random(len(columns["logit"])) < 0.35
        columns["truth"] = np.where(lost, rng.normal(-1.2, 1.2, len(lost)), columns["truth"])

    window = flights(7, 2, first=100, change=dealt)
    three = without_times(window, np.setdiff1d(np.arange(2_100), [1_000, 1_001, 1_002]))
    half = without_times(window, np.random.default_rng(1).choice(2_100, 1_200, replace=False))
    none = without_times(window, np.arange(2_100))

    whole, some, few, never = (
        dl.check(one, reference, kind="model-quality") for one in (window, half, three, none)
    )

    hours = [one.details["reference_blocks"][0]["hours"] for one in (whole, some, few, never)]
    assert hours == [168, 168, pytest.approx(hours[3]), pytest.approx(168, rel=0.01)]
    assert of(few)["auc"].bound == pytest.approx(of(whole)["auc"].bound, rel=0.02)
    assert not few.passed
    assert few.details["times_note"].endswith(
        "too few of the window have one to know its length: how long they span is told by their "
        "number"
    )


@pytest.mark.parametrize("timed", [2, 20])
def test_a_reference_of_few_times_says_that_it_knows_no_days(timed: int) -> None:
    usual, window = flights(REFERENCE_DAYS, 1), flights(7, 2, first=100)
    rows = np.arange(len(usual))
    few = Baseline.fit(without_times(usual, rows[rows % (len(usual) // timed) > 0]), **BINARY)
    many = Baseline.fit(without_times(usual, rows[rows % 2 > 0]), **BINARY)

    known, found = (dl.check(window, one, kind="model-quality") for one in (many, few))

    note = "too few of the reference have one to know how days differ: no bound allows for it"
    assert found.details["times_note"].endswith(note)
    assert note not in known.details["times_note"]
