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
from driftline.baseline.renewal import Change, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
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


def test_a_span_that_fills_no_day_is_judged_as_the_next_longer() -> None:
    model = ReferenceModel.of(reference_columns(fitted()), counts_of(fitted()), HOUR)

    assert model.seasonal is not None
    for hours, longer in ((5, 6), (16, 24), (32, 48), (72, 72)):
        assert model.seasonal.at(hours) is model.seasonal.at(longer)


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


def test_it_takes_less_room(tmp_path: Path) -> None:
    sizes = []
    for name, one in (("thinned", fitted()), ("whole", whole())):
        one.save(tmp_path / name)
        sizes.append((tmp_path / name / "profile.arrow").stat().st_size)

    assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.parametrize(("days", "pace"), [(92, 30), (200, 1)], ids=["a quarter", "few rows"])
def test_what_is_short_or_small_keeps_all_hours(days: int, pace: int) -> None:
    found = counts_of(Baseline.fit(rows(days, pace), timestamp="at"))

    assert not found.is_thinned
    assert len(found.hours) == 24 * days


def test_without_what_was_learnt_of_its_days_it_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    (tmp_path / "learnt-days.arrow").unlink()

    with pytest.raises(InputError, match=r"learnt-days.arrow: it is missing.*from a backup"):
        Baseline.load(tmp_path)


def test_what_was_learnt_is_that_of_all_hours() -> None:
    found, known = fitted().learnt_days, whole().learnt_days

    assert found is not None
    assert known is not None
    assert found.to_bytes(b"profile") == known.to_bytes(b"profile")
    (part,) = found.only(["y", "level"]).parts
    whole_part = known.parts[0]
    assert tuple(part.scores) == ("y", "level")
    places = np.concatenate([np.r_[whole_part.places[one]] for one in part.scores])
    assert part.names == tuple(whole_part.names[at] for at in places)
    assert np.array_equal(part.variation.row_variance, whole_part.variation.row_variance[places])
    for length, one in whole_part.variation.lengths.items():
        assert np.array_equal(part.variation.lengths[length].variance, one.variance[places])
    assert found.only(["none"]).parts == ()


def test_a_column_is_made_anew_beside_those_of_a_long_reference() -> None:
    begin = START + timedelta(days=200)
    fresh = rows(40, 5, begin=begin, mean=2.0).select(["at", "x"])
    change = Change(("x",), begin, begin + timedelta(days=40), "ann", "moved", begin)

    found = with_columns_anew(fitted(), open_source(fresh), change, event_time="at")

    own, alone = counts_of(found).of("x"), Baseline.fit(fresh, timestamp="at")
    assert own is not None
    assert np.array_equal(own.counts["x"], counts_of(alone).counts["x"])
    assert np.array_equal(
        counts_of(found).by_day.counts["y"], counts_of(whole()).by_day.counts["y"]
    )
    assert found.learnt_days is not None
    by_column = {name: one for one in found.learnt_days.parts for name in one.scores}
    assert {*by_column} == {*NAMES, "level"}
    assert by_column["x"].variation.span_days == 40
    assert by_column["y"].variation.span_days == DAYS
