"""Where parts are read makes no difference: not to a byte of the result, not to an error."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.baseline.engine import Engine, InProcess
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats import parts
from driftline.formats.parts import IpcPart, Part, stream_parts
from driftline.formats.source import open_source
from driftline.monitors.check import check

ROWS = 6_000
R = TypeVar("R")


def frame(shift: float = 0.0, rows: int = ROWS) -> pd.DataFrame:
    """Rows of every kind of column, with labels, groups and times."""
    rng = np.random.default_rng(11)
    late = rng.random(rows) < 0.3
    return pd.DataFrame(
        {
            "delay": rng.normal(12, 8, rows) + shift,
            "stops": rng.integers(0, 5, rows),
            "gap": np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows)),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "tail": [f"N{number}" for number in rng.integers(0, 9_000, rows)],
            "cargo": rng.random(rows) < 0.5,
            "at": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), "min"),
            "score": np.clip(late * 0.4 + rng.random(rows) * 0.5, 0, 1),
            "late": late.astype(int),
        }
    )


ROLES = {
    "label": "late",
    "probability": "score",
    "timestamp": "at",
    "facet": ["origin=EWR"],
}


@pytest.fixture(scope="module", autouse=True)
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_ROWS", 2_048)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    pq.write_table(pa.Table.from_pandas(frame()), place / "before.parquet", row_group_size=1_024)
    pq.write_table(pa.Table.from_pandas(frame(4)), place / "after.parquet", row_group_size=1_024)
    return place


@pytest.fixture(scope="module")
def one(folder: Path) -> Baseline:
    """The baseline as a single process makes it."""
    return Baseline.fit(folder / "before.parquet", **ROLES)


class Carrying:
    """Carries each part and its task as another process gets them."""

    def map(self, task: Callable[[Part], R], parts: Iterable[Part]) -> Iterator[R]:
        for part in parts:
            call, there = pickle.loads(pickle.dumps((task, part.portable())))
            yield pickle.loads(pickle.dumps(call(there)))


def fail(part: Part, *, at: int) -> int:
    first = next(part.batches()).column(0)[0].as_py()
    if first >= at:
        raise InputError(f"row {first} is wrong")
    return int(first)


def carried(count: int) -> Iterator[IpcPart]:
    for batch in range(count):
        yield next(stream_parts(pa.table({"x": [batch]}).to_batches())).portable()


def test_another_process_gives_the_bytes_that_this_one_gives(folder: Path, one: Baseline) -> None:
    two = Baseline.fit(folder / "before.parquet", **ROLES, engine=Carrying())
    assert two.profile is not None
    assert two.profile.row_count == ROWS
    assert two.version == one.version

    alone = check(folder / "after.parquet", one)
    together = check(folder / "after.parquet", one, engine=Carrying())
    assert together.documents() == alone.documents()
    assert [each.feature_name for each in together.violations] == ["delay"]
    assert together.violations[0].first_rows == alone.violations[0].first_rows


ASKED: dict[str, dict[str, object]] = {
    "segments and rules": {
        "segments": ["origin"],
        "rules": [
            {"check": "unique", "column": "tail"},
            {"check": "duplicate_rows"},
            "delay < 40",
        ],
    },
    "compat": {"compat": True},
}


@pytest.mark.first(1)
@pytest.mark.parametrize("asked", sorted(ASKED))
def test_whatever_else_a_check_is_asked_comes_out_the_same(
    folder: Path, one: Baseline, asked: str
) -> None:
    if asked == "segments and rules":
        roles = {**ROLES, "segments": ["origin"]}
        one = Baseline.fit(folder / "before.parquet", **roles)
        together = Baseline.fit(folder / "before.parquet", **roles, engine=Carrying())
        assert together.version == one.version
    alone = check(folder / "after.parquet", one, **ASKED[asked])
    together = check(folder / "after.parquet", one, engine=Carrying(), **ASKED[asked])
    assert together.documents() == alone.documents()
    assert not alone.passed


def test_counts_are_those_of_one_single_part(
    folder: Path, one: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(folder / "after.parquet")
    whole = Profile.empty(one.signature, one.cells)
    for batch in source.batches():
        whole.update(batch)
    assert len(list(source.parts())) > 2
    merged = Profile.empty(one.signature, one.cells)
    for part in source.parts():
        profile = Profile.empty(one.signature, one.cells)
        for batch in part.batches():
            profile.update(batch)
        merged = merged.merge(profile)
    for name, column in whole.columns.items():
        other = merged.columns[name]
        for field in ("row_count", "missing_count", "unfit_count", "integral_count"):
            assert getattr(other, field) == getattr(column, field), (name, field)
        if column.cell_counts is not None:
            assert other.cell_counts is not None
            np.testing.assert_array_equal(other.cell_counts, column.cell_counts, err_msg=name)
        assert other.distinct_count == column.distinct_count, name
    monkeypatch.setattr(parts, "PART_ROWS", 1 << 19)
    single = Baseline.fit(folder / "before.parquet", **ROLES)
    assert single.outcomes is not None
    assert one.outcomes is not None
    assert one.outcomes.table.equals(single.outcomes.table)
    assert one.blocks is not None
    assert single.blocks is not None
    np.testing.assert_array_equal(one.blocks.hours, single.blocks.hours)


@pytest.mark.parametrize("engine", [InProcess(), Carrying()], ids=["here", "there"])
def test_an_error_in_a_part_is_the_error_of_the_whole(engine: Engine) -> None:
    with pytest.raises(InputError, match="row 5 is wrong"):
        list(engine.map(partial(fail, at=5), carried(12)))
