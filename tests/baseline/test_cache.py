"""Baselines are loaded once, and kept within bounds."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.cache import BaselineCache
from driftline.baseline.store import Baseline, put
from driftline.errors import NotFoundError

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def kept(tmp_path):
    """Keep a baseline of some rows under a name; return its version."""

    def keep(name: str, rows: int = 50) -> str:
        values = np.random.default_rng(rows).normal(size=rows)
        return put(str(tmp_path), name, Baseline.fit(pa.table({"x": values})), lambda: START)

    return keep


def test_a_version_is_loaded_once_and_a_newer_one_takes_its_place(kept, tmp_path):
    cache = BaselineCache()
    older = kept("flights")

    first = cache.get(str(tmp_path), "flights")
    again = cache.get(str(tmp_path), "flights", older)
    newer = kept("flights", 60)
    last = cache.get(str(tmp_path), "flights")

    assert first.version == older
    assert again is first
    assert last.version == newer
    assert cache.get(str(tmp_path), "flights", older) is first


def test_the_last_used_ones_stay_within_the_limit_and_the_last_one_always(kept, tmp_path):
    sizes = dict.fromkeys(("first", "second", "third"), 0)
    for name in sizes:
        kept(name)
        sizes[name] = Baseline.load(tmp_path / "baselines" / name / kept(name)).size_bytes
    cache = BaselineCache(sizes["first"] + sizes["second"])
    none = BaselineCache(0)

    first, second = (cache.get(str(tmp_path), name) for name in ("first", "second"))
    assert cache.get(str(tmp_path), "first") is first
    cache.get(str(tmp_path), "third")

    assert cache.get(str(tmp_path), "first") is first
    assert cache.get(str(tmp_path), "second") is not second
    assert none.get(str(tmp_path), "first") is none.get(str(tmp_path), "first")


def test_what_was_not_found_is_looked_for_again(kept, tmp_path):
    cache = BaselineCache()

    with pytest.raises(NotFoundError, match="there is none"):
        cache.get(str(tmp_path), "flights")

    assert cache.get(str(tmp_path), "flights", kept("flights")).profile.row_count == 50


def test_its_size_is_that_of_the_files_it_was_read_from(kept, tmp_path):
    folder = tmp_path / "baselines" / "flights" / kept("flights")

    files = [file for file in folder.iterdir() if file.name != "version.json"]

    assert Baseline.load(folder).size_bytes == sum(file.stat().st_size for file in files)
