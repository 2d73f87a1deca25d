"""A small installation with something to look at, made by the rooms' own functions.

Real flights out of New York, the fault of the demo planted in them, 90 days of reference, two
weeks of windows that end with the fault, one alarm that pages and one that makes tickets, and a
receiver on this machine that their messages really go to. Nothing is written by hand that a room
would write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, create_engine, event, insert

from driftline.access import tables as access_tables
from driftline.alerts import tables as alert_tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.deliverer import Deliverer
from driftline.app.demo import flights
from driftline.baseline.cache import BaselineCache
from driftline.baseline.store import Baseline
from driftline.baseline.versions import put
from driftline.capture.labels.labels import put as put_labels
from driftline.capture.tables.dataset import Dataset, table_schema
from driftline.capture.windows.window import Window
from driftline.monitors import tables as monitor_tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.serving import tables as serving_tables
from driftline.signature import Column, Signature
from tests.servers.answering import served

DAYS = 14
NAMESPACE = "Driftline"
OUTPUTS = (
    Column("guess", "prediction", "int64", role="prediction"),
    Column("chance", "probability", "double", role="probability"),
)
END_OF_YEAR = datetime(2014, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Seeded:
    """Where the installation lies, and what time it is there."""

    engine: Engine
    root: str
    time: datetime
    monitor: str = "flights-data-quality"
    signature: Signature | None = None

    def now(self) -> datetime:
        return self.time

    def signature_of(self, _: str) -> Signature | None:
        return self.signature


def seed(folder: Path, *, days: int = DAYS, hostile: str | None = None) -> Seeded:
    """Make the installation; ``hostile`` renames the column of the planted change of unit."""
    root = str(folder / "store")
    engine = make_engine(folder / "driftline.db")
    year = flights.load(END_OF_YEAR)
    traffic = flights.plant(year, END_OF_YEAR)[0]
    reference = flights.reference(year, END_OF_YEAR)
    if hostile is not None:
        traffic, reference = (_renamed(table, hostile) for table in (traffic, reference))
    last = flights.bug_days(END_OF_YEAR)[-1] + timedelta(days=1)
    start = last - timedelta(days=days)
    baseline = Baseline.fit(reference, label=flights.LABEL, timestamp=flights.EVENT_TIME)
    answered = replace(baseline.signature, outputs=OUTPUTS)
    seeded = Seeded(engine, root, last + timedelta(hours=3), signature=answered)
    put(root, "flights", baseline, seeded.now)
    times = traffic[flights.EVENT_TIME]
    inside = pc.and_(
        pc.greater_equal(times, pa.scalar(start, times.type)),
        pc.less(times, pa.scalar(last, times.type)),
    )
    _capture(root, traffic.filter(inside), answered)
    definition = _declare(engine, seeded, start)
    # What a scheduler keeps from window to window.
    loaded, drift_tests = BaselineCache(), DriftTestCache()
    with served(_Accept) as url:
        _tell(engine, seeded, f"{url}/hook")
        for day in range(days):
            window = Window(start + timedelta(days=day), start + timedelta(days=day + 1))
            clock = _Clock(window.end + timedelta(minutes=5))
            run(Job(
                engine, root, definition, window, now=clock, signature=baseline.signature,
                baselines=loaded.get, drift_tests=drift_tests,
            ))  # fmt: skip
            Evaluator(engine, now=clock, dashboard_url="http://127.0.0.1:8081").step()
            deliverer = Deliverer(engine, now=clock, allow_networks=("127.0.0.0/8",))
            deliverer.step()
    keep_up(engine, definition.name, last)
    return seeded


def keep_up(engine: Engine, monitor: str, until: datetime) -> None:
    """Note, as a scheduler does, up to when a monitor has judged."""
    with engine.begin() as connection:
        row = {"monitor": monitor, "planned_until": until}
        connection.execute(insert(monitor_tables.positions).values(row))


@dataclass(frozen=True)
class _Clock:
    time: datetime

    def __call__(self) -> datetime:
        return self.time


def make_engine(file: Path) -> Engine:
    """Make a database with the tables of all packages that have some."""
    engine = create_engine(f"sqlite:///{file}")

    @event.listens_for(engine, "connect")
    def _wait(connection: object, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA busy_timeout=30000")

    alert_tables.metadata.create_all(engine)
    monitor_tables.metadata.create_all(engine)
    access_tables.metadata.create_all(engine)
    serving_tables.metadata.create_all(engine)
    return engine


def _renamed(table: pa.Table, name: str) -> pa.Table:
    return table.rename_columns([name if old == "temp" else old for old in table.column_names])


def _capture(root: str, rows: pa.Table, signature: Signature) -> None:
    """Commit rows as the sink does: one request for each hour and airport."""
    rows = rows.sort_by([(flights.EVENT_TIME, "ascending"), ("origin", "ascending")])
    times = rows[flights.EVENT_TIME].cast(pa.int64()).to_numpy()
    origins = rows["origin"].combine_chunks().dictionary_encode().indices.to_numpy()
    key = np.stack([times, origins], axis=1)
    is_first = np.concatenate([[True], np.any(key[1:] != key[:-1], axis=1)])
    request = np.cumsum(is_first)
    place = np.arange(len(request)) - np.flatnonzero(is_first)[request - 1]
    count = len(request)
    values: dict[str, object] = {
        "event_id": pa.array([f"{number:08x}-7d1b-4c55-9d20-0f5a6c1e77aa" for number in request]),
        "row_index": pa.array(place, pa.int32()),
        "variant": pa.array(["AllTraffic"] * count),
        "model": pa.array(["flights"] * count),
        "event_time": rows[flights.EVENT_TIME],
        "arrival_time": rows[flights.EVENT_TIME],
        "status": pa.array(np.full(count, 200), pa.int16()),
        "flags": pa.array(np.zeros(count), pa.int32()),
        "spool_id": pa.array(["seed"] * count),
        "spool_seq": pa.array(request, pa.int64()),
        "sampling_rate": pa.array(np.ones(count), pa.float32()),
        "event_date": pc.strftime(rows[flights.EVENT_TIME], "%Y-%m-%d"),
    }
    values |= {column.column: rows[column.name] for column in signature.inputs}
    late = pc.fill_null(rows[flights.LABEL], 0).to_numpy()  # Cancelled flights never are.
    # The model is right but for one row in ten.
    answers = np.where(np.arange(count) % 10, late, 1 - late), 0.1 + 0.8 * late
    values |= {one.column: pa.array(of) for one, of in zip(signature.outputs, answers, strict=True)}
    schema = table_schema(signature)
    columns = [
        values[field.name].cast(field.type) if field.name in values else pa.nulls(count, field.type)
        for field in schema
    ]
    Dataset(root, "flights").append(pa.table(columns, schema=schema), {"seed": int(request[-1])})
    named = {"key": values["event_id"], "row_index": values["row_index"]}
    labels = pa.table(named | {"label": rows[flights.LABEL].cast(pa.string())})
    put_labels(root, "flights", labels.drop_null(), lambda: rows[flights.EVENT_TIME][-1].as_py())


def _declare(engine: Engine, seeded: Seeded, start: datetime) -> MonitorDefinition:
    definition = MonitorDefinition(
        name=seeded.monitor, endpoint="flights", baseline="flights", start=start
    )
    with engine.begin() as connection:
        return put_definition(connection, definition, start)


def _tell(engine: Engine, seeded: Seeded, url: str) -> None:
    """Declare a channel and the alarms: a page for what no season explains, a ticket for drift."""
    shared = {
        "namespace": NAMESPACE,
        "dimensions": {"Endpoint": "flights", "MonitoringSchedule": seeded.monitor},
        "statistic": "Maximum",
        "period": 86_400,
        "threshold": 0.0,
        "comparison_operator": "GreaterThanThreshold",
        "alarm_actions": ("pager",),
        "ok_actions": ("pager",),
    }
    start = seeded.time - timedelta(days=DAYS + 1)
    with engine.begin() as connection:
        put_channel(connection, Channel("pager", url), start)
        broken = AlarmDefinition(
            alarm_name="flights: broken input",
            metric_name="pages",
            evaluation_periods=1,
            severity="page",
            **shared,
        )
        drift = AlarmDefinition(
            alarm_name="flights: drift",
            metric_name="drifted_features",
            evaluation_periods=5,
            datapoints_to_alarm=3,
            severity="ticket",
            **shared,
        )
        for alarm in (broken, drift):
            put_alarm(connection, alarm, start)


class _Accept(BaseHTTPRequestHandler):
    """Answers every message with 204, as a working receiver does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
