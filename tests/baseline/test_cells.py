import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.cells import Cells, number_cells, text_cells

reference = st.lists(
    st.integers(-5, 5).map(float) | st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=200
)
window = st.lists(
    st.none() | st.integers(-8, 8).map(float) | st.floats(allow_nan=True, allow_infinity=True),
    max_size=80,
)
words = st.lists(st.sampled_from(["UA", "AA", "DL", "XX", "", None]), max_size=60)


def cells_of(values):
    distinct, counts = np.unique(np.asarray(values, dtype=float), return_counts=True)
    return number_cells("x", "double", distinct, counts, few=True)


def carriers(complete=True):
    levels = {"UA": 500, "AA": 300, "DL": 200, "ZZ": 1}
    return text_cells("carrier", "string", levels, complete=complete, row_count=1001)


def mask_counts(cells, batch):
    return [mask_count(cells, index, batch) for index in range(len(cells.predicates))]


def mask_count(cells, index, batch):
    return int(cells.predicates[index].mask(batch).to_numpy(zero_copy_only=False).sum())


@pytest.mark.parametrize("levels", [60, 80, 150, 220, 300])
def test_levels_that_get_a_cell_are_not_the_luckiest_of_equal_ones(levels):
    rows, surplus = 3_000, []
    for seed in range(40):
        drawn = np.random.default_rng([levels, seed]).integers(0, levels, rows)
        counts = {f"v{value}": int(count) for value, count in enumerate(np.bincount(drawn))}
        cells = text_cells("x", "string", counts, complete=True, row_count=rows)
        share = len(cells.levels) / levels
        held = sum(counts[level] for level in cells.levels)
        surplus.append((held - rows * share) / np.sqrt(rows * share * (1 - share)))

    assert np.isfinite(surplus).all()
    assert abs(np.mean(surplus)) < 0.6  # Of 40 standard normal numbers: 3.8 standard deviations.


def test_of_few_rows_clear_levels_keep_their_cell_beside_many_that_came_once():
    counts = {f"once {at}": 1 for at in range(150)} | {f"often {at}": 14 for at in range(5)}

    cells = text_cells("x", "string", {"most": 780} | counts, complete=True, row_count=1_000)

    assert {"most", *(f"often {at}" for at in range(5))} <= {*cells.levels}


@given(reference, window)
def test_every_row_falls_into_exactly_one_cell(values, rows):
    cells = cells_of(values)
    array = pa.array(rows, pa.float64())

    counts = cells.count(array)

    assert counts.sum() == len(rows)
    assert (counts == np.bincount(cells.assign(array), minlength=cells.size)).all()
    assert len(cells.names) == cells.size


@given(reference, window, window)
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(values, first, second):
    cells = cells_of(values)

    parts = sum(cells.count(pa.array(part, pa.float64())) for part in (first, second))

    assert (parts == cells.count(pa.array(first + second, pa.float64()))).all()


@given(reference, window)
def test_a_scanned_set_counts_the_rows_that_its_predicate_finds(values, rows):
    cells = cells_of(values)
    array = pa.array(rows, pa.float64())

    scanned = cells.scan(cells.count(array))

    batch = pa.record_batch({"x": array})
    assert scanned.tolist() == mask_counts(cells, batch)


@given(words)
def test_a_scanned_set_of_text_counts_the_rows_that_its_predicate_finds(rows):
    for cells in (carriers(), carriers(complete=False)):
        array = pa.array(rows, pa.string())
        counts = cells.count(array)

        scanned = cells.scan(counts)

        batch = pa.record_batch({"carrier": array})
        assert counts.sum() == len(rows)
        assert scanned.tolist() == mask_counts(cells, batch)


def test_the_reference_itself_is_cut_into_the_shares_that_were_asked_for():
    values = np.random.default_rng(8).normal(size=100_000)
    cells = cells_of(values)

    shares = cells.scan(cells.count(pa.array(values))) / len(values)

    cuts = sorted(s for i, s in enumerate(shares) if cells.set_kind(i) == "cut")
    tails = [0.001, 0.001, 0.005, 0.005, 0.01, 0.01, 0.02, 0.02]
    assert cuts[:8] == pytest.approx(tails, abs=2e-5)
    assert cuts[-1] == pytest.approx(0.5, abs=2e-5)
    assert len(cuts) == 8 + 31


def test_outside_the_reference_range_is_a_set_of_its_own():
    cells = cells_of(np.arange(1000.0))

    counts = cells.scan(cells.count(pa.array([-1.0, -0.5, 1001.0, 5.0])))

    outside = [i for i in range(len(cells.predicates)) if cells.set_kind(i) == "range"]
    assert [cells.predicates[i].phrase for i in outside] == ["below 0", "above 999"]
    assert counts[outside].tolist() == [2, 1]


def test_a_value_that_many_rows_share_is_an_atom():
    values = np.concatenate([np.zeros(300), np.random.default_rng(9).uniform(1, 2, 700)])
    cells = cells_of(values)

    counts = cells.count(pa.array([0.0, 0.0, 0.5, 1.5]))

    assert cells.atoms == (0.0,)
    assert counts[cells.names.index("= 0")] == 2


def test_text_names_say_what_is_meant():
    cells = carriers()

    assert cells.names == (
        '= "UA"',
        '= "AA"',
        '= "DL"',
        "another known value",
        "not seen in the reference",
        "empty",
        "not of its type",
    )
    assert [cells.set_kind(i) for i in range(len(cells.predicates))] == [
        "level",
        "level",
        "level",
        "level",
        "unseen",
        "null",
        "unfit",
    ]


def test_unfit_rows_are_not_empty_rows():
    cells = cells_of([1.0, 2.0])

    assert cells.count(pa.array([None, None, 1.0]), 1)[-2:].tolist() == [1, 1]
    assert cells.count(pa.array(["x", "", "1"]))[-2:].tolist() == [1, 1]


@given(reference)
def test_cells_survive_json_and_keep_their_id(values):
    cells = cells_of(values)

    again = Cells.from_dict(json.loads(json.dumps(cells.to_dict())))

    assert again == cells
    assert again.id == cells.id
