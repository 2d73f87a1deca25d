import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.column import ColumnProfile
from driftline.baseline.column_cells import column_cells
from driftline.baseline.texts import SHAPE_CAP, TextSummary, shapes_of, shortened

words = st.lists(st.text(st.characters(codec="utf-8"), max_size=45), max_size=30)


def plain_shape(text):
    """The rule in the module's words, character by character."""
    shape = re.sub(r"[^\x00-\x7f]", "a", text[:32])
    shape = re.sub(r"[\x00-\x1f\x7f]", " ", shape)
    shape = re.sub("[0-9]", "9", re.sub("[A-Z]", "A", re.sub("[a-z]", "a", shape)))
    return shape + ("…" if len(text) > 32 else "")


@given(words, st.integers(0, 5))
def test_shapes_are_as_the_rule_says_also_of_slices(texts, start):
    found = shapes_of(pa.array(texts, pa.string()).slice(start))

    assert found.to_pylist() == [plain_shape(text) for text in texts[start:]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("UA-1545", "AA-9999"),
        ("Müller", "Aaaaaa"),
        ("2013-01-15 06:00", "9999-99-99 99:99"),
        ("a\tb\n", "a a "),
        ("", ""),
        ("x" * 33, "a" * 32 + "…"),
        ("東京1", "aa9"),
    ],
)
def test_a_shape_keeps_the_form_and_drops_the_value(text, shape):
    assert shapes_of(pa.array([text])).to_pylist() == [shape]


def summary_of(texts):
    counts = Counter(texts)
    return TextSummary.of(pa.array(list(counts), pa.string()), np.array(list(counts.values()), int))


@given(words, words)
def test_a_merged_summary_is_that_of_all_texts(first, second):
    merged, whole = summary_of(first).merge(summary_of(second)), summary_of(first + second)

    assert merged.shapes.ranked() == whole.shapes.ranked()
    assert merged.lengths.counts.tolist() == whole.lengths.counts.tolist()


def test_more_shapes_than_the_cap_keep_the_frequent_ones_within_the_error():
    rng = np.random.default_rng(2)
    marks = [chr(code) for code in (*range(33, 48), *range(58, 65), *range(91, 96))]
    texts = ["".join(rng.choice(marks, 3)) for _ in range(5000)] + ["AA-99"] * 700
    summary = TextSummary()
    for part in np.array_split(np.array(texts), 7):
        summary = summary.merge(summary_of(part.tolist()))

    true = Counter(plain_shape(text) for text in texts)
    assert len(summary.shapes.values) <= SHAPE_CAP < len(true)
    assert summary.shapes.ranked()[0][0] == "AA-99"
    for shape, count in summary.shapes.ranked():
        assert true[shape] - summary.shapes.error <= count <= true[shape]
    assert summary.lengths.count == 5700


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
