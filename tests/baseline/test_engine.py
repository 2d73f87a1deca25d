"""Where parts are read makes no difference: not to a byte of the result, not to an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.baseline import engine as engine_module
from driftline.baseline.engine import (
    IN_FLIGHT,
    Engine,
    Flight,
    InProcess,
    ProcessPool,
    Tell,
    open_engine,
)
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.errors import InputError, UnavailableError
from driftline.formats import parts
from driftline.formats.parts import IpcPart, Part, stream_parts
from driftline.formats.source import open_source
from driftline.monitors.check import check

ROWS = 12_000


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


def count_rows(part: Part) -> tuple[int, int]:
    """Return which process counted how many rows."""
    return os.getpid(), sum(batch.num_rows for batch in part.batches())


def fail(part: Part, *, at: int) -> int:
    first = next(part.batches()).column(0)[0].as_py()
    if first >= at:
        raise InputError(f"row {first} is wrong")
    return int(first)


def die(part: Part) -> None:
    os._exit(9)


def carried(count: int) -> Iterator[IpcPart]:
    for batch in range(count):
        yield next(stream_parts(pa.table({"x": [batch]}).to_batches())).portable()


def test_several_processes_give_the_bytes_that_one_gives(folder: Path, one: Baseline) -> None:
    two = Baseline.fit(folder / "before.parquet", **ROLES, jobs=2)
    assert two.profile is not None
    assert two.profile.row_count == ROWS
    assert two.version == one.version

    alone = check(folder / "after.parquet", one)
    together = check(folder / "after.parquet", one, jobs=2)
    assert together.documents() == alone.documents()
    assert [each.feature_name for each in together.violations] == ["delay"]
    assert together.violations[0].first_rows == alone.violations[0].first_rows


ASKED: dict[str, dict[str, object]] = {
    "segments": {"segments": ["origin"]},
    "rules": {
        "rules": [
            {"check": "unique", "column": "tail"},
            {"check": "duplicate_rows"},
            "delay < 40",
        ]
    },
    "compat": {"compat": True},
}


@pytest.mark.parametrize("asked", ASKED)
def test_whatever_else_a_check_is_asked_comes_out_the_same(
    folder: Path, one: Baseline, asked: str
) -> None:
    if asked == "segments":
        roles = {**ROLES, "segments": ["origin"]}
        one = Baseline.fit(folder / "before.parquet", **roles)
        together = Baseline.fit(folder / "before.parquet", **roles, jobs=2)
        assert together.version == one.version
    alone = check(folder / "after.parquet", one, **ASKED[asked])
    together = check(folder / "after.parquet", one, jobs=2, **ASKED[asked])
    assert together.documents() == alone.documents()
    assert not alone.passed


def test_rows_from_memory_are_carried_to_the_processes() -> None:
    one = Baseline.fit(frame(), **ROLES)
    assert Baseline.fit(frame(), **ROLES, jobs=2).version == one.version
    spoiled = frame()
    spoiled.loc[8_000:, "origin"] = "XXX"
    found = check(spoiled, one, jobs=2)
    assert found.documents() == check(spoiled, one).documents()
    violation = next(one for one in found.violations if one.feature_name == "origin")
    assert violation.row_count == 4_000
    assert violation.first_rows[0] == {"row": 8_000}
    assert set(found.rows(violation)["origin"]) == {"XXX"}


def test_counts_are_those_of_one_single_part(
    folder: Path, one: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(folder / "after.parquet")
    whole = Profile.empty(one.signature, one.cells)
    for batch in source.batches():
        whole.update(batch)
    assert len(list(source.parts())) > 5
    merged = Profile.empty(one.signature, one.cells)
    for part in source.parts():
        profile = Profile.empty(one.signature, one.cells)
        for batch in part.batches():
            profile.update(batch)
        merged = merged.merge(profile)
    for name, column in whole.columns.items():
        other = merged.columns[name]
        for field in ("row_count", "missing_count", "nan_count", "unfit_count", "integral_count"):
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


def test_results_come_in_the_parts_order_from_more_than_this_process() -> None:
    found = list(ProcessPool(2).map(count_rows, carried(40)))
    assert [rows for _, rows in found] == [1] * 40
    assert os.getpid() not in {process for process, _ in found}
    assert list(ProcessPool(2).map(partial(fail, at=99), carried(40))) == list(range(40))


@pytest.mark.parametrize("engine", [InProcess(), ProcessPool(2)], ids=["here", "two"])
def test_parts_are_not_taken_far_ahead_of_the_results(engine: Engine) -> None:
    taken = []

    def watched() -> Iterator[IpcPart]:
        for part in carried(30):
            taken.append(part)
            yield part

    for number, _ in enumerate(engine.map(count_rows, watched()), 1):
        assert len(taken) <= number + 2 * IN_FLIGHT
    assert number == 30


@pytest.mark.parametrize("engine", [InProcess(), ProcessPool(2)], ids=["here", "two"])
def test_an_error_in_a_part_is_the_error_of_the_whole(engine: Engine) -> None:
    with pytest.raises(InputError, match="row 5 is wrong"):
        list(engine.map(partial(fail, at=5), carried(12)))


def test_a_process_that_dies_is_a_sentence_and_the_next_reading_works() -> None:
    with pytest.raises(UnavailableError, match=r"one of 2 processes ended .* fewer jobs"):
        list(ProcessPool(2).map(die, carried(4)))
    assert len(list(ProcessPool(2).map(count_rows, carried(4)))) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_every_row_of_both_readings(folder: Path, jobs: int) -> None:
    told: list[tuple[int, int | None]] = []
    baseline = Baseline.fit(
        folder / "before.parquet", jobs=jobs, progress=lambda *now: told.append(now)
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (2 * ROWS, 2 * ROWS)
    assert len(told) > 10
    told.clear()
    check(folder / "before.parquet", baseline, jobs=jobs, progress=lambda *now: told.append(now))
    assert told[-1] == (ROWS, ROWS)


@pytest.mark.parametrize(
    ("engine", "jobs", "sentence"),
    [
        ("spark", None, 'engine "spark"; expected local, dask or dask:ADDRESS'),
        ("local:2", None, 'engine "local:2"; expected'),
        ("local", -1, "jobs -1; expected 1 or more, or 0"),
        ("dask:tcp://here:1", 2, "jobs 2 with dask:tcp://here:1: .* leave jobs out"),
    ],
)
def test_an_engine_that_is_none_is_refused(engine: str, jobs: int | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_engine(engine, jobs)


def test_no_jobs_are_one_for_each_core() -> None:
    found = open_engine("local", 0)
    cores = len(os.sched_getaffinity(0))
    assert found == InProcess() if cores == 1 else isinstance(found, ProcessPool)


def test_another_kind_refuses_an_engine_that_it_would_not_use(folder: Path, one: Baseline) -> None:
    with pytest.raises(InputError, match='kind "model-quality" is read in one process'):
        check(folder / "after.parquet", one, kind="model-quality", jobs=2)


class Threads:
    """Another engine: the protocol is one method."""

    def map(
        self, task: Callable[[Part], object], parts: Iterable[Part], tell: Tell | None = None
    ) -> Iterator[object]:
        with ThreadPoolExecutor(3) as pool:
            flight: Flight[Future[object]] = Flight(3, tell)
            for part in parts:
                while flight.full:
                    yield flight.land(flight.first.result())
                carried = part.portable()
                flight.start(pool.submit(task, carried), carried)
            while flight.futures:
                yield flight.land(flight.first.result())


def test_an_engine_of_the_users_own_is_one_method(folder: Path, one: Baseline) -> None:
    found = Baseline.fit(folder / "before.parquet", **ROLES, engine=Threads())
    assert found.version == one.version
    report = check(folder / "after.parquet", one, engine=Threads())
    assert report.documents() == check(folder / "after.parquet", one).documents()


def test_what_is_carried_at_once_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CARRIED_BYTES", 1_000)
    flight: Flight[int] = Flight(100, None)
    assert not flight.full
    for number, part in enumerate(carried(9)):
        assert part.weight > 200
        flight.start(number, part)
        if flight.full:
            break
    assert 2 <= len(flight.futures) <= 6
    flight.land(None)
    assert not flight.full


def test_the_command_line_has_the_same_words(folder: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(build(), [*words])
        return done.exit_code, done.output

    before, after = str(folder / "before.parquet"), str(folder / "after.parquet")
    for jobs, place in (("1", "one"), ("2", "two")):
        words = ("--label", "late", "--jobs", jobs, "-o", str(tmp_path / place))
        code, told = run("baseline", before, *words)
        assert code == 0, told
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    code, told = run("check", after, "--baseline", str(tmp_path / "one"), "--jobs", "2")
    assert code == 1, told
    assert "delay" in told
    with pytest.raises(InputError, match=r"^jobs -1; expected 1 or more"):
        CliRunner().invoke(build(), ["baseline", before, "-o", place, "--jobs", "-1"],
                           catch_exceptions=False)  # fmt: skip


SCRIPT = """
import sys
import driftline as dl
from driftline.formats import parts
parts.PART_ROWS = 2_048
print(dl.Baseline.fit(sys.argv[1], jobs=2, label="late", timestamp="at").version)
"""


@pytest.mark.parametrize("form", ["file", "stdin"])
def test_a_script_without_a_guard_and_one_without_a_file_use_processes(
    folder: Path, tmp_path: Path, form: str
) -> None:
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script) if form == "file" else "-", str(folder / "before.parquet")],
        input=SCRIPT if form == "stdin" else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = Baseline.fit(folder / "before.parquet", label="late", timestamp="at").version
    assert done.stdout.split() == [expected]
    assert done.stderr == ""


KILLED = """
import os, signal
import pyarrow as pa
from driftline.formats import parts
from driftline.baseline.engine import ProcessPool
parts.PART_ROWS = 1
found = parts.stream_parts(pa.table({"x": range(40)}).to_batches())
next(ProcessPool(2).map(lambda part: bytes(1 << 22), found))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_do_not_outlive_the_one_that_asked_for_them() -> None:
    done = subprocess.run(
        # They keep the pipes open for as long as they are there.
        [sys.executable, "-c", KILLED],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
