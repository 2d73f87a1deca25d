"""Days of the reference differ, and windows are judged by how much."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.kinds.attribution.attributions import Attributions
from driftline.monitors.kinds.attribution.evaluation import evaluate
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.rows import Rows, WindowFacts

START = datetime(2026, 1, 5, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DAY = timedelta(days=1)
DAY_US = 86_400_000_000


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
    np.testing.assert_array_equal(again.time_us, stored.time_us)
    assert again.features == ("a", "b", "c")


def test_days_as_the_reference_has_them_pass_where_independent_rows_would_not(
    reference: Baseline,
) -> None:
    stored = Attributions.from_arrow(reference.attributions)
    older = replace(reference, attributions=replace(stored, time_us=None).to_arrow())
    windows = [weather(np.random.default_rng(seed), 1) for seed in range(100, 110)]

    flags = [not evaluate(asked(reference, one)).passed for one in windows]
    before = [not evaluate(asked(older, one)).passed for one in windows]

    assert sum(before) > 2
    assert sum(flags) <= 1
    for one in evaluate(asked(reference, windows[0])).metrics:
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


def test_a_change_too_small_for_one_day_is_found_in_four(reference: Baseline) -> None:
    random = np.random.default_rng(12)
    start = START + 2 * DAY  # The fourth day from here ends a span of four.
    kept: list[WindowSums] = []
    for day in range(4):
        rows = weather(random, 1)
        changed = rows.set_column(3, "c", pa.array(2.2 * rows["c"].to_numpy()))
        facts = WindowFacts(Window(start + day * DAY, start + (day + 1) * DAY))
        context = asked(reference, changed)
        context = replace(
            context,
            rows=replace(context.rows, facts=facts),
            past=PastWindows(sums=tuple(kept)),
        )
        report = evaluate(context)
        assert report.sums is not None
        kept.append(report.sums)
        if day < 3:
            assert report.passed

    assert " over 4 windows: c " in report.cause


def test_windows_of_few_rows_are_judged_over_a_span(reference: Baseline) -> None:
    random, kept, reports = np.random.default_rng(12), [], []
    for day in range(2, 6):  # The fourth day from here ends a span of four.
        facts = WindowFacts(Window(START + day * DAY, START + (day + 1) * DAY))
        context = asked(reference, weather(random, 1, 20))
        context = replace(
            context,
            rows=replace(context.rows, facts=facts),
            past=PastWindows(sums=tuple(kept)),
        )
        reports.append(evaluate(context))
        kept.append(reports[-1].sums)

    assert [one.decided for one in reports] == [False, False, False, True]
    assert reports[3].passed
    assert reports[3].summary.startswith("20 rows, no violations over the last 4 and 16 windows; ")
