"""How much room a baseline takes, and that what earlier versions wrote is read and judges."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import driftline as dl
from driftline.baseline.profile_file import blocks_from_table
from driftline.baseline.store import Baseline
from driftline.errors import InputError

# Made at commit 01423b9e, before format 5: 5,760 rows of 30 days, and a week with a higher "x".
FORMAT_4 = Path(__file__).parent / "format_4"
# The same, written by commit 5283381b, before format 6.
FORMAT_5 = Path(__file__).parent / "format_5"
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


def test_a_column_takes_40_kib_at_most(tmp_path: Path) -> None:
    fitted().save(tmp_path)

    assert state_kib(tmp_path) < 40


def test_a_sketch_is_written_once_and_read_from_the_document(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    assert (tmp_path / "profile.arrow").stat().st_size < 40 * KIB * 8

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


@pytest.mark.parametrize("place", [FORMAT_4, FORMAT_5], ids=["format 4", "format 5"])
def test_an_earlier_baseline_is_read_and_judges(place: Path) -> None:
    reference = dl.Baseline.load(place)

    report = dl.check(parquet.read_table(FORMAT_4 / "later.parquet"), reference)

    found = [(one.feature_name, one.constraint_check_type) for one in report.violations]
    # 300 rows of the new text "zzz qqq", and the level of x.
    assert found == [("t", "baseline_drift_check"), ("x", "day_drift_check")]
    distinct = {name: one.distinct_count for name, one in reference.profile.columns.items()}
    # As that version told them; hashes are rounded since.
    known = {"at": 5711, "x": 5409, "n": 9, "c": 3, "t": 5755}
    assert distinct == pytest.approx(known, rel=1e-3)
    assert reference.blocks is not None
    assert reference.blocks.counts["n"].sum() == 5760


@pytest.mark.parametrize("place", [FORMAT_4, FORMAT_5], ids=["format 4", "format 5"])
def test_an_earlier_baseline_is_written_anew_and_says_the_same(place: Path, tmp_path: Path) -> None:
    later = parquet.read_table(FORMAT_4 / "later.parquet")
    earlier = dl.Baseline.load(place)

    earlier.save(tmp_path)
    found = dl.Baseline.load(tmp_path)

    assert dl.check(later, found).violations == dl.check(later, earlier).violations
    for name, counts in earlier.blocks.counts.items():
        assert np.array_equal(found.blocks.counts[name], counts)
    words = earlier.sample.derived.vocabularies["t"].hashes
    assert np.array_equal(found.sample.derived.vocabularies["t"].hashes, words)
    distinct = {name: one.distinct_count for name, one in earlier.profile.columns.items()}
    assert {name: one.distinct_count for name, one in found.profile.columns.items()} == distinct
    times = earlier.profile.columns["at"].times
    assert np.array_equal(found.profile.columns["at"].times.last, times.last)
    assert np.array_equal(
        found.profile.columns["x"].steps.days.sums, earlier.profile.columns["x"].steps.days.sums
    )
    sizes = [sum(one.stat().st_size for one in each.iterdir()) for each in (place, tmp_path)]
    assert sizes[1] < sizes[0]


def test_hours_that_there_are_not_are_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_4, tmp_path, dirs_exist_ok=True)
    baseline = dl.Baseline.load(tmp_path)
    table = baseline.profile.to_arrow(baseline.blocks)
    for hours in ([[0, 10**12]], [[0, 0]], [[0]], [[0, 7]]):
        key, noted = next(iter(table.schema.metadata.items()))
        notes = {**json.loads(noted), "hours": hours}
        with pytest.raises(InputError, match="the profile is damaged"):
            blocks_from_table(table.replace_schema_metadata({key: json.dumps(notes)}))
