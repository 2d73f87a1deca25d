"""How values lie, in bars of equal width: against counting the values themselves."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.shape import SHAPE_BARS, shape_of

RNG = np.random.default_rng(5)


def numbers(values: np.ndarray, column_type: str = "double"):
    distinct, weights = np.unique(values, return_counts=True)
    return number_cells("x", column_type, distinct, weights)


def test_a_bell_looks_like_a_bell() -> None:
    values = RNG.normal(0, 1, 50_000)
    cells = numbers(values)
    counts = cells.count(pa.array(values))

    reference, window = shape_of(cells, counts, counts)

    low, high = np.quantile(values, [0.01, 0.99])
    expected = np.histogram(values, np.linspace(low, high, SHAPE_BARS + 1))[0] / len(values)
    # Cells are even inside, which moves a few rows of a hundred to a neighbouring bar.
    assert np.abs(reference - expected).sum() / 2 < 0.06
    assert 8 < np.argmax(reference) < 16
    assert reference.tolist() == window.tolist()


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=30, max_size=300),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50),
)
def test_every_value_is_in_one_bar(values: list[float], others: list[float]) -> None:
    cells = numbers(np.array(values))

    shape = shape_of(cells, cells.count(pa.array(values)), cells.count(pa.array(others)))

    assert shape.shape[1] <= SHAPE_BARS
    assert (shape >= 0).all()
    if shape.shape[1]:
        assert shape.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_rows_without_a_value_are_in_no_bar() -> None:
    values = RNG.normal(0, 1, 2_000)
    cells = numbers(values)

    shape = shape_of(
        cells, cells.count(pa.array(values)), cells.count(pa.array([*values[:500], *[None] * 500]))
    )

    assert shape[1].sum() == pytest.approx(0.5)


def test_what_lies_beyond_the_reference_is_in_the_last_bar() -> None:
    values = RNG.normal(0, 1, 2_000)
    cells = numbers(values)

    shape = shape_of(cells, cells.count(pa.array(values)), cells.count(pa.array(values + 1e6)))

    assert shape[1].tolist() == [0.0] * (SHAPE_BARS - 1) + [1.0]


def test_levels_come_as_they_do_in_the_cells_and_the_unseen_last() -> None:
    levels = {"a": 600, "b": 400}
    cells = text_cells("x", "string", levels, complete=True, row_count=1_000)
    reference = cells.count(pa.array(["a"] * 600 + ["b"] * 400))

    shape = shape_of(cells, reference, cells.count(pa.array(["b", "new", "new", "new"])))

    assert shape.tolist() == [[0.6, 0.4, 0.0], [0.0, 0.25, 0.75]]
