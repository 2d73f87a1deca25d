"""How blocks of a reference's time differ, and what that does to verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.attribution.blocks import block_spread, block_tail
from driftline.monitors.kinds.attribution.drift import compare
from driftline.monitors.kinds.attribution.evaluation import evaluate
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import (
    HOUR_US,
    KEY,
    Attributions,
    Importance,
)
from driftline.monitors.kinds.attribution.ranking import calibrate, tail_at
from driftline.monitors.rows import Rows, WindowFacts

START = datetime(2026, 1, 5, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DAY = timedelta(days=1)
DAY_US = 24 * HOUR_US


def days(random: np.random.Generator, count: int, rows: int, between: float) -> np.ndarray:
    """Attributions of days; in each of them one feature counts for as much as its weather says."""
    size = np.exp(random.normal(size=(count, 3)) * between)
    drawn = random.exponential(size=(count, rows, 3)) * size[:, None] * [3.0, 2.0, 1.0]
    return drawn.reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("between", [0.0, 0.2])
def test_the_variance_between_days_is_found_without_what_their_rows_add(between: float) -> None:
    random = np.random.default_rng(0)
    times = START_US + np.repeat(np.arange(400), 40) * DAY_US

    spread = block_spread(days(random, 400, 40, between), times, DAY_US)

    many = days(random, 400, 1_000, between).reshape(400, 1_000, 3).mean(axis=1)
    shares = many / many.sum(axis=1, keepdims=True)
    assert spread.blocks == 400
    # The worst of 400 days may ask for a little more than moments do.
    np.testing.assert_allclose(
        np.sqrt(np.maximum(spread.shares.variance, 0.0)), shares.std(axis=0), rtol=0.25, atol=0.012
    )
    assert max(spread.level.variance[0], 0.0) ** 0.5 == pytest.approx(
        np.log(many.sum(axis=1)).std(), rel=0.4, abs=0.03
    )


def test_times_of_independent_rows_cost_little_power() -> None:
    # What a share has to move by, of a reference of 60 days of 33 rows, with and without times.
    wider = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        rows = days(random, 60, 33, 0.0)
        spread = block_spread(rows, START_US + np.repeat(np.arange(60), 33) * DAY_US, DAY_US)
        reference, window = (
            Importance.of_rows("abc", one) for one in (rows, days(random, 1, 214, 0.0))
        )
        timed, untimed = (
            compare(reference, window, None, one).share_scale.reach(1e-4) for one in (spread, None)
        )
        wider.append(float((timed / untimed).max()))

    assert np.median(wider) < 2.5, wider


def test_a_difference_is_weighed_by_the_law_of_blocks_where_these_decide() -> None:
    # scipy's Student's law of eleven degrees, as twelve blocks have it (Hahn 1970).
    times = START_US + np.repeat(np.arange(12), 500) * DAY_US
    rows = days(np.random.default_rng(1), 12, 500, 1.0)
    spread = block_spread(rows, times, DAY_US)
    whole = Importance.of_rows("abc", rows)
    exact = replace(whole, covariance=0 * whole.covariance)

    scale = compare(exact, exact, None, spread).share_scale

    whole_variance = spread.shares.variance + spread.shares.chance
    error = np.sqrt(whole_variance * (1 + 1 / 12))
    assert scale.reach(1e-4) == pytest.approx(stats.t.isf(5e-5, 11) * error, rel=0.02)
    assert scale.chances(scale.reach(1e-4)) == pytest.approx(np.full(3, 1e-4))


def test_too_little_time_says_nothing_of_how_times_differ() -> None:
    rows = days(np.random.default_rng(0), 2, 50, 0.3)

    assert block_spread(rows, np.repeat([START_US, START_US + DAY_US], 50), DAY_US) is None
    assert block_spread(rows, np.full(100, -1), DAY_US) is None
    assert block_spread(0 * rows, START_US + np.arange(100) * DAY_US, DAY_US) is None


def test_days_of_their_own_lower_the_ranking_that_is_still_usual() -> None:
    random = np.random.default_rng(3)
    times = START_US + np.repeat(np.arange(30), 600) * DAY_US

    def losses(between: float) -> tuple[float, float]:
        rows = days(random, 30, 600, between)
        spread = block_spread(rows, times, DAY_US)
        with_days = block_tail(rows, spread, 200, seed=0)
        return with_days.loss(0.01), tail_at(calibrate(rows, seed=0), 200).loss(0.01)

    alike, alike_rows = losses(0.0)
    apart, apart_rows = losses(0.6)
    assert alike == pytest.approx(alike_rows, abs=0.02)
    assert apart > 2 * apart_rows


def model(rows: pa.Table) -> np.ndarray:
    return rows["a"].to_numpy() + rows["b"].to_numpy() + 0.5 * rows["c"].to_numpy()


def weather(random: np.random.Generator, count: int, rows: int = 150) -> pa.Table:
    """Days whose "a" swings as widely as the day's weather lets it."""
    size = np.repeat(np.exp(random.normal(size=count) * 0.5), rows)
    moments = START_US + np.repeat(np.arange(count), rows) * DAY_US + DAY_US // 3
    return pa.table(
        {
            "when": pa.array(moments, pa.timestamp("us", "UTC")),
            "a": random.normal(size=count * rows) * size,
            "b": random.normal(size=count * rows),
            "c": random.normal(size=count * rows),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    rows = weather(np.random.default_rng(7), 40)
    fitted = Baseline.fit(rows, timestamp="when")
    return explain_reference(open_source(rows), fitted, model, background=5)


def asked(baseline: Baseline, rows: pa.Table) -> CheckContext:
    facts = WindowFacts(Window(START, START + DAY))
    return CheckContext(baseline, Rows(lambda: iter(rows.to_batches()), facts=facts), predict=model)


def test_explained_rows_are_spread_evenly_over_the_references_days(reference: Baseline) -> None:
    stored = Attributions.from_arrow(reference.attributions)

    _, counts = np.unique(stored.time_us // DAY_US, return_counts=True)
    assert (len(counts), counts.sum()) == (40, 2_000)
    assert counts.min() >= 49
    assert counts.max() <= 51
    again = Attributions.from_arrow(stored.to_arrow())
    np.testing.assert_array_equal(again.hours, stored.hours)
    assert again.features == ("a", "b", "c")


def test_days_as_the_reference_has_them_pass_where_independent_rows_would_not(
    reference: Baseline,
) -> None:
    stored = Attributions.from_arrow(reference.attributions)
    older = replace(reference, attributions=replace(stored, hours=None).to_arrow())
    windows = [weather(np.random.default_rng(seed), 1) for seed in range(100, 110)]

    flags = [not evaluate(asked(reference, one)).passed for one in windows]
    before = [not evaluate(asked(older, one)).passed for one in windows]

    assert sum(before) > 2
    assert sum(flags) <= 1
    report = evaluate(asked(reference, windows[0]))
    assert report.details["blocks"] == [{"hours": 24.0, "count": 40}]
    for one in report.metrics:
        if one.bound is not None:
            is_beyond = (
                one.value > one.bound
                if one.operator == "GreaterThanThreshold"
                else (one.value < one.bound)
            )
            assert one.violated == is_beyond


def test_a_change_beyond_what_days_differ_by_is_still_seen(reference: Baseline) -> None:
    rows = weather(np.random.default_rng(9), 1)
    broken = rows.set_column(3, "c", pa.array(6 * rows["c"].to_numpy()))

    report = evaluate(asked(reference, broken))

    assert "c " in report.cause


def test_a_file_of_the_first_format_is_judged_as_before_and_says_so(reference: Baseline) -> None:
    stored = Attributions.from_arrow(reference.attributions)
    table = replace(stored, hours=None).to_arrow()
    notes = table.schema.metadata[KEY].replace(b'"format": 2', b'"format": 1')
    first = replace(reference, attributions=table.replace_schema_metadata({KEY: notes}))

    report = evaluate(asked(first, weather(np.random.default_rng(100), 1)))

    assert report.decided
    assert report.details["blocks"] == []
    assert "as if rows were independent" in report.details["blocks_note"]
    newer = table.replace_schema_metadata({KEY: notes.replace(b": 1,", b": 3,", 1)})
    with pytest.raises(InputError, match="format 3; this driftline reads up to 2"):
        evaluate(asked(replace(first, attributions=newer), weather(np.random.default_rng(1), 1)))


def test_rows_without_a_time_count_but_belong_to_no_day() -> None:
    rows = weather(np.random.default_rng(7), 10)
    times = rows["when"].to_pylist()
    times[::3] = [None] * len(times[::3])
    holes = rows.set_column(0, "when", pa.array(times, rows["when"].type))

    found = explain_reference(
        open_source(holes), Baseline.fit(holes, timestamp="when"), model, background=2
    )

    stored = Attributions.from_arrow(found.attributions)
    assert (stored.hours < 0).mean() == pytest.approx(1 / 3, abs=0.01)
    report = evaluate(asked(found, weather(np.random.default_rng(2), 1)))
    assert report.details["blocks"] == [{"hours": 24.0, "count": 10}]
