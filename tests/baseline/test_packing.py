"""Numbers by the rank of their bytes: the same numbers again, and less room."""

from __future__ import annotations

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
