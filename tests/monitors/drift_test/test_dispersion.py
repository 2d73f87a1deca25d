"""Design effects: how much more the reference's own blocks vary than independent rows would."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.dispersion import Dispersion
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.reference_model import ReferenceModel
from driftline.monitors.drift_test.spans import Span
from driftline.monitors.drift_test.window_counts import WindowCounts
from tests.monitors.drift_test.streams import flag, flags, reference

DAYS, SESSIONS, ROWS = 60, 10, 20
DAY_ROWS = SESSIONS * ROWS


def effects(
    tables: dict[str, np.ndarray], *, unit_h: int, length_h: int | None = None, rows: float = 0.0
) -> dict[str, np.ndarray]:
    """Design effects by column, of spans of ``length_h`` hours."""
    columns, blocks = reference({name: flag(name) for name in tables}, tables)
    layout = Layout.of(columns)
    found = Dispersion(layout, blocks, unit_h, seasonal=False).at(length_h or unit_h)
    factors, *_ = found.for_rows(layout, rows or found.block_rows)
    return {name: factors[layout.places([i])] for i, name in enumerate(layout.names)}


def daily(shares: np.ndarray, rows: int = DAY_ROWS) -> np.ndarray:
    """One block a day: all rows of a day in its first hour, shape (hours, cells)."""
    table = np.zeros((24 * len(shares), flag().size), dtype=np.int64)
    table[::24] = flags(np.round(shares * rows).astype(np.int64), np.full(len(shares), rows))
    return table


def test_independent_rows_have_a_design_effect_near_one(rng: np.random.Generator) -> None:
    counts = rng.binomial(200, 0.3, 90)

    found = effects({"x": flags(counts, np.full(90, 200))}, unit_h=1)["x"]

    assert (found >= 1).all()
    assert found.max() < 2.5


def test_rows_that_come_in_clusters_have_the_clusters_size_as_design_effect(
    rng: np.random.Generator,
) -> None:
    found = effects({"x": flags(25 * rng.binomial(20, 0.4, 120), np.full(120, 500))}, unit_h=1)

    assert 20 < found["x"][0] < 60


def test_a_window_with_more_rows_than_a_block_does_not_average_the_day_away(
    rng: np.random.Generator,
) -> None:
    table = {"x": flags(np.round(300 * rng.beta(2, 2, 60)).astype(int), np.full(60, 300))}

    usual = effects(table, unit_h=1, rows=300)["x"][0]
    tenfold = effects(table, unit_h=1, rows=3000)["x"][0]

    # The rest of what is beyond independent rows is an allowance for so few blocks.
    shown = (usual - 1) / (1 + 2 * math.sqrt(2 / 60))
    assert tenfold == pytest.approx(usual + 9 * shown)


def test_a_window_of_many_rows_is_not_taken_to_vary_by_what_is_only_an_allowance(
    rng: np.random.Generator,
) -> None:
    table = {"x": flags(rng.binomial(200, 0.3, 90), np.full(90, 200))}

    assert effects(table, unit_h=1, rows=20_000)["x"][0] < 20


def test_few_blocks_are_not_believed() -> None:
    found = effects({"x": flags(np.full(5, 50), np.full(5, 100))}, unit_h=1)

    assert (found["x"] >= 2).all()


def test_longer_spans_than_the_reference_has_are_taken_to_vary_as_the_shorter_ones_foretell(
    rng: np.random.Generator,
) -> None:
    # A walk with a memory of 48 hours: the longer the span, the more its rows have in common.
    state, shares = 0.0, []
    for shock in rng.normal(size=240):
        state = np.exp(-1 / 48) * state + shock * np.sqrt(1 - np.exp(-2 / 48))
        shares.append(0.5 + 0.1 * np.clip(state, -3, 3))
    table = {"x": flags(rng.binomial(1000, shares), np.full(240, 1000))}

    short, long = (effects(table, unit_h=1, length_h=h)["x"][0] for h in (1, 64))

    assert long > 4 * short


@pytest.mark.parametrize("length_h", [48, 96, 192, 384, 768])
def test_blocks_of_twice_the_length_vary_at_most_twice_as_much(
    rng: np.random.Generator, length_h: int
) -> None:
    """The square of a mean of two is at most the mean of their squares (Jensen's inequality)."""
    table = {"x": flags(rng.binomial(9, 0.33, 24 * 24), np.full(24 * 24, 9))}

    half, whole = (effects(table, unit_h=24, length_h=h)["x"] for h in (length_h // 2, length_h))

    assert (whole <= np.maximum(2 * half, 2)).all()


@pytest.mark.parametrize("seed", range(8))
def test_independent_rows_of_a_few_weeks_tell_how_a_window_as_long_varies(seed: int) -> None:
    """Of 24 days there are three blocks of 12: too few to tell by themselves."""
    rows = np.full(24 * 24, 9)
    table = {"x": flags(np.random.default_rng(seed).binomial(rows, 0.33), rows)}

    # As if each day moved as a whole by what the days are at most taken to vary, 2.
    assert effects(table, unit_h=24 * 24)["x"].max() < 24 * 2


def test_a_slow_process_is_not_compared_with_itself(rng: np.random.Generator) -> None:
    # Two days up, two days down: each block has its like beside it.
    shares = np.where(np.arange(960) // 48 % 2, 0.4, 0.6)

    found = effects({"x": flags(rng.binomial(400, shares), np.full(960, 400))}, unit_h=1)

    # (0.1 sqrt(400 / 0.24))^2 = 16.7, and the expectation leans to the other side.
    assert found["x"][0] > 16


def null_effect(rng: np.random.Generator, session_rows: int, gaps: int = 0) -> float:
    """Return the effect of the gaps of a column of independent rows, among clustered columns."""
    tables = {
        f"s{i}": daily(rng.binomial(DAY_ROWS // session_rows, 0.5, DAYS) * session_rows / DAY_ROWS)
        for i in range(3)
    }
    tables["x"] = daily(rng.binomial(DAY_ROWS, 0.5, DAYS) / DAY_ROWS)
    tables["x"][0, 1] -= gaps
    tables["x"][0, -2] = gaps
    return float(effects(tables, unit_h=24)["x"][-2])


def test_gaps_never_seen_are_taken_to_cluster_as_the_other_columns_do(
    rng: np.random.Generator,
) -> None:
    assert null_effect(rng, session_rows=20) == pytest.approx(25, abs=7)


def test_gaps_that_were_seen_speak_for_themselves(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=20, gaps=1) < 5


def test_independent_columns_lend_nothing(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=1) < 3


def test_no_more_is_borrowed_than_leaves_an_empty_column_found(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=200) == 30


@pytest.mark.parametrize("gaps", [0, 1])
def test_values_that_move_slowly_do_not_say_that_gaps_do(
    rng: np.random.Generator, gaps: int
) -> None:
    # Whole days of one level, as weather: an effect of hundreds, which a feed that fails has not.
    table = daily(rng.integers(0, 2, DAYS).astype(float))
    table[::24, 1] -= gaps * (table[::24, 1] > 0) * (np.arange(DAYS) < 9)
    table[::24, -2] = DAY_ROWS - table[::24, :2].sum(axis=1)

    found = effects({"x": table}, unit_h=24)["x"]

    assert found[0] > 300
    assert found[-2] <= 31
    assert found[-3] <= 31, "nor that new ones come together"


@pytest.mark.parametrize(
    ("of_a", "is_inner"), [(49, False), (50, True), (500, True), (950, True), (951, False)]
)
def test_sets_of_a_twentieth_of_the_rows_up_to_its_complement_say_how_a_column_varies(
    of_a: int, is_inner: bool
) -> None:
    columns, _ = reference({"x": flag()}, {"x": flags(np.array([of_a]), np.array([1_000]))})

    layout = Layout.of(columns)

    shares = layout.reference_sets / 1_000
    assert (layout.central == ((shares >= 0.05) & (shares <= 0.95))).all()
    assert layout.central.any() == is_inner


def test_a_reference_none_of_whose_columns_are_counted_by_the_hour_has_no_season() -> None:
    table = {"x": flags(np.full(24 * 60, 3), np.full(24 * 60, 10))}
    columns, blocks = reference({"x": flag()}, table)
    layout, uncounted = Layout.of(columns), BlockCounts(blocks.hours, {})

    (grid,) = Dispersion(layout, uncounted, 1, seasonal=True).grids

    assert grid.size == 1


@pytest.mark.parametrize("hour", [-400_000, 2_000_000])
def test_one_stray_time_leaves_the_reference_as_it_is(rng: np.random.Generator, hour: int) -> None:
    """Of a window without times, as long as its rows; a row of 1970 or 2261 is no half century."""
    table = {"x": flags(rng.binomial(20, 0.3, 2000), np.full(2000, 20))}
    columns, blocks = reference({"x": flag()}, table)
    counts = {"x": np.concatenate([blocks.counts["x"], [[1, *[0] * (flag().size - 1)]]])}
    hours = np.append(blocks.hours, blocks.hours[-1] + hour)
    order = np.argsort(hours)
    stray = BlockCounts(hours[order], {"x": counts["x"][order]})
    window = WindowCounts(None, None, 1000, {"x": flags(np.array([300]), np.array([1000]))[0]})

    found, usual = (
        ReferenceModel.of(columns, one, None).expect(Span((window,), 1, 1)).effect
        for one in (stray, blocks)
    )

    np.testing.assert_allclose(found, usual, rtol=0.05)
