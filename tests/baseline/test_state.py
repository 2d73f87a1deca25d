"""How much room a baseline takes, and what of its files is read again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline

KIB = 1024


@cache
def fitted() -> Baseline:
    rng = np.random.default_rng(1)
    numbers = {f"x{at}": rng.normal(size=30_000) for at in range(6)}
    texts = {f"t{at}": [f"customer-{n}" for n in rng.zipf(1.3, 30_000)] for at in range(2)}
    return Baseline.fit(pa.table({**numbers, **texts}))


def state_kib(folder: Path) -> float:
    """Return what the summaries take that only driftline reads, for a column."""
    others = ("statistics.json", "sample.parquet")
    files = (one for one in folder.iterdir() if one.name not in others)
    return sum(one.stat().st_size for one in files) / KIB / 8


def test_a_column_takes_80_kib_at_most(tmp_path: Path) -> None:
    fitted().save(tmp_path)

    assert state_kib(tmp_path) < 80
