"""Shares given other columns: as many holidays, then the same shares; oracle: pandas' crosstab."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.sample import RowSample
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.given import Given
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.reference_model import ReferenceModel
from driftline.monitors.drift_test.spans import Span
from tests.monitors.drift_test.streams import window

ROWS = 40_000
LEVELS = {"size": ["s", "m", "l"], "region": ["south", "north", "west"], "holiday": ["0", "1"]}


def drawn(rng: np.random.Generator) -> pd.DataFrame:
    """Sizes that depend on region; holidays, which come in winter, when sizes are smaller."""
    hours = np.sort(rng.integers(0, 8 * 364 * 24, ROWS) // 8) + 24 * 18_000
    winter = (hours // 24 % 364 < 60) | (hours // 24 % 364 > 300)
    region = rng.choice(3, ROWS, p=[0.6, 0.3, 0.1])
    size = (rng.random(ROWS) < 0.2 + 0.3 * (region == 1) - 0.1 * winter).astype(int)
    size += rng.random(ROWS) < 0.3
    holiday = winter & (rng.random(ROWS) < 0.2)
    codes = {"size": size, "region": region, "holiday": holiday.astype(int)}
    named = {name: np.array(LEVELS[name])[codes] for name, codes in codes.items()}
    return pd.DataFrame({**named, "hour": hours})


def model(rows: pd.DataFrame, *, timed: bool) -> tuple[ReferenceModel, RowSample]:
    cells, codes, columns = {}, {}, {}
    for name, levels in LEVELS.items():
        counts = rows[name].value_counts().to_dict()
        cells[name] = text_cells(name, "string", counts, complete=True, row_count=len(rows))
        place = {level: at for at, level in enumerate(cells[name].levels)}
        assert set(place) == set(levels)
        codes[name] = rows[name].map(place).to_numpy(np.uint8)
        held = np.bincount(codes[name], minlength=cells[name].size).astype(float)
        columns[name] = ReferenceColumn(cells[name], held)
    hours = rows["hour"].to_numpy() if timed else None
    return ReferenceModel.of(columns, None, None), RowSample(codes, hours, len(rows))


def given(
    known: ReferenceModel, sample: RowSample, context: list[str], rows: pd.DataFrame
) -> tuple[pd.Series, float]:
    """Return sizes expected of rows, and the reference rows behind them."""
    layout: Layout = known.layout
    counts = {}
    for one in layout.columns:
        place = {level: at for at, level in enumerate(one.reference.cells.levels)}
        found = (
            rows[one.name].map(place).fillna(len(place)).to_numpy(int)
            if one.name in rows
            else np.zeros(0, int)
        )
        counts[one.name] = np.bincount(found, minlength=one.reference.cells.size)
    span = Span((window(counts, None, timedelta(days=7)),), 1, 1)
    flat, _ = layout.flatten(counts)
    found = Given.of(layout, sample, context).adjust(layout, flat, known.expect(span))
    own = slice(*layout.cell_starts[:2])
    levels = layout.columns[0].reference.cells.levels
    return pd.Series(found.cells[own][: len(levels)], levels), float(found.rows[0])


def test_a_span_is_compared_with_as_many_rows_of_each_group(rng: np.random.Generator) -> None:
    rows = drawn(rng)
    known, sample = model(rows, timed=False)
    window_rows = rows[rows.region != "south"][:500]

    found, _ = given(known, sample, ["region"], window_rows)

    shares = pd.crosstab(rows.region, rows["size"], normalize="index")
    mix = window_rows.region.value_counts(normalize=True)
    expected = mix @ shares.loc[mix.index]
    assert found.to_dict() == pytest.approx(expected[found.index].to_dict(), abs=1e-4)


def test_only_the_rows_of_a_group_stand_behind_what_is_expected_of_it(
    rng: np.random.Generator,
) -> None:
    rows = drawn(rng)
    known, sample = model(rows, timed=False)

    _, behind = given(known, sample, ["region"], rows[rows.region == "west"])
    _, usual = given(known, sample, ["region"], rows)

    assert behind == pytest.approx((rows.region == "west").sum(), rel=1e-2)
    assert usual == pytest.approx(ROWS)


def test_a_holiday_in_winter_is_told_from_winter(rng: np.random.Generator) -> None:
    """Holidays change no size; winters do, and untimed rows do not show which of the two it is."""
    rows = drawn(rng)
    usual = rows["size"].value_counts(normalize=True)["m"]
    week = rows[rows.holiday == "1"]

    blind, _ = given(*model(rows, timed=False), ["holiday"], week)
    found, _ = given(*model(rows, timed=True), ["holiday"], week)

    assert abs(found["m"] - usual) < abs(blind["m"] - usual) / 2


def test_a_column_that_did_not_come_changes_nothing(rng: np.random.Generator) -> None:
    rows = drawn(rng)
    known, sample = model(rows, timed=False)

    found, behind = given(known, sample, ["region"], rows.drop(columns="region"))

    usual = rows["size"].value_counts(normalize=True)
    assert found.to_dict() == pytest.approx(usual[found.index].to_dict())
    assert behind == ROWS


def test_values_that_the_reference_never_had_change_nothing(rng: np.random.Generator) -> None:
    rows = drawn(rng)
    known, sample = model(rows, timed=False)

    found, behind = given(known, sample, ["region"], rows.assign(region="EAST"))

    usual = rows["size"].value_counts(normalize=True)
    assert found.to_dict() == pytest.approx(usual[found.index].to_dict())
    assert behind == ROWS


def test_two_declared_columns_add_up(rng: np.random.Generator) -> None:
    """A number moved by each of two causes, which both become more frequent."""
    causes = rng.random((200_000, 2)) < (0.4, 0.1)
    x = rng.normal(size=len(causes)) + causes.sum(axis=1)
    cells = number_cells("x", "double", *np.unique(x, return_counts=True))
    columns, codes = {}, {}
    for name, values in (("a", causes[:, 0]), ("b", causes[:, 1])):
        own = text_cells(name, "string", {"n": 2, "y": 1}, complete=True, row_count=3)
        codes[name] = values.astype(np.uint8)
        held = np.bincount(codes[name], minlength=own.size).astype(float)
        columns[name] = ReferenceColumn(own, held)
    codes["x"] = np.searchsorted(cells.edges, x, side="right").astype(np.uint8)
    held = np.bincount(codes["x"], minlength=cells.size).astype(float)
    known = ReferenceModel.of({**columns, "x": ReferenceColumn(cells, held)}, None, None)
    weight = np.where(causes, [2.0, 6.0], [1 / 3, 4 / 9]).prod(axis=1)  # To 0.8 and 0.6.
    both = rng.random(weight.size) < weight / weight.max()
    counts = {
        name: np.bincount(code[both], minlength=known.layout.columns[at].reference.cells.size)
        for at, (name, code) in enumerate(codes.items())
    }
    flat, _ = known.layout.flatten(counts)
    one = Given.of(known.layout, RowSample(codes, None, len(x)), ["a", "b"])

    found = one.adjust(known.layout, flat, known.expect(Span((window(counts, None),), 1, 1)))

    own = slice(*known.layout.cell_starts[2:4])
    assert np.abs(np.cumsum(found.cells[own]) - np.cumsum(flat[own]) / both.sum()).max() < 0.02


def test_a_declared_column_is_itself_judged_as_ever(rng: np.random.Generator) -> None:
    rows = drawn(rng)
    known, sample = model(rows, timed=False)
    one = Given.of(known.layout, sample, ["region", "holiday"])
    flat, _ = known.layout.flatten(
        {one.name: one.reference.counts.astype(np.int64) for one in known.layout.columns}
    )
    west = flat.copy()
    at = slice(*known.layout.cell_starts[1:3])
    west[at] = np.roll(west[at], 1)

    usual = known.expect(Span((window({}, None),), 1, 1))
    found = one.adjust(known.layout, west, usual)

    assert found.cells[at].tolist() == usual.cells[at].tolist()
    assert found.rows[1] == usual.rows[1]
    assert found.rows[0] < usual.rows[0]
