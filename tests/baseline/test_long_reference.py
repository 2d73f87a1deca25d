"""A long reference keeps the hours of some days, and the others by the day: what that tells."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.blocks import DAYS_KEPT, BlockCounts
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.reference_model import Expectation, ReferenceModel
from driftline.monitors.drift_test.spans import Span
from driftline.monitors.drift_test.window_counts import WindowCounts

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS, PACE = 120, 120  # Rows an hour.
NAMES = ("x", "y", "z")


def rows(days: int, pace: int, *, begin: datetime = START, mean: float = 0.0) -> pa.Table:
    """Return rows that have a daily cycle, weekends and days of their own."""
    rng = np.random.default_rng(days)
    hours = np.repeat(np.arange(24 * days), pace)
    of_day = np.sin(2 * np.pi * hours / 24) + 0.5 * (hours // 24 % 7 >= 5)
    own = rng.normal(0, 0.3, days)[hours // 24]
    times = hours * 3_600_000_000 + rng.integers(0, 3_600_000_000, len(hours))
    since = int(begin.timestamp()) * 1_000_000
    found = {name: mean + of_day + own + rng.normal(size=len(hours)) for name in NAMES}
    level = rng.choice(["a", "b", "c"], len(hours), p=[0.5, 0.3, 0.2])
    at = pa.array(np.sort(times) + since, pa.timestamp("us", tz="UTC"))
    return pa.table({"at": at, **found, "level": level})


@cache
def whole() -> Baseline:
    """Return the reference with all its hours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockCounts, "thinned", lambda one: one)
        return Baseline.fit(rows(DAYS, PACE), timestamp="at")


@cache
def fitted() -> Baseline:
    return Baseline.fit(rows(DAYS, PACE), timestamp="at")


def counts_of(baseline: Baseline) -> BlockCounts:
    assert baseline.blocks is not None
    return baseline.blocks


def expected(baseline: Baseline, length: timedelta, scale: int) -> Expectation:
    begin = START + timedelta(days=70)
    each = PACE * (length // HOUR)
    windows = tuple(
        WindowCounts(begin + at * length, begin + (at + 1) * length, each, {})
        for at in reversed(range(scale))
    )
    model = ReferenceModel.of(reference_columns(baseline), baseline.blocks, length)
    return model.expect(Span(windows, scale, scale))


def test_days_keep_their_hours_evenly_over_time_and_weekdays() -> None:
    days = np.unique(counts_of(fitted()).hours // 24)

    assert len(days) == DAYS_KEPT
    assert {*Counter((days % 7).tolist()).values()} == {DAYS_KEPT // 7}
    assert np.diff(days).max() <= 10


def test_days_and_hours_of_the_week_and_rows_are_those_of_all_rows() -> None:
    thinned, full = counts_of(fitted()), counts_of(whole())

    assert thinned.is_thinned
    assert np.array_equal(thinned.all_hours, full.hours)
    assert np.array_equal(thinned.all_rows, full.all_rows)
    assert thinned.span_days == full.span_days
    week, known = thinned.of_seasons.hours % 168, full.hours % 168
    for name in (*NAMES, "level"):
        assert np.array_equal(thinned.by_day.counts[name], full.by_day.counts[name])
        for hour in (0, 100, 167):
            found = thinned.of_seasons.counts[name][week == hour].sum(axis=0)
            assert np.array_equal(found, full.counts[name][known == hour].sum(axis=0))


@pytest.mark.parametrize(("days", "scale"), [(1, 1), (1, 8), (4, 1)])
def test_windows_of_days_are_judged_as_with_all_hours(days: int, scale: int) -> None:
    found, known = (expected(one, timedelta(days=days), scale) for one in (fitted(), whole()))

    np.testing.assert_allclose(found.cells, known.cells, rtol=1e-9)
    np.testing.assert_allclose(found.rows, known.rows, rtol=1e-9)
    np.testing.assert_allclose(found.effect, known.effect, rtol=1e-6)


@pytest.mark.parametrize(("hours", "scale"), [(1, 1), (5, 1), (6, 8)])
def test_windows_of_hours_are_judged_nearly_as_with_all_hours(hours: int, scale: int) -> None:
    found, known = (expected(one, hours * HOUR, scale) for one in (fitted(), whole()))

    np.testing.assert_allclose(found.cells, known.cells, rtol=1e-9)
    # A fifth, of what 42 days tell in place of 120.
    assert np.median(found.effect / known.effect) == pytest.approx(1.0, abs=0.2)


def test_a_folder_has_what_was_kept(tmp_path: Path) -> None:
    fitted().save(tmp_path)

    loaded = Baseline.load(tmp_path)

    assert loaded.version == fitted().version
    found, known = counts_of(loaded), counts_of(fitted())
    assert found.let_go is not None
    assert known.let_go is not None
    assert np.array_equal(found.let_go.days, known.let_go.days)
    assert np.array_equal(found.all_rows, known.all_rows)
    for name, counts in known.counts.items():
        assert np.array_equal(found.counts[name], counts)
        assert np.array_equal(found.let_go.counts[name], known.let_go.counts[name])
        assert np.array_equal(found.let_go.weeks[name], known.let_go.weeks[name])


def test_without_what_was_learnt_of_its_days_it_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    (tmp_path / "learnt-days.arrow").unlink()

    with pytest.raises(InputError, match=r"learnt-days.arrow: it is missing.*from a backup"):
        Baseline.load(tmp_path)
