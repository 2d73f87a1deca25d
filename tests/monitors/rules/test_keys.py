"""Keys that occur more than once are counted exactly, in memory, on disk and over processes."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.row_hashes import hash_column, hash_rows
from driftline.errors import UnavailableError
from driftline.monitors.rules.keys import KeyCounts

KEYS = st.lists(st.integers(0, 40).map(lambda one: one * 0x0F0F0F0F0F0F0F1), max_size=60)


def counted(parts: list[np.ndarray], cap: int) -> KeyCounts:
    found = KeyCounts(cap)
    for part in parts:
        found.add(part)
    return found


@settings(max_examples=60)
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


@settings(max_examples=60)
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


def test_memory_stays_bounded_however_many_keys_there_are() -> None:
    rng = np.random.default_rng(5)
    counts = KeyCounts(cap=1 << 16)
    tracemalloc.start()
    for start in range(0, 3_000_000, 100_000):
        keys, _ = hash_column(pa.array(np.arange(start, start + 100_000)))
        counts.add(keys)
    counts.add(hash_column(pa.array(rng.choice(3_000_000, 1_000, replace=False)))[0])
    found = counts.repeats()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (found.key_count, found.repeated_keys, found.repeated_rows) == (3_000_000, 1_000, 2_000)
    assert peak < 24 << 20  # 48 MB of pairs lie on disk.


def test_a_full_disk_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    with pytest.raises(UnavailableError, match=r"No space left on device.*TMPDIR"):
        counted([np.arange(100, dtype=np.uint64)], cap=10)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(np.concatenate([np.arange(-50_000, 50_000), 2**62 + np.arange(1_000)])),
        pa.array(np.concatenate([np.linspace(-1, 1, 100_001), [1e300, np.inf, -np.inf]])),
        pa.array([f"id-{one}" for one in range(100_000)]),
        pa.array(np.arange(100_000), pa.timestamp("us", "UTC")),
        pa.array([True, False]),
    ],
    ids=["whole", "numbers", "texts", "times", "truth"],
)
def test_different_values_have_different_hashes(values: pa.Array) -> None:
    hashes, known = hash_column(values)

    assert len(np.unique(hashes)) == len(values)
    assert known.all()


def test_what_is_missing_is_alike_and_zero_has_no_sign() -> None:
    numbers, known = hash_column(pa.array([0.0, -0.0, None, float("nan")]))
    texts, present = hash_column(pa.array(["", None, "0"]))

    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    assert (known.tolist(), present.tolist()) == ([True, True, False, False], [False, False, True])
    assert texts[0] == texts[1] != texts[2]


def test_the_hash_of_a_row_knows_which_column_holds_what() -> None:
    batch = pa.record_batch({"x": [1, 2, 1, None], "y": [2, 1, None, 1]})

    hashes, known = hash_rows(batch, ["x", "y"])

    assert len(np.unique(hashes)) == 4
    assert known.all()
