"""Reference data, baselines and capture tables that the tests of this room share."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.alerts.metrics import store as metrics
from driftline.baseline.store import Baseline
from driftline.capture.tables.dataset import Dataset, table_schema
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.joint import classifier
from driftline.monitors.kinds.model_quality import estimates
from driftline.monitors.kinds.model_quality.estimates import Estimator, learn_estimator
from driftline.monitors.report.report import Report
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.signature import Signature

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def clock() -> datetime:
    return START + 31 * DAY


def weather(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Independent rows of a stream that tests plant changes in."""
    return {
        "temp": np.round(rng.normal(55, 12, rows), 1),
        "wind": np.round(rng.gamma(4, 3, rows), 1),
        "stops": rng.poisson(1.5, rows),
        "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
        "carrier": rng.choice(["UA", "B6", "EV", "DL", "AA", "MQ"], rows),
    }


@pytest.fixture(scope="session", autouse=True)
def learnt_once() -> Iterator[None]:
    """Learn each estimator once: it follows from the reference alone, of which tests share many."""
    learnt: dict[bytes, Estimator] = {}

    def learn(*given: object, **named: object) -> Estimator:
        key = hashlib.sha256(pickle.dumps((given, named))).digest()
        if key not in learnt:
            learnt[key] = learn_estimator(*given, **named)
        return learnt[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimates, "learn_estimator", learn)
        yield


@pytest.fixture(scope="session")
def blocks_told_apart_once() -> Iterator[None]:
    """Fit the classifiers of a reference's blocks once for all checks, as a monitor does."""
    made: dict[bytes, np.ndarray] = {}

    def tell_apart(*given: object) -> np.ndarray:
        key = hashlib.sha256(pickle.dumps(given)).digest()
        if key not in made:
            made[key] = block_aucs(*given)
        return made[key].copy()

    block_aucs = classifier._block_aucs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_block_aucs", tell_apart)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240101)


@pytest.fixture(scope="session")
def reference() -> Baseline:
    """A baseline of 20,000 independent rows without times."""
    return Baseline.fit(pa.table(weather(np.random.default_rng(1), 20_000)))


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "store")


Append = Callable[..., None]


@pytest.fixture
def append(root: str, reference: Baseline) -> Append:
    """Put rows of one day into the capture table of the endpoint "flights"."""

    def put(day: int, rows: dict[str, np.ndarray], *, spool: str = "a", first: int = 0) -> None:
        append_day(root, reference.signature, day, rows, spool=spool, first=first)

    return put


def append_day(
    root: str,
    signature: Signature,
    day: int,
    rows: dict[str, np.ndarray],
    *,
    spool: str = "a",
    first: int = 0,
    times: list[datetime] | None = None,
) -> None:
    """Write captured records, one row each, spread over a day, or at given times of one."""
    schema = table_schema(signature)
    count = len(next(iter(rows.values())))
    start = START + day * DAY
    times = times or [start + timedelta(seconds=60 * (i % 1440)) for i in range(count)]
    sequence = [day * 1_000_000 + first + i for i in range(count)]
    values: dict[str, object] = {
        "event_id": [f"{spool}-{one}" for one in sequence],
        "row_index": [0] * count,
        "event_time": times,
        "arrival_time": times,
        "status": [200] * count,
        "flags": [0] * count,
        "spool_id": [spool] * count,
        "spool_seq": sequence,
        "event_date": [f"{time:%Y-%m-%d}" for time in times],
    }
    for column in signature.columns:
        if column.name in rows:
            values[column.column] = pa.array(rows[column.name], from_pandas=True)
    own = "unfit", "headers", "flags", "event_id", "row_index", "inference_id", "variant"
    values |= {name: list(rows[name]) for name in own if name in rows}
    arrays = [
        pa.array(values[field.name], field.type)
        if isinstance(values.get(field.name), list)
        else values[field.name].cast(field.type)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in schema
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    Dataset(root, "flights").append(table, {spool: sequence[-1]})


def checks(report: Report) -> set[tuple[str, str]]:
    """Name what is violated: column and check."""
    return {(one.feature_name, one.constraint_check_type) for one in report.violations}


def run_day(
    engine: Engine,
    root: str,
    reference: Baseline,
    definition: MonitorDefinition,
    day: int,
    *,
    now: Callable[[], datetime] = clock,
    **more: object,
) -> Execution:
    """Run a monitor on a day, the first is 0."""
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    job = Job(engine, root, definition, window, now=now, signature=reference.signature, **more)
    return run(job)


def report_of(root: str, execution: Execution) -> dict[str, Any]:
    """Return report.json of an execution."""
    found: dict[str, Any] = json.loads(Path(root, execution.folder, "report.json").read_text())
    return found


def values_of(
    engine: Engine,
    name: str,
    namespace: str = "Driftline",
    *,
    monitor: str = "daily",
    statistic: str = "Sum",
) -> list[float]:
    """Return a metric's value in each day of a monitor of the endpoint "flights"."""
    of = {"Endpoint": "flights", "MonitoringSchedule": monitor}
    with engine.connect() as connection:
        found = metrics.read(
            connection, namespace, name, of, START, START + 300 * DAY, 86_400, statistic
        )
    return [number for _, number in found]
