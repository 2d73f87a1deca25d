"""Numbers by the rank of their bytes: the same numbers again, and less room."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.packing import (
    pack,
    pack_ascending,
    pack_counts,
    unpack,
    unpack_ascending,
    unpack_counts,
)


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert unpack(pack(np.array(numbers, np.int64), "<i4"), "<i4").tolist() == numbers


@given(st.lists(st.integers(0, 2**64 - 1)).map(sorted))
def test_ascending_numbers_come_back(numbers: list[int]) -> None:
    assert unpack_ascending(pack_ascending(np.array(numbers, np.uint64))).tolist() == numbers


@given(st.lists(st.integers(-1, 2**31 - 1)))
def test_counts_come_back(counts: list[int]) -> None:
    assert unpack_counts(pack_counts(np.array(counts, np.int32))).tolist() == counts


def test_bytes_that_make_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        unpack(np.zeros(7, np.uint8), "<i4")


def test_small_counts_take_less_room_than_as_they_lie() -> None:
    counts = np.random.default_rng(1).poisson(2.0, 20_000).astype("<i4")

    assert len(zlib.compress(pack(counts, "<i4"))) < 0.8 * len(zlib.compress(counts.tobytes()))
    assert len(zlib.compress(pack_counts(counts))) < len(zlib.compress(pack(counts, "<i4")))
