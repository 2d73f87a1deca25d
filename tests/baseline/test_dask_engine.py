"""The engine "dask": a scheduler and workers that run as processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.baseline import dask_engine
from driftline.baseline.dask_engine import DaskCluster
from driftline.baseline.store import Baseline
from driftline.errors import InputError, UnavailableError
from driftline.formats import parts
from driftline.formats.parts import IpcPart, Part, stream_parts
from driftline.monitors.check import check
from tests.servers.dask import DaskProcesses, dask_cluster

ROWS = 20_000


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=0) as found:
        yield found


@pytest.fixture
def cluster(processes: DaskProcesses) -> DaskProcesses:
    """A scheduler and two workers, of which an earlier test may have killed some."""
    processes.count = 2
    processes.mend()
    return processes


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 4_096)
    monkeypatch.setattr(dask_engine, "LOOK_S", 1)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(5)
    for name, shift in (("before", 0.0), ("after", 1.0)):
        table = pa.table(
            {
                "x": rng.normal(0, 1, ROWS) + shift,
                "name": [f"n{number}" for number in rng.integers(0, 7_000, ROWS)],
                "kind": rng.choice(["a", "b"], ROWS),
            }
        )
        pq.write_table(table, place / f"{name}.parquet", row_group_size=2_048)
    return place


def whose(part: Part) -> tuple[int, int]:
    return os.getpid(), sum(batch.num_rows for batch in part.batches())


def fail(part: Part, *, at: int) -> int:
    first = next(part.batches()).column(0)[0].as_py()
    if first >= at:
        raise InputError(f"row {first} is wrong")
    return int(first)


def end_once(part: Part, *, marks: str) -> int:
    """End the worker the first time that this part comes up."""
    first = next(part.batches()).column(0)[0].as_py()
    mark = Path(marks) / str(first)
    if first == 3 and not mark.exists():
        mark.touch()
        os._exit(9)
    return int(first)


def carried(count: int) -> Iterator[IpcPart]:
    for number in range(count):
        yield next(stream_parts(pa.table({"x": [number]}).to_batches())).portable()


def test_a_scheduler_without_workers_is_not_awaited_for_ever(
    processes: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_engine, "CONNECT_S", 2)  # Who is there may answer later.
    with pytest.raises(UnavailableError, match=r"the scheduler tcp.* has no workers"):
        list(DaskCluster(processes.address).map(whose, carried(1)))


def test_workers_give_the_bytes_that_one_process_gives(
    cluster: DaskProcesses, folder: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    engine = f"dask:{cluster.address}"
    one = Baseline.fit(folder / "before.parquet")
    two = Baseline.fit(
        folder / "before.parquet", engine=engine, progress=lambda *now: told.append(now)
    )
    assert two.version == one.version
    assert told[-1] == (2 * ROWS, 2 * ROWS)
    assert [done for done, _ in told] == sorted({done for done, _ in told})

    alone = check(folder / "after.parquet", one)
    found = check(folder / "after.parquet", one, engine=engine)
    assert found.documents() == alone.documents()
    assert [one.feature_name for one in found.violations] == ["x"]


def test_rows_from_memory_are_carried_to_the_workers(cluster: DaskProcesses, folder: Path) -> None:
    table = pq.read_table(folder / "before.parquet")
    found = Baseline.fit(table, engine=f"dask:{cluster.address}")
    assert found.version == Baseline.fit(table).version


def test_an_error_on_a_worker_is_the_error_of_the_whole(cluster: DaskProcesses) -> None:
    with pytest.raises(InputError, match="row 5 is wrong"):
        list(DaskCluster(cluster.address).map(partial(fail, at=5), carried(12)))


def test_nobody_at_the_address_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "CONNECT_S", 2)
    with pytest.raises(UnavailableError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        Baseline.fit(folder / "before.parquet", engine="dask:tcp://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="no scheduler answers at nonsense://"):
        Baseline.fit(folder / "before.parquet", engine="dask:nonsense://here")


@pytest.mark.full
def test_workers_of_another_driftline_are_refused(cluster: DaskProcesses, tmp_path: Path) -> None:
    other = tmp_path / "other" / "driftline-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: driftline\nVersion: 9.9.9\n")
    worker = cluster.start_worker(other.parent)
    cluster.wait(3)
    engine = DaskCluster(cluster.address)
    with pytest.raises(UnavailableError, match=r"of tcp.* have driftline .*9\.9\.9, and here"):
        list(engine.map(whose, carried(1)))

    worker.kill()
    worker.wait()
    cluster.wait(2)


@pytest.mark.full
def test_a_worker_that_is_lost_is_replaced_by_another_and_a_lost_scheduler_is_a_sentence(
    cluster: DaskProcesses, tmp_path: Path
) -> None:
    engine = DaskCluster(cluster.address)
    task = partial(end_once, marks=str(tmp_path))
    assert list(engine.map(task, carried(12))) == list(range(12))
    assert sorted(one.poll() is None for one in cluster.workers) == [False, True]

    results = engine.map(whose, carried(100))
    assert next(results)[1] == 1
    cluster.scheduler.send_signal(signal.SIGKILL)
    with pytest.raises(UnavailableError, match="the scheduler is gone"):
        list(results)
