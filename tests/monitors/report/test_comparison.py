import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.cells import number_cells
from driftline.monitors.report.comparison import compare
from driftline.stats.intervals import wilson

RNG = np.random.default_rng(20131118)


def numbers(values):
    distinct, weights = np.unique(values, return_counts=True)
    return number_cells("temp", "double", distinct, weights)


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=30, max_size=300))
def test_bars_hold_every_row_once(values):
    cells = numbers(np.array(values))
    counts = cells.count(pa.array(values))

    found = compare(cells, counts, counts[::-1].copy())

    assert found.reference.sum() == pytest.approx(1.0)
    assert found.window.sum() == pytest.approx(1.0)
    assert len(set(found.labels)) == len(found.labels)


def test_few_whole_numbers_have_a_bar_each():
    hours = RNG.integers(5, 24, 5_000).astype(float)
    cells = numbers(hours)
    counts = cells.count(pa.array(hours))

    found = compare(cells, counts, counts)

    assert found.labels == tuple(f"= {hour}" for hour in range(5, 24))


@pytest.mark.parametrize("rows", [0, 1, 7, 4_000])
def test_intervals_are_wilsons(rows):
    values = RNG.normal(50, 15, 4_000).round(1)
    cells = numbers(values)
    counts = cells.count(pa.array(values[:rows]))

    found = compare(cells, cells.count(pa.array(values)), counts)

    shares = found.window * rows
    expected = [wilson(float(count), rows) for count in shares]
    assert found.window_low == pytest.approx([low for low, _ in expected], abs=1e-12)
    assert found.window_high == pytest.approx([high for _, high in expected], abs=1e-12)
