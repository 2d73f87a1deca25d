"""Keys that occur more than once are counted exactly, in memory, on disk and over processes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import UnavailableError
from driftline.monitors.rules.keys import KeyCounts

KEYS = st.lists(st.integers(0, 40).map(lambda one: one * 0x0F0F0F0F0F0F0F1), max_size=60)


def counted(parts: list[np.ndarray], cap: int) -> KeyCounts:
    found = KeyCounts(cap)
    for part in parts:
        found.add(part)
    return found


@given(parts=st.lists(KEYS, min_size=1, max_size=5), cap=st.sampled_from([4, 16, 1 << 20]))
def test_counts_are_those_of_numpy_whether_keys_fit_in_memory_or_not(
    parts: list[list[int]], cap: int
) -> None:
    arrays = [np.array(part, np.uint64) for part in parts]
    values, counts = np.unique(np.concatenate(arrays), return_counts=True)

    found = counted(arrays, cap).repeats()

    assert found.row_count == counts.sum()
    assert found.key_count == len(values)
    assert found.repeated_rows == counts[counts > 1].sum()
    assert found.keys.tolist() == values[counts > 1].tolist()


@given(
    parts=st.lists(KEYS, min_size=2, max_size=5), caps=st.tuples(*[st.sampled_from([4, 64])] * 2)
)
def test_parts_from_other_processes_add_up(parts: list[list[int]], caps: tuple[int, int]) -> None:
    arrays = [np.array(part, np.uint64) for part in parts]
    whole = counted(arrays, 1 << 20).repeats()

    sums = KeyCounts(caps[0])
    for array in arrays:
        sums.merge(pickle.loads(pickle.dumps(counted([array], caps[1]))))
    found = sums.repeats()

    assert (found.row_count, found.key_count, found.repeated_rows) == (
        whole.row_count, whole.key_count, whole.repeated_rows,
    )  # fmt: skip
    assert found.keys.tolist() == whole.keys.tolist()


def test_a_full_disk_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    with pytest.raises(UnavailableError, match=r"No space left on device.*TMPDIR"):
        counted([np.arange(100, dtype=np.uint64)], cap=10)
