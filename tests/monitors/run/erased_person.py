"""A person whose rows are judged and erased, and what still holds a value of theirs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sqlalchemy import Engine

from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify import channels
from driftline.alerts.notify.deliverer import Deliverer
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.erasure.erasing import Erased, erase
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.run.erasure import clear_windows
from tests.alerts.conftest import receiver  # noqa: F401 - a fixture
from tests.monitors.conftest import DAY, START, Append, run_day, weather

NOW = datetime(2024, 1, 3, tzinfo=UTC)
DIMENSIONS = {"Endpoint": "flights", "MonitoringSchedule": "daily"}
PLACE, TEMP = "Lovelace Lane 1815", 7777.125
# The person's values in every form that bytes can have: text, decimal, IEEE 754 of both orders.
FORMS = (PLACE.encode(), b"7777.1", b"7,777", struct.pack("<d", TEMP), struct.pack(">d", TEMP))
PERSON = [f"a-{number}" for number in range(40)]


@pytest.fixture
def judged(engine: Engine, root: str, reference: Baseline, append: Append, rng, receiver):  # noqa: F811
    """Judge the day of a person, tell a receiver by three forms of message, and the day after."""
    versions.put(root, "flights", reference, lambda: NOW)
    values = weather(rng, 400)
    values["origin"] = np.where(np.arange(400) < 40, PLACE, values["origin"])
    values["temp"][:40] = TEMP
    append(0, values)
    append(1, weather(rng, 400))
    with engine.begin() as connection:
        for name in ("driftline", "slack", "sns"):
            channel = channels.Channel(
                name, receiver.url, format=name, options={"include_values": True}
            )
            channels.put_channel(connection, channel, NOW)
        digest = channels.Channel(
            "grouped", receiver.url, options={"include_values": True, "group_by": ["endpoint"]}
        )
        channels.put_channel(connection, digest, NOW)
        for metric, space in (
            ("violations", "Driftline"),
            ("feature_data_temp", "aws/sagemaker/Endpoints/data-metrics"),
        ):
            definition = AlarmDefinition(
                alarm_name=metric, namespace=space, metric_name=metric, dimensions=DIMENSIONS,
                statistic="Maximum", period=86_400, evaluation_periods=1, threshold=0.5,
                comparison_operator="GreaterThanThreshold",
                alarm_actions=("driftline", "slack", "sns", "grouped"),
            )  # fmt: skip
            alarms.put_alarm(connection, definition, START)
    first = judge(engine, root, reference, 0)
    Evaluator(engine, now=lambda: START + DAY, dashboard_url="http://127.0.0.1:8081").step()
    judge(engine, root, reference, 1)
    deliverer = Deliverer(
        engine, now=lambda: START + DAY, allow_networks=["127.0.0.0/8"],
        rng=np.random.default_rng(1),
    )  # fmt: skip
    while deliverer.step():
        pass
    return first


def judge(engine: Engine, root: str, reference: Baseline, day: int) -> Execution:
    definition = MonitorDefinition("daily", endpoint="flights", baseline="flights")
    return run_day(engine, root, reference, definition, day, now=lambda: NOW)


def erase_person(engine: Engine, root: str, tmp_path: Path, **more) -> Erased:
    return erase(
        root, tmp_path / "names", {"event_id": PERSON}, now=NOW, keep=timedelta(days=1),
        windows=partial(clear_windows, engine, root), **more,
    )  # fmt: skip


def bytes_of(root: str, engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Return every kept byte: files, Parquet values, the database's files or all its rows."""
    for path in Path(root).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += repr(pl.read_parquet(path, hive_partitioning=False).to_dicts()).encode()
            yield str(path), content
    if engine.dialect.name == "sqlite":
        for path in Path(engine.url.database).parent.glob(f"{Path(engine.url.database).name}*"):
            yield path.name, path.read_bytes()
        return
    # Tables and indexes; its write-ahead log goes when PostgreSQL recycles it.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
        folder = connection.exec_driver_sql(
            "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database "
            "WHERE datname = current_database()"
        ).scalar_one()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


def holding(root: str, engine: Engine) -> list[str]:
    return [
        name for name, content in bytes_of(root, engine) if any(form in content for form in FORMS)
    ]
