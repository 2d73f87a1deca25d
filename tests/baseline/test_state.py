"""How much room a baseline takes, and what of its files is read again."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.profile_file import blocks_from_table
from driftline.baseline.store import Baseline
from driftline.errors import InputError

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


def test_hours_that_there_are_not_are_one_sentence() -> None:
    times = np.datetime64("2026-01-01T00:00", "us") + np.arange(48).astype("m8[h]")
    baseline = Baseline.fit(pa.table({"at": times, "x": np.arange(48.0)}), timestamp="at")
    table = baseline.profile.to_arrow(baseline.blocks)
    for hours in ([[0, 10**12]], [[0, 0]], [[0]], [[0, 7]]):
        key, noted = next(iter(table.schema.metadata.items()))
        notes = {**json.loads(noted), "hours": hours}
        with pytest.raises(InputError, match="the profile is damaged"):
            blocks_from_table(table.replace_schema_metadata({key: json.dumps(notes)}))
