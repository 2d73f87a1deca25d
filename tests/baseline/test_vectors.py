import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.vectors import VectorSummary
from driftline.formats.hashing import vector_texts

number = st.none() | st.floats(-1e3, 1e3) | st.sampled_from([math.nan, math.inf, 0.0])
lists = st.lists(st.none() | st.lists(number, max_size=5), max_size=20)


def summary_of(values):
    found = VectorSummary()
    found.update(pa.array(values, pa.list_(pa.float64())))
    return found


def finite(value):
    return [x for x in value if x is not None and math.isfinite(x)]


@given(lists)
def test_lists_are_summed_up_as_one_by_one(values):
    found = summary_of(values)

    known = [value for value in values if value is not None]
    assert found.count == len(known)
    assert (found.shortest, found.longest) == (
        min(map(len, known), default=0),
        max(map(len, known), default=0),
    )
    for place in range(len(found.counts)):
        column = [value[place : place + 1] for value in known]
        column = [x for part in column for x in finite(part)]
        assert found.counts[place] == len(column)
        if column:
            assert found.averages[place] == pytest.approx(np.mean(column), abs=1e-9)
            assert found.deviations[place] == pytest.approx(np.std(column), abs=1e-6)


def test_embeddings_are_summed_up_by_position():
    block = np.random.default_rng(4).normal(size=(5_000, 768)).astype(np.float32)
    found = VectorSummary()
    for part in np.array_split(block, 3):
        flat = pa.array(part.ravel())
        found.update(pa.FixedSizeListArray.from_arrays(flat, 768).cast(pa.list_(pa.float64())))

    exact = block.astype(float)
    assert found.averages == pytest.approx(exact.mean(axis=0), abs=1e-12)
    assert found.deviations == pytest.approx(exact.std(axis=0), rel=1e-9)
    assert (found.shortest, found.longest, found.usual_length) == (768, 768, 768)


def test_short_lists_are_written_out_and_long_ones_told_apart():
    long = np.arange(100.0).tolist()
    again = pa.array([[1, 2], None, [], [None, 3]], pa.list_(pa.int64()))
    assert vector_texts(again).to_pylist() == ["[1, 2]", None, "[]", "[null, 3]"]

    texts = vector_texts(pa.array([long, long[::-1], long, [1.5], None])).to_pylist()
    assert texts[0] == texts[2] != texts[1]
    assert texts[0].startswith("[100 numbers #")
    assert texts[3:] == ["[1.5]", None]


def test_long_lists_of_whole_numbers_beyond_53_bits_are_told_apart():
    one, other = [2**60] * 40, [2**60] * 39 + [2**60 + 1]
    texts = vector_texts(pa.array([one, other], pa.list_(pa.int64()))).to_pylist()
    assert texts[0] != texts[1]
