import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.predicate import Predicate
from driftline.monitors.report.comparison import compare
from driftline.stats.intervals import wilson

RNG = np.random.default_rng(20131118)


def numbers(values):
    distinct, weights = np.unique(values, return_counts=True)
    return number_cells("temp", "double", distinct, weights)


def texts(levels, *, complete=True):
    return text_cells(
        "carrier", "string", levels, complete=complete, row_count=sum(levels.values())
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=30, max_size=300))
def test_bars_hold_every_row_once(values):
    cells = numbers(np.array(values))
    counts = cells.count(pa.array(values))

    found = compare(cells, counts, counts[::-1].copy())

    assert found.reference.sum() == pytest.approx(1.0)
    assert found.window.sum() == pytest.approx(1.0)
    assert len(set(found.labels)) == len(found.labels)


def test_named_set_keeps_bars_of_its_own():
    values = RNG.normal(50, 15, 4_000).round(1)
    cells = numbers(values)
    reference = cells.count(pa.array(values))
    cold = np.concatenate([values[:700], np.full(300, 2.0)])
    named = next(one for one in cells.predicates if one.op == "lt" and one.value > 5)

    found = compare(cells, reference, cells.count(pa.array(cold)), moved=named)

    expected = float((cold < named.value).mean())
    assert found.window[found.moved].sum() == pytest.approx(expected)
    assert not found.moved.all()


def test_a_long_tail_becomes_few_bars():
    values = RNG.lognormal(3, 2, 20_000).round(3)
    cells = numbers(values)
    counts = cells.count(pa.array(values))

    assert 10 <= len(compare(cells, counts, counts).labels) <= 22


def test_unseen_level_is_a_marked_bar():
    cells = texts({"UA": 500, "B6": 400, "DL": 300})
    reference = cells.count(pa.array(["UA"] * 500 + ["B6"] * 400 + ["DL"] * 300))
    window = cells.count(pa.array(["UA"] * 50 + ["EDV"] * 20))
    unseen = next(one for one in cells.predicates if one.op == "not_in")

    found = compare(cells, reference, window, moved=unseen)

    assert found.labels == ("UA", "B6", "DL", "not seen in the reference")
    assert found.moved.tolist() == [False, False, False, True]
    assert found.window[3] == pytest.approx(20 / 70)


def test_rare_levels_are_joined():
    cells = texts({f"airport {index:02d}": 1_000 - index for index in range(40)})
    counts = np.ones(cells.size, dtype=np.int64)

    found = compare(cells, counts, counts)

    assert len(found.labels) <= 20
    assert found.reference.sum() == pytest.approx(1.0)


def test_empty_and_unfit_are_shown_only_when_there_are_any():
    cells = texts({"UA": 500, "B6": 400})
    clean = cells.count(pa.array(["UA", "B6"]))
    gaps = cells.count(pa.array(["UA", None]))

    assert "empty" not in compare(cells, clean, clean).labels
    assert "empty" in compare(cells, clean, gaps).labels


def test_intervals_hold_the_share():
    cells = texts({"UA": 500, "B6": 400})
    counts = cells.count(pa.array(["UA"] * 5 + ["B6"] * 4))

    found = compare(cells, counts, counts)

    assert np.all(found.window_low <= found.window)
    assert np.all(found.window <= found.window_high)


def test_unknown_set_marks_nothing():
    cells = texts({"UA": 500, "B6": 400})
    counts = cells.count(pa.array(["UA"] * 5))

    found = compare(cells, counts, counts, moved=Predicate("carrier", "eq", "no level"))

    assert not found.moved.any()


@pytest.mark.parametrize("quantile", [3, 20, 36])
def test_both_sides_of_a_cut_share_out_all_bars(quantile):
    values = RNG.normal(50, 15, 4_000)
    cells = numbers(values)
    counts = cells.count(pa.array(values))
    cut = cells.edges[quantile]

    low = compare(cells, counts, counts, moved=Predicate("temp", "lt", cut))
    high = compare(cells, counts, counts, moved=Predicate("temp", "ge", cut))

    assert low.reference[low.moved].sum() == pytest.approx(float((values < cut).mean()))
    assert low.moved.tolist() == (~high.moved).tolist()


def test_set_is_found_by_its_words():
    values = RNG.normal(50, 15, 4_000)
    cells = numbers(values)
    counts = cells.count(pa.array(values))
    named = cells.predicates[3]

    by_words = compare(cells, counts, counts, moved=named.phrase)

    assert by_words.moved.tolist() == compare(cells, counts, counts, moved=named).moved.tolist()
    assert by_words.moved.any()


def test_few_whole_numbers_have_a_bar_each():
    hours = RNG.integers(5, 24, 5_000).astype(float)
    cells = numbers(hours)
    counts = cells.count(pa.array(hours))

    found = compare(cells, counts, counts)

    assert found.labels == tuple(f"= {hour}" for hour in range(5, 24))


def test_a_stretch_after_a_value_of_its_own_is_named_by_that_value():
    values = np.where(RNG.random(4_000) < 0.8, 0.0, RNG.gamma(2, 0.3, 4_000).round(2))
    cells = numbers(values)
    counts = cells.count(pa.array(values))

    found = compare(cells, counts, counts)

    assert any(label.startswith("above 0 to ") for label in found.labels)
    assert not any("e-" in label for label in found.labels)


def test_values_beyond_the_reference_have_their_bar():
    values = RNG.normal(50, 15, 4_000)
    cells = numbers(values)
    counts = cells.count(pa.array(values))

    found = compare(
        cells,
        counts,
        cells.count(pa.array([1e9] * 10)),
        moved=Predicate("temp", "gt", cells.maximum),
    )

    assert found.window[-1] == 1.0
    assert found.moved.tolist() == [False] * (len(found.labels) - 1) + [True]


def test_domain_of_a_constraint_marks_what_lies_outside_of_it():
    cells = texts({"UA": 500, "B6": 400, "DL": 300})
    counts = cells.count(pa.array(["UA", "B6", "DL", "EDV"]))
    domain = Predicate("carrier", "not_in", values=("DL", "B6"))

    found = compare(cells, counts, counts, moved=domain)

    assert dict(zip(found.labels, found.moved.tolist(), strict=True)) == {
        "UA": True,
        "B6": False,
        "DL": False,
        "not seen in the reference": True,
    }


def test_cut_between_two_edges_marks_the_cell_that_it_goes_through():
    values = RNG.normal(50, 15, 4_000)
    cells = numbers(values)
    counts = cells.count(pa.array(values))
    between = (cells.edges[9] + cells.edges[10]) / 2

    low = compare(cells, counts, counts, moved=Predicate("temp", "le", between))
    high = compare(cells, counts, counts, moved=Predicate("temp", "gt", between))

    assert low.reference[low.moved].sum() == pytest.approx(float((values < cells.edges[10]).mean()))
    assert high.reference[high.moved].sum() == pytest.approx(
        float((values >= cells.edges[9]).mean())
    )


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
