"""How values lie, in bars of equal width: against counting the values themselves."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.display import text_bars
from driftline.baseline.shape import SHAPE_BARS, narrow, shape_of

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


def test_whole_numbers_are_as_many_in_each_bar() -> None:
    values = RNG.integers(0, 60, 60_000)  # 24 bars of equal width would hold 2 or 3 of them each.
    cells = numbers(values, "int64")
    counts = cells.count(pa.array(values))

    inner = shape_of(cells, counts, counts)[0][1:-1]

    assert inner.max() < 1.2 * inner.min()


def test_few_values_have_a_bar_each() -> None:
    values = np.repeat([1, 2, 5], [300, 100, 600])
    cells = numbers(values, "int64")
    counts = cells.count(pa.array(values))

    assert shape_of(cells, counts, counts)[0].tolist() == [0.3, 0.1, 0.6]


def test_levels_come_as_they_do_in_the_cells_and_the_unseen_last() -> None:
    levels = {"a": 600, "b": 400}
    cells = text_cells("x", "string", levels, complete=True, row_count=1_000)
    reference = cells.count(pa.array(["a"] * 600 + ["b"] * 400))

    shape = shape_of(cells, reference, cells.count(pa.array(["b", "new", "new", "new"])))

    assert shape.tolist() == [[0.6, 0.4, 0.0], [0.0, 0.25, 0.75]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(3, 12), st.booleans())
def test_joining_bars_loses_nothing(shares: list[float], bars: int, ordered: bool) -> None:
    joined = narrow(np.array(shares), bars, ordered=ordered)

    assert len(joined) == min(len(shares), bars)
    assert joined.sum() == pytest.approx(sum(shares))
    assert ordered or joined[-1] == shares[-1]


def test_bars_as_text_grow_with_the_share() -> None:
    assert text_bars(np.array([0.0, 0.5, 1.0]), 8, ordered=True) == "\u2581\u2585\u2588"
    assert text_bars(np.zeros(3), 8, ordered=True) == "\u2581" * 3
    assert text_bars(np.zeros(0), 8, ordered=True) == ""


# Every way in which the whole numbers 0 to 3 can be absent, rare or frequent, but for no row.
SMALL = [one for one in product((0, 1, 300, 9_999), repeat=4) if any(one)]


@pytest.mark.parametrize("column_type", ["int64", "double"])
def test_small_numbers_of_any_frequency_have_bars(column_type: str) -> None:
    for counts in SMALL:
        values = np.repeat(np.arange(4), counts)
        cells = numbers(values, column_type)
        reference = cells.count(pa.array(values))
        for other in (-5, 0, 1, 2, 3, 9):
            shape = shape_of(cells, reference, cells.count(pa.array([other] * 100)))

            assert 1 <= shape.shape[1] <= SHAPE_BARS, counts
            # Of frequent values with a bar each, a thousandth of others may be missing.
            assert shape.sum(axis=1) == pytest.approx([1.0, 1.0], abs=0.001), counts


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(st.integers(-40, 40), st.sampled_from([10**18, -(10**18), 2**62])),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=10),
    st.sampled_from([1, 7, 1_000]),
)
def test_whole_numbers_are_each_in_one_bar(
    values: list[int], others: list[int], times: int
) -> None:
    column = np.array(values * times + values[:1])
    cells = numbers(column, "int64")

    shape = shape_of(cells, cells.count(pa.array(column)), cells.count(pa.array(others)))

    assert 1 <= shape.shape[1] <= SHAPE_BARS
    assert (shape >= 0).all()
    assert shape.sum(axis=1) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("column_type", "value"), [("int64", 0), ("int64", 1), ("int64", 2**60), ("double", 0.5)]
)
def test_of_one_value_what_is_less_and_what_is_more_are_told_apart(
    column_type: str, value: float
) -> None:
    cells = numbers(np.full(300, value), column_type)
    counts = cells.count(pa.array([value] * 300))
    others = [value * 2 + 3] * 3 + [-3]

    reference, window = shape_of(cells, counts, cells.count(pa.array(others)))

    assert reference.tolist() == [0.0, 1.0, 0.0]
    assert window.tolist() == [0.25, 0.0, 0.75]


def test_a_rare_whole_number_beside_a_constant_has_a_bar() -> None:
    values = np.repeat([0, 1], [9_999, 1])
    cells = numbers(values, "int64")
    counts = cells.count(pa.array(values))

    reference, window = shape_of(cells, counts, cells.count(pa.array([0, 1])))

    assert reference.tolist() == pytest.approx([0.9999, 0.0001])
    assert window.tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("bars", [6, 8, 12])
@pytest.mark.parametrize("count", [7, 12, 13, 24, 25, 29, 60, 61])
def test_even_whole_numbers_look_even(count: int, bars: int) -> None:
    values = np.repeat(np.arange(count), 1_000)
    cells = numbers(values, "int64")
    counts = cells.count(pa.array(values))

    shape = shape_of(cells, counts, counts)[0]

    assert set(text_bars(shape, bars, ordered=True)) == {"\u2588"}
