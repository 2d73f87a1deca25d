"""Runs of monitors whose rows are a table that others write: files, a Delta table, a query."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from sqlalchemy import Engine, delete

from driftline.alerts.metrics import store as metrics
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import UnavailableError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.external.files import FileTable, TimeColumn
from driftline.monitors.external.source import Access
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.serving.resources.reach import Reach
from tests.monitors.conftest import DAY, START, append_day, clock, report_of, weather
from tests.servers.postgres import both_in_full

WINDOW = Window(START, START + DAY)
TIME = "scored_at"


def scores(
    rng: np.random.Generator, rows: int, day: int = 0, **changed: object
) -> dict[str, object]:
    """Rows of one day, a minute apart, with an id, a score and what came true."""
    values = weather(rng, rows)
    chance = 1 / (1 + np.exp(-(values["temp"] - 55) / 6))
    times = [START + day * DAY + timedelta(minutes=i % 1440) for i in range(rows)]
    return {
        "request_id": [f"r{day}-{number}" for number in range(rows)],
        TIME: pa.array(times, pa.timestamp("us", "UTC")),
        **values,
        "score": np.round(chance, 4),
        "late": (rng.random(rows) < chance).astype(int),
        **changed,
    }


@pytest.fixture(scope="session")
def scored() -> Baseline:
    rows = scores(np.random.default_rng(3), 6_000)
    rows[TIME] = pa.array([START - 30 * DAY + timedelta(minutes=i * 7) for i in range(6_000)])
    return Baseline.fit(
        pa.table(rows), label="late", probability="score", id="request_id", timestamp=TIME
    )


def write_parquet(rows: pa.Table, folder: Path) -> dict[str, object]:
    folder.mkdir(exist_ok=True)
    pq.write_table(rows, folder / f"part-{len([*folder.iterdir()])}.parquet")
    return {"path": str(folder)}


def write_delta(rows: pa.Table, folder: Path) -> dict[str, object]:
    write_deltalake(str(folder), rows, mode="append")
    return {"path": str(folder)}


def write_csv(rows: pa.Table, folder: Path) -> dict[str, object]:
    folder.mkdir(exist_ok=True)
    pcsv.write_csv(rows, folder / f"part-{len([*folder.iterdir()])}.csv")
    return {"path": str(folder)}


def write_lines(rows: pa.Table, folder: Path) -> dict[str, object]:
    folder.mkdir(exist_ok=True)
    texts = rows.set_column(1, TIME, rows[TIME].cast(pa.string()))
    lines = "".join(json.dumps(one) + "\n" for one in texts.to_pylist())
    (folder / "part.jsonl").write_text(lines)
    return {"path": str(folder)}


def write_sqlite(rows: pa.Table, folder: Path) -> dict[str, object]:
    with sqlite3.connect(f"{folder}.db") as connection:
        texts = rows.set_column(1, TIME, rows[TIME].cast(pa.string()))
        connection.execute(f"CREATE TABLE IF NOT EXISTS scores ({', '.join(rows.column_names)})")
        marks = ", ".join("?" * rows.num_columns)
        values = [tuple(one.values()) for one in texts.to_pylist()]
        connection.executemany(f"INSERT INTO scores VALUES ({marks})", values)
    query = f"SELECT * FROM scores WHERE datetime({TIME}) >= :start AND datetime({TIME}) < :end"
    return {"query": query, "connection": "warehouse"}


FORMS = [write_parquet, write_delta, write_csv, write_lines, write_sqlite]


@pytest.fixture
def judge(engine: Engine, root: str, tmp_path: Path, scored: Baseline):
    versions.put(root, "scores", scored, clock)
    access = Access({"warehouse": f"sqlite:///{tmp_path / 'scores.db'}"})

    def once(
        source: dict[str, object], kind: str = "data-quality", window: Window = WINDOW,
        access: Access = access, **fields: object,
    ) -> Execution:  # fmt: skip
        source = {"timestamp": TIME, "id": "request_id", **source}
        definition = MonitorDefinition(
            "nightly", endpoint="", baseline="scores", kind=kind, source=source, **fields
        )
        return run(Job(engine, root, definition, window, now=clock, signature=None, access=access))

    return once


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("write", "kind"),
    [*((form, "data-quality") for form in FORMS), (write_parquet, "model-quality")],
)
def test_a_window_of_a_table_is_judged_and_run_again_with_the_same_bytes(
    judge, engine: Engine, root: str, tmp_path: Path, rng, write, kind: str
) -> None:
    rows = pa.concat_tables([pa.table(scores(rng, 400, day)) for day in (0, 1)])
    source = write(rows, tmp_path / "scores")

    first = judge(source, kind)
    texts = documents(root, first)
    with engine.begin() as connection:  # As if it had never run.
        connection.execute(delete(tables.executions))
    again = judge(source, kind)

    assert first.failure_reason is None
    assert first.status == "Completed"
    assert (first.row_count, again.id) == (400, first.id)
    assert documents(root, again) == texts


def documents(root: str, execution: Execution) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (Path(root) / execution.folder).iterdir()}


@pytest.mark.first(2)
@pytest.mark.parametrize("write", FORMS)
def test_the_same_rows_give_the_same_digest_however_their_files_are_arranged(
    judge, tmp_path: Path, rng, write
) -> None:
    rows = pa.table(scores(rng, 400))
    parts = [rows.slice(200), rows.slice(0, 200)]
    whole = write(rows, tmp_path / "scores")
    first = judge(whole)
    if write is write_lines:
        parts = [rows.take(pa.array(np.arange(400)[::-1]))]
    other = tmp_path / "other"
    for part in parts:
        arranged = write(part, other)
    access = Access({"warehouse": f"sqlite:///{other}.db"})

    again = judge(arranged, access=access)

    assert again.digest == first.digest


def test_captured_rows_and_the_same_rows_of_a_folder_are_judged_alike(
    engine: Engine, root: str, tmp_path: Path, reference: Baseline, rng
) -> None:
    values = weather(rng, 400)
    values["wind"] = values["wind"] * 1000
    times = [START + timedelta(minutes=number) for number in range(400)]
    versions.put(root, "flights", reference, clock)
    append_day(root, reference.signature, 0, values)
    columns = {**values, TIME: pa.array(times), "id": [f"a-{number}" for number in range(400)]}
    source = {
        **write_parquet(pa.table(columns), tmp_path / "scores"),
        "timestamp": TIME,
        "id": "id",
    }
    common = {"baseline": "flights"}
    captured = MonitorDefinition("captured", endpoint="flights", **common)
    table = MonitorDefinition("table", endpoint="", source=source, **common)

    runs = [
        run(Job(engine, root, one, WINDOW, now=clock, signature=signature))
        for one, signature in ((captured, reference.signature), (table, None))
    ]

    found = [documents(root, one) for one in runs]
    named = {
        name: text.replace(b"mission table", b"mission captured") for name, text in found[1].items()
    }
    assert runs[0].status == "CompletedWithViolations"
    assert named == found[0]


@both_in_full
def test_its_metrics_are_those_of_sagemakers_batch_monitors(
    judge, engine: Engine, tmp_path: Path, rng
) -> None:
    judge(write_parquet(pa.table(scores(rng, 400)), tmp_path / "scores"))

    found = {}
    for namespace, name in (
        ("Driftline", "rows"),
        ("aws/sagemaker/ModelMonitoring/data-metrics", "feature_non_null_temp"),
    ):
        with engine.connect() as connection:
            found[name] = metrics.read(
                connection, namespace, name, {"MonitoringSchedule": "nightly"},
                START, START + DAY, 86_400, "Sum",
            )  # fmt: skip

    assert [value for _, value in found["rows"]] == [400.0]
    assert [value for _, value in found["feature_non_null_temp"]] == [1.0]


def test_late_rows_give_a_new_execution_in_place_of_the_old_one(judge, tmp_path: Path, rng) -> None:
    folder = tmp_path / "scores"
    first = judge(write_parquet(pa.table(scores(rng, 300)), folder))

    second = judge(write_parquet(pa.table(scores(rng, 100)), folder))

    assert (first.row_count, second.row_count) == (300, 400)
    assert first.id != second.id


def test_rows_that_the_owner_took_back_are_judged_without_them_but_never_none(
    judge, tmp_path: Path, rng
) -> None:
    folder = tmp_path / "scores"
    write_parquet(pa.table(scores(rng, 400)), folder)
    source = write_parquet(pa.table(scores(rng, 300)), folder)
    assert judge(source).row_count == 700

    (folder / "part-0.parquet").unlink()
    corrected = judge(source)
    (folder / "part-1.parquet").unlink()
    emptied = judge(source)

    assert (corrected.status, corrected.row_count) == ("Completed", 300)
    assert f"execution {corrected.id}, which saw them, stands" in emptied.failure_reason


def test_only_row_groups_that_may_hold_the_window_are_read(
    tmp_path: Path, rng, caplog: pytest.LogCaptureFixture
) -> None:
    days = pa.concat_tables([pa.table(scores(rng, 1_440, day)) for day in range(10)])
    (tmp_path / "scores").mkdir()
    pq.write_table(days, tmp_path / "scores" / "all.parquet", row_group_size=1_440)
    write_deltalake(str(tmp_path / "delta"), days.slice(0, 1_440))
    write_deltalake(str(tmp_path / "delta"), days.slice(1_440, 1_440), mode="append")
    caplog.set_level("INFO", "driftline.monitors.external.files")

    for name in ("scores", "delta"):
        table = FileTable(str(tmp_path / name), Access())
        window = Window(START + timedelta(hours=2), START + timedelta(hours=3))
        list(table.batches([TIME], TimeColumn(TIME), window))

    assert [record.getMessage().partition(" bytes")[0] for record in caplog.records] == [
        f"source={tmp_path}/scores files=1 row_groups=1",
        f"source={tmp_path}/delta files=1 row_groups=1",
    ]


def test_times_without_a_zone_are_of_the_zone_that_is_named(judge, tmp_path: Path, rng) -> None:
    moments = [START + timedelta(minutes=30), START + timedelta(hours=23, minutes=30)] * 200
    local = pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    rows = pa.table(scores(rng, 400, **{TIME: local}))
    text = rows.set_column(1, TIME, rows[TIME].cast(pa.string()))
    sources = [
        write_parquet(rows, tmp_path / "naive"),
        write_parquet(text, tmp_path / "text"),
    ]
    berlin = Window(START - timedelta(hours=1), START)

    for source in sources:
        counts = [
            judge({**source, "time_zone": zone}, window=berlin).row_count
            for zone in ("UTC", "Europe/Berlin")
        ]
        assert counts == [0, 200]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"timestamp": "scored"}, 'no column "scored", which timestamp names; the nearest known'),
        ({"timestamp": "temp"}, 'column "temp" holds double; expected the times of the rows'),
        ({"id": "nobody"}, 'no column "nobody", which id names'),
        ({"path": "/nowhere/at/all"}, "/nowhere/at/all: no such file or folder"),
    ],
)
def test_what_is_wrong_with_a_table_stands_in_the_failed_execution(
    judge, tmp_path: Path, rng, changed: dict[str, object], told: str
) -> None:
    source = write_parquet(pa.table(scores(rng, 400)), tmp_path / "scores")

    execution = judge({**source, **changed})

    assert execution.status == "Failed"
    assert told in execution.failure_reason


def test_a_file_out_of_reach_is_not_read_behind_a_link_either(judge, tmp_path: Path, rng) -> None:
    secret = tmp_path / "secret"
    write_parquet(pa.table(scores(rng, 400)), secret)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part.parquet").symlink_to(secret / "part-0.parquet")
    access = Access(check=Reach((str(tmp_path / "data"),)).check_data)

    told = [
        judge({"path": str(path)}, access=access).failure_reason
        for path in (secret, tmp_path / "data", "data")
    ]

    assert ["in none of the data folders" in one for one in told] == [True, True, False]
    assert "is relative" in told[2]


@pytest.mark.parametrize(
    ("write", "share"), [(write_parquet, 0), (write_parquet, 0.5), (write_csv, 0)]
)
def test_a_file_that_is_perhaps_still_written_is_waited_for(
    judge, tmp_path: Path, rng, write, share: float
) -> None:
    source = write(pa.table(scores(rng, 400)), tmp_path / "scores")
    (file,) = (tmp_path / "scores").iterdir()
    begun = file.with_stem("begun")
    whole = file.read_bytes()
    begun.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(UnavailableError, match="perhaps not whole yet"):
        judge(source)
    os.utime(begun, times=(time.time() - 660, time.time() - 660))
    failed = judge(source)

    assert failed.status == "Failed"
    assert "begun" in failed.failure_reason


@pytest.mark.first(2)
@both_in_full
@pytest.mark.parametrize("write", [write_parquet, write_csv, write_sqlite])
def test_labels_of_another_table_are_joined_by_id_and_quality_is_estimated_until_they_come(
    judge, root: str, tmp_path: Path, rng, write
) -> None:
    rows = pa.table(scores(rng, 400))
    source = write(rows.drop_columns(["late"]), tmp_path / "scores")
    if write is write_sqlite:
        labels = {"query": "SELECT request_id, late FROM truth", "connection": "warehouse"}
        database = tmp_path / "scores.db"
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE truth (request_id, late)")
    else:
        labels = {"path": str(tmp_path / "truth")}
        (tmp_path / "truth").mkdir()
    source = {**source, "labels": {**labels, "id": "request_id"}}
    waiting = judge(source, "model-quality")
    until_then = report_of(root, waiting)

    if write is write_sqlite:
        with sqlite3.connect(database) as connection:
            pairs = zip(rows["request_id"].to_pylist(), rows["late"].to_pylist(), strict=True)
            connection.executemany("INSERT INTO truth VALUES (?, ?)", pairs)
    else:
        write(rows.select(["request_id", "late"]), tmp_path / "truth")
    judged = judge(source, "model-quality")

    assert waiting.status == "InsufficientData"
    assert (until_then["labelled_count"], report_of(root, judged)["labelled_count"]) == (0, 400)
    assert {metric["name"].split("_")[0] for metric in until_then["metrics"]} == {"estimated"}
    assert (judged.status, judged.failure_reason) == ("Completed", None)
