from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.column import ColumnProfile
from driftline.baseline.column_cells import column_cells
from driftline.baseline.texts import shortened


def column_of(values):
    column = ColumnProfile("t", "string")
    column.update(pa.array(values, pa.string()))
    return column


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=30))
def test_lengths_of_texts_are_counted_exactly_below_256(values):
    half = len(values) // 2
    merged = column_of(values[:half]).merge(column_of(values[half:]))

    lengths = Counter(len(text) & ~1 if len(text) > 255 else len(text) for text in values if text)
    assert dict(zip(merged.lengths.values, merged.lengths.counts, strict=True)) == lengths


def test_lengths_are_kept_however_many_differ():
    column = column_of("x" * length for length in range(1, 40_000, 7))

    assert column.lengths.is_complete
    assert column.lengths.counts.sum() == len(range(1, 40_000, 7))
    assert column.lengths.values.max() == 16_320


def test_long_texts_are_kept_by_their_start_and_stay_apart():
    long = ["x" * 5000 + str(index) for index in range(3)]
    found = shortened(pa.array(["short", *long])).to_pylist()

    assert found[0] == "short"
    assert len(set(found)) == 4
    assert all(len(text) < 250 and text.startswith("x" * 200 + "… #") for text in found[1:])


def test_long_texts_are_counted_on_the_cells_made_of_them_and_found_again():
    rows = pa.array([None, *(["x" * 5000 + str(index) for index in range(3)] * 100)])
    column = ColumnProfile("t", "string")
    column.update(rows)
    cells = column_cells(column)

    assert cells.count(rows).tolist() == [100, 100, 100, 0, 0, 1, 0]
    assert np.bincount(cells.assign(rows), minlength=cells.size).tolist() == [
        100, 100, 100, 0, 0, 1, 0,
    ]  # fmt: skip
    batch = pa.record_batch({"t": rows})
    for index in range(len(cells.predicates)):
        counted = cells.scan(cells.count(rows))[index]
        assert pc.sum(cells.predicates[index].mask(batch)).as_py() == counted
