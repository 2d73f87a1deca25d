"""Executions that are repeated: the same bytes, and what is said where they are others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.errors import UndecidedError
from driftline.formats.source import open_source
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.kind import kind_names
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.repeat import repeat
from tests.monitors.conftest import DAY, START, append_day
from tests.servers.postgres import new_sqlite, open_url

DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)
ROWS = 200


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Of one database: which it is changes no document."""
    engine = open_url(new_sqlite(tmp_path))
    yield engine
    engine.dispose()


def answers(seed: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = np.round(rng.uniform(0, 1, count), 3)
    return {
        "temp": np.round(rng.normal(0, 1, count), 2),
        "wind": np.round(rng.normal(0, 1, count), 2),
        "origin": rng.choice(["EWR", "JFK"], count),
        "late": (rng.uniform(0, 1, count) < chance).astype(np.int64),
        "said": (chance > 0.5).astype(np.int64),
        "chance": chance,
    }


@pytest.fixture(scope="module")
def labelled() -> Baseline:
    rows = pa.table(answers(1, 1_500))
    baseline = Baseline.fit(
        rows, label="late", prediction="said", probability="chance", facet="origin=EWR"
    )
    return explain_reference(open_source(rows), baseline, model, background=3)


def model(rows: pa.Table) -> np.ndarray:
    return 1 / (1 + np.exp(-rows["temp"].to_numpy()))


@pytest.fixture
def job(engine: Engine, root: str, labelled: Baseline) -> Callable[..., Job]:
    """Two captured days with labels, and what judges a day."""
    store.put(root, "flights", labelled, lambda: START)
    for day in range(2):
        given = answers(day + 2, ROWS)
        append_day(root, labelled.signature, day, {k: v for k, v in given.items() if k != "late"})
        table = {
            "key": [f"a-{day * 1_000_000 + place}" for place in range(ROWS)],
            "row_index": pa.array([0] * ROWS, pa.int32()),
            "label": [str(one) for one in given["late"].tolist()],
        }
        put(root, "flights", pa.table(table), lambda: START + 4 * DAY)

    def of(day: int, kind: str = "data-quality") -> Job:
        window = Window(START + day * DAY, START + (day + 1) * DAY)
        return Job(
            engine, root, replace(DAILY, kind=kind), window, now=lambda: START + 3 * DAY,
            signature=labelled.signature, predict=model,
        )  # fmt: skip

    return of


# Not "command": a program of somebody else's answers as it likes.
@pytest.mark.parametrize("kind", sorted({*kind_names()} - {"command"}))
def test_an_execution_repeated_gives_the_same_bytes(job, labelled: Baseline, kind: str) -> None:
    jobs = [job(day, kind) for day in range(2)]
    done = [run(one) for one in jobs]

    repeated = [repeat(*one) for one in zip(jobs, done, strict=True)]

    assert all(one.status.startswith("Completed") for one in done), done
    assert [(one.is_same, one.notes) for one in repeated] == [(True, ())] * 2
    assert set(repeated[0].documents) >= {"report.json", "constraint_violations.json"}

    append_day(jobs[0].root, labelled.signature, 0, {"temp": np.zeros(3)}, spool="b")
    late = repeat(jobs[0], done[0])
    assert not late.is_same
    assert "rows or labels came or went" in late.notes[0]
    assert "200 rows then, 203 now" in late.notes


def test_what_cannot_be_repeated_is_said(job) -> None:
    first = job(0)
    done = run(first)

    changed = replace(first, definition=replace(DAILY, version=2))
    with pytest.raises(UndecidedError, match=r"was of definition 1 .* it has 2 now"):
        repeat(changed, done)
    with pytest.raises(UndecidedError, match=r"wrote no documents \(NoData\)"):
        repeat(first, run(job(2)))
    report = Path(first.root) / done.folder / "report.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "erased": True}))
    assert repeat(first, done).documents["report.json"] == "differs"
    assert repeat(first, done).notes == ("values of erased rows were taken out of its documents",)
