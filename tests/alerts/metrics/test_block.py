"""Blocks: packing loses nothing, and what stays the same costs next to nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.block import Block
from driftline.alerts.metrics.distribution import Distribution

NUMBER = st.floats(-(2.0**360), 2.0**360)
SINGLE = NUMBER.map(lambda x: ((1.0, x, x, x), None))
SET = st.tuples(st.integers(1, 9), NUMBER, NUMBER).map(
    lambda one: ((float(one[0]), one[1] / 9, min(one[1:]), max(one[1:])), None)
)
SPREAD = st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=5, unique=True).map(
    lambda some: (
        (float(len(some)), sum(some), min(some), max(some)),
        Distribution.of(some).to_bytes(),
    )
)


def block(offsets, points):
    numbers = np.array([numbers for numbers, _ in points], dtype=np.float64).reshape(-1, 4)
    return Block.of(np.array(offsets, dtype=np.int64), numbers, [spread for _, spread in points])


def same(one: Block, other: Block) -> None:
    assert one.offsets.tolist() == other.offsets.tolist()
    # As bits: the sign of zero counts, too.
    assert one.numbers.tobytes() == other.numbers.tobytes()
    assert list(one.spreads) == list(other.spreads)


@given(
    st.one_of(SINGLE, st.one_of(SINGLE, SET, SPREAD)).flatmap(
        lambda one: st.lists(st.one_of(st.just(one), SINGLE, SET, SPREAD), min_size=1, max_size=60)
    ),
    st.data(),
)
def test_bytes_bring_back_every_bit(points, data):
    offsets = data.draw(
        st.lists(st.integers(0, 3599), min_size=len(points), max_size=len(points), unique=True)
    )
    made = block(offsets, points)
    same(Block.from_bytes(made.to_bytes()), made)


def test_points_of_one_period_are_added_up_with_their_distributions():
    spread = ((2.0, 4.0, 1.0, 3.0), Distribution.of([1.0, 3.0]).to_bytes())
    made = block([7, 2, 7], [((1.0, 5.0, 5.0, 5.0), None), ((1.0, 1.0, 1.0, 1.0), None), spread])

    assert made.offsets.tolist() == [2, 7]
    assert made.numbers.tolist() == [[1, 1, 1, 1], [3, 9, 1, 5]]
    assert made.spreads[0] is None
    assert Distribution.from_bytes(made.spreads[1]).values.tolist() == [1.0, 3.0, 5.0]


def test_a_distribution_that_one_point_hides_stays_hidden():
    hidden = ((2.0, 4.0, 1.0, 3.0), None)
    made = block([0, 0], [hidden, ((1.0, 5.0, 5.0, 5.0), None)])

    assert made.spreads == [None]


@pytest.mark.parametrize("data", [b"", b"\x07" + bytes(20), b"\x01\x00\x01\x00\x00\x00nonsense"])
def test_bytes_that_are_none_of_ours_are_refused(data):
    with pytest.raises(DatapointError, match="block of"):
        Block.from_bytes(data)
