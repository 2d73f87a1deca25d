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
    """Return what the files take that only driftline reads, for a column."""
    files = (one for one in folder.iterdir() if one.name != "statistics.json")
    return sum(one.stat().st_size for one in files) / KIB / 8


def test_a_column_takes_60_kib_at_most(tmp_path: Path) -> None:
    fitted().save(tmp_path)

    assert state_kib(tmp_path) < 60


def test_a_sketch_is_written_once_and_read_from_the_document(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    assert (tmp_path / "profile.arrow").stat().st_size < 60 * KIB * 8

    again = Baseline.load(tmp_path)

    assert again.version == fitted().version
    for name, column in fitted().profile.columns.items():
        found = again.profile.columns[name]
        assert [one.tolist() for one in found.sketch.levels] == [
            one.tolist() for one in column.sketch.levels
        ]
        assert found.quantiles([0.1, 0.9]) == column.quantiles([0.1, 0.9]) or not column.is_number


def test_a_document_without_the_sketches_is_one_sentence(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    document = json.loads((tmp_path / "statistics.json").read_text())
    numbers = document["features"][0]["numerical_statistics"]
    numbers["distribution"]["kll"]["sketch"]["data"][0].pop()
    (tmp_path / "statistics.json").write_text(json.dumps(document))

    with pytest.raises(InputError, match=r'no sketch of "x0", nor has statistics.json the one'):
        Baseline.load(tmp_path)


def test_a_sketch_that_the_document_has_not_stays_in_the_profile(tmp_path: Path) -> None:
    changed = {**fitted().statistics, "features": fitted().statistics["features"][1:]}
    baseline = fitted()
    baseline = Baseline(**{**vars_of(baseline), "statistics": type(baseline.statistics)(changed)})

    baseline.save(tmp_path)

    found = Baseline.load(tmp_path).profile.columns["x0"]
    assert found.sketch.count == baseline.profile.columns["x0"].sketch.count


def vars_of(baseline: Baseline) -> dict[str, object]:
    return {name: getattr(baseline, name) for name in baseline.__dataclass_fields__}


def test_hours_that_there_are_not_are_one_sentence() -> None:
    times = np.datetime64("2026-01-01T00:00", "us") + np.arange(48).astype("m8[h]")
    baseline = Baseline.fit(pa.table({"at": times, "x": np.arange(48.0)}), timestamp="at")
    table = baseline.profile.to_arrow(baseline.blocks)
    for hours in ([[0, 10**12]], [[0, 0]], [[0]], [[0, 7]]):
        key, noted = next(iter(table.schema.metadata.items()))
        notes = {**json.loads(noted), "hours": hours}
        with pytest.raises(InputError, match="the profile is damaged"):
            blocks_from_table(table.replace_schema_metadata({key: json.dumps(notes)}))
