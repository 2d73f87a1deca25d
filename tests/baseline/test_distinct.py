from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline import distinct
from driftline.baseline.distinct import DistinctCount, LevelCounts
from driftline.formats.hashing import hash_numbers


def distinct_of(values):
    found = DistinctCount()
    found.update(hash_numbers(np.asarray(values, dtype=float)))
    return found


def test_many_values_are_estimated_within_five_percent():
    found = DistinctCount()
    for part in np.array_split(np.arange(300_000) % 100_000, 9):
        found.update(hash_numbers(part.astype(float)))

    # Standard error 1/sqrt(4096) = 1.6%; the hashes are fixed, so this cannot fail by chance.
    assert not found.is_exact
    assert found.value == pytest.approx(100_000, rel=0.05)


@pytest.mark.parametrize("many", [4095, 4096, 4097, 30_000])
def test_what_is_kept_follows_from_the_values_not_from_how_they_were_split(many):
    rng = np.random.default_rng(many)
    values = rng.permutation(many).astype(float)
    whole = distinct_of(values)

    merged = DistinctCount()
    for part in np.array_split(rng.permutation(values), 7):
        merged = merged.merge(distinct_of(part))

    assert merged.hashes.tolist() == whole.hashes.tolist()
    assert merged.is_exact == whole.is_exact == (many < 4096)
    assert merged.value == pytest.approx(many, rel=0.05)


def test_beyond_the_cap_frequent_levels_survive_within_the_stated_error(monkeypatch):
    monkeypatch.setattr(distinct, "LEVEL_CAP", 20)
    rng = np.random.default_rng(4)
    values = [f"v{int(x)}" for x in rng.zipf(1.3, size=20_000) if x < 1e9]
    levels = LevelCounts()
    for part in np.array_split(np.array(values), 10):
        counts = Counter(part.tolist())
        levels.update(pa.array(list(counts), pa.string()), np.array(list(counts.values())))

    true = Counter(values)
    assert not levels.is_exact
    assert len(levels.values) <= 20
    assert levels.ranked()[0][0] == true.most_common(1)[0][0]
    for value, count in levels.ranked():
        assert true[value] - levels.error <= count <= true[value]
