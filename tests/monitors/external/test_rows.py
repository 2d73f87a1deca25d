"""Rows and labels of tables that others write: none is lost, whatever their ids and times are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text

from driftline.capture.labels.labelling import Labels
from driftline.capture.windows.window import Window
from driftline.monitors.external.rows import read_external
from driftline.monitors.external.source import UNLIMITED, Access, ExternalSource
from driftline.signature import Column, Signature

START = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")
SIGNATURE = Signature((Column("x", "feature_x", "double"),))


def labels_of(
    folder: Path, ids: Sequence[str | None], *files: Sequence[tuple[str | None, int, object]]
) -> dict[str | None, object]:
    """Return the label that each row gets; labels are (id, label, time)."""
    (folder / "scores").mkdir()
    (folder / "truth").mkdir()
    times = pa.array([START] * len(ids))
    rows = pa.table({"id": pa.array(ids, pa.string()), "at": times, "x": [0.5] * len(ids)})
    pq.write_table(rows, folder / "scores" / "0.parquet")
    for number, labels in enumerate(files):
        ids_, values, known = zip(*labels, strict=True)
        table = pa.table(
            {
                "id": pa.array(ids_, pa.string()), "late": values,
                "known": pa.array(known, pa.timestamp("us", "UTC")),
            }
        )  # fmt: skip
        pq.write_table(table, folder / "truth" / f"{number}.parquet")
    truth = {"path": str(folder / "truth"), "id": "id", "timestamp": "known"}
    source = {"path": str(folder / "scores"), "timestamp": "at", "id": "id", "labels": truth}
    read = read_external(
        ExternalSource.of(source), UNLIMITED, Window(START, START + HOUR), SIGNATURE,
        columns=("inference_id", "late"), labels=Labels("late", "int64"),
    )  # fmt: skip
    found = pa.Table.from_batches(read.batches())
    return dict(zip(found["inference_id"].to_pylist(), found["late"].to_pylist(), strict=True))


def test_an_id_that_is_null_joins_nothing_and_takes_no_label_away(tmp_path: Path) -> None:
    labels = [("a", 0, START), ("b", 1, START), ("c", 1, START), (None, 0, START)]

    found = labels_of(tmp_path, ["a", "b", "c", None], labels)

    assert found == {"a": 0, "b": 1, "c": 1, None: None}


@pytest.mark.parametrize(
    "turn", [datetime(2024, 10, 27, 1, tzinfo=UTC), datetime(2024, 3, 31, 1, tzinfo=UTC)]
)
def test_a_query_loses_no_row_of_the_hours_that_clocks_repeat_or_leave_out(
    database_url: str, engine: Engine, turn: datetime
) -> None:
    kind = "text" if engine.dialect.name == "sqlite" else "timestamp"
    local = [f"{turn.date()} {hour:02}:{minute:02}:00" for hour in range(6) for minute in (0, 30)]
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE t (id text, at {kind}, x real)"))
        for moment in local:
            connection.execute(text(f"INSERT INTO t VALUES ('{moment}', '{moment}', 1)"))
    query = "SELECT * FROM t WHERE at >= :start AND at < :end"
    source = ExternalSource.of(
        {
            "query": query, "connection": "w", "timestamp": "at", "id": "id",
            "time_zone": BERLIN.key,
        }
    )  # fmt: skip
    access = Access({"w": database_url})
    windows = [Window(turn + n * HOUR, turn + (n + 1) * HOUR) for n in range(-3, 5)]

    found = [
        one
        for window in windows
        for batch in read_external(
            source, access, window, SIGNATURE, columns=("inference_id", "event_time")
        ).batches()
        for one in batch["inference_id"].to_pylist()
    ]

    assert sorted(found) == local


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_of_texts_with_and_without_a_zone_each_is_read_by_itself(tmp_path: Path, form: str) -> None:
    source = ExternalSource.of(
        {"path": str(tmp_path), "timestamp": "at", "id": "id", "time_zone": BERLIN.key}
    )
    rows = pa.table(
        {
            "id": ["naive", "zoned", "offset", "none"],
            "at": ["2024-06-01 02:10:00", "2024-06-01T00:20:00Z", "2024-06-01T01:30+01:00", "no"],
            "x": [0.5] * 4,
        }
    )
    if form == "csv":
        pcsv.write_csv(rows, tmp_path / "0.csv")
    else:
        pq.write_table(rows, tmp_path / "0.parquet")

    read = read_external(
        source, UNLIMITED, Window(START, START + HOUR), SIGNATURE,
        columns=("inference_id", "event_time"),
    )  # fmt: skip

    found = pa.Table.from_batches(read.batches()).to_pylist()
    assert {one["inference_id"]: one["event_time"].minute for one in found} == {
        "naive": 10, "zoned": 20, "offset": 30,
    }  # fmt: skip
    assert read.unparsed_count == 1
