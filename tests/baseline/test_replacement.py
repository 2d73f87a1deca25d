"""A baseline of which few columns are counted anew keeps all others to the last byte."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.folder import from_parquet
from driftline.baseline.renewal import Change, changes_of, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=40)


def rows(count: int, begin: datetime = START, *, mean: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(count)
    times = [begin + timedelta(minutes=10 * number) for number in range(count)]
    return pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "x": rng.normal(mean, 1, count),
            "y": rng.normal(0, 1, count),
            "place": rng.choice(["a", "b"], count),
        }
    )


def anew(baseline: Baseline, columns: Sequence[str], *, mean: float = 3.0) -> Baseline:
    table = rows(900, LATER, mean=mean).select(list(dict.fromkeys([*columns, "time"])))
    change = Change(tuple(columns), LATER, LATER + timedelta(days=7), "ann", "moved", LATER)
    return with_columns_anew(baseline, open_source(table), change, event_time="time")


@pytest.fixture(scope="module")
def before() -> Baseline:
    return Baseline.fit(rows(2_000), timestamp="time", segments=["place"])


@pytest.fixture(scope="module")
def after(before: Baseline) -> Baseline:
    return anew(before, ["x"])


def lines(baseline: Baseline) -> dict[str, object]:
    assert baseline.profile is not None
    table = from_parquet(baseline.profile.to_bytes())
    return {line["name"]: line for line in table.to_pylist()}


def test_the_named_column_is_that_of_the_rows(before: Baseline, after: Baseline) -> None:
    alone = Baseline.fit(rows(900, LATER, mean=3.0), timestamp="time")

    assert lines(after)["x"] == lines(alone)["x"] != lines(before)["x"]
    assert after.cells["x"] == alone.cells["x"]
    assert alone.blocks is not None
    assert after.blocks is not None
    found = after.blocks.of("x")
    assert found is not None
    assert found.hours.tolist() == alone.blocks.hours.tolist()
    assert after.statistics is not None
    assert alone.statistics is not None
    assert after.statistics.features["x"] == alone.statistics.features["x"]


def test_every_other_column_is_as_it_was(before: Baseline, after: Baseline) -> None:
    assert before.blocks is not None
    assert after.blocks is not None
    for name in ("time", "y", "place"):
        assert str(lines(after)[name]) == str(lines(before)[name])  # NaN is not itself.
    assert {*after.blocks.counts} == {"y", "place"}
    for name, counts in after.blocks.counts.items():
        assert np.array_equal(counts, before.blocks.counts[name])
        assert after.constraints.feature(name) == before.constraints.feature(name)
    assert before.statistics is not None
    assert after.statistics is not None
    assert after.statistics.item_count == before.statistics.item_count == 2_000
    assert after.statistics.features["y"] == before.statistics.features["y"]
    assert before.sample is not None
    assert after.sample is not None
    assert np.array_equal(after.sample.codes["y"], before.sample.codes["y"])
    assert before.blocks is not None
    assert after.blocks is not None
    assert after.blocks.hours is before.blocks.hours


def test_it_is_kept_as_it_was_made_with_author_and_reason(
    before: Baseline, after: Baseline, tmp_path: Path
) -> None:
    after.save(tmp_path)

    found = Baseline.load(tmp_path)

    assert found.version == after.version != before.version
    (change,) = changes_of(found)
    assert change["version_before"] == before.version
    assert (change["author"], change["reason"], change["rows"]) == ("ann", "moved", 900)
    assert found.blocks is not None
    assert sorted(found.blocks.counts) == ["place", "y"]
    assert [sorted(one.counts) for one in found.blocks.apart] == [["x"]]
