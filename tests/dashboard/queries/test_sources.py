"""Pages of a monitor whose rows are a table that others write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import MONITOR_DIMENSION, put_alarm
from driftline.alerts.evaluation.states import set_state
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.dashboard.pages import overview
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.external.source import Access
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.serving.resources.reach import Reach

DAY = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(engine: Engine, tmp_path: Path) -> Path:
    """A judged table whose texts changed at noon; gives the folder of its files."""
    rng, root = np.random.default_rng(1), str(tmp_path / "store")
    texts = rng.choice(["a", "b"], 5_000)
    versions.put(root, "scores", Baseline.fit(pa.table({"text": texts})), lambda: DAY)
    today = ["a"] * 240 + ["new"] * 240
    times = [DAY + timedelta(minutes=3 * number) for number in range(480)]
    ids = [f"r{number}" for number in range(480)]
    (tmp_path / "scores").mkdir()
    pq.write_table(
        pa.table({"text": today, "at": pa.array(times), "id": ids}),
        tmp_path / "scores" / "part.parquet",
    )
    source = {"path": str(tmp_path / "scores"), "timestamp": "at", "id": "id"}
    definition = MonitorDefinition("nightly", endpoint="", baseline="scores", source=source)
    with engine.begin() as connection:
        definition = put_definition(connection, definition, DAY)
    window = Window(DAY, DAY + timedelta(days=1))
    run(Job(engine, root, definition, window, now=lambda: DAY, signature=None))
    return tmp_path


def stores_of(engine: Engine, folder: Path, access: Access) -> Stores:
    return Stores(engine, str(folder / "store"), lambda: DAY, access=access)


def test_the_pages_show_its_rows_and_history_and_no_endpoint(engine: Engine, folder: Path) -> None:
    stores = stores_of(engine, folder, Access())

    view = stores.column("nightly", "text", None)
    page = str(overview.page(stores.overview()))

    assert view.rows.events[:2] == ("r240", "r241")
    assert view.rows.total == 240
    assert [0.0] in [one.value.tolist() for one in view.histories]
    assert [line.name for line in stores.overview().endpoints] == [""]
    assert f"{folder}/scores" in page


def test_a_firing_alarm_of_a_table_stands_in_the_row_of_the_tables(
    engine: Engine, folder: Path
) -> None:
    alarm = AlarmDefinition(
        alarm_name="nightly drift", namespace="driftline", metric_name="drift", threshold=1.0,
        statistic="Average", period=86_400, comparison_operator="GreaterThanThreshold",
        evaluation_periods=1, dimensions={MONITOR_DIMENSION: "nightly"},
    )  # fmt: skip
    with engine.begin() as connection:
        put_alarm(connection, alarm, DAY)
        set_state(connection, "nightly drift", "ALARM", "drift", DAY)

    view = stores_of(engine, folder, Access()).overview()

    assert [(line.name, line.firing) for line in view.endpoints] == [("", 1)]
    assert "href='/alarms?state=ALARM'" in str(overview.page(view)).partition("Tables of others")[2]


def test_rows_out_of_reach_are_not_shown(engine: Engine, folder: Path) -> None:
    access = Access(check=Reach((str(folder / "store"),)).check_data)
    stores = stores_of(engine, folder, access)

    view = stores.column("nightly", "text", None)

    assert view.rows is None
