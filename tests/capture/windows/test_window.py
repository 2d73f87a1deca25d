"""The window: half-open, by event time, the same whatever files the records lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.windows.window import Window, read_window, unfit_counts
from driftline.errors import InputError
from driftline.serving.provisioning.signatures import succeed
from driftline.signature import ColumnType, Signature

Write = Callable[..., bool]
DAY = Window(datetime(2013, 1, 15, tzinfo=UTC), datetime(2013, 1, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2013, 1, 1), datetime(2013, 1, 2)),  # noqa: DTZ001 - what is refused
        (DAY.start, DAY.start),
        (DAY.end, DAY.start),
    ],
)
def test_a_window_without_zone_or_length_is_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(InputError):
        Window(start, end)


def test_the_start_belongs_to_the_window_and_the_end_does_not(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink], signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    tick = timedelta(microseconds=1)
    for number, at in enumerate([DAY.start - tick, DAY.start, DAY.end - tick, DAY.end]):
        write(writer, b"%d,1,a" % number, event_time_us=str((at - EPOCH) // tick))
    drain()

    read = read_window(root, "flights", DAY, signature)

    assert read.table()["temp"].to_pylist() == [1.0, 2.0]
    assert (read.row_count, read.request_count) == (2, 2)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_columns_have_the_users_names_and_the_signatures_types(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink], signature: Signature
) -> None:
    write(SpoolWriter(spool_dir), b"1.5,3,UA\n2.5,x,", b"1,0.25\n0,0.5", event_id="e1")
    drain()

    table = read_window(root, "flights", DAY, signature).table()
    ids = read_window(root, "flights", DAY, signature, columns=["row_index", "temp", "event_id"])

    assert table.schema.names == [
        "temp", "Dep Delay", "carrier", "prediction", "probability", "unfit",
    ]  # fmt: skip
    assert table.drop_columns("unfit").to_pylist() == [
        {"temp": 1.5, "Dep Delay": 3, "carrier": "UA", "prediction": 1, "probability": 0.25},
        {"temp": 2.5, "Dep Delay": None, "carrier": None, "prediction": 0, "probability": 0.5},
    ]
    assert ids.table().to_pylist() == [
        {"row_index": 0, "temp": 1.5, "event_id": "e1", "unfit": []},
        {"row_index": 1, "temp": 2.5, "event_id": "e1", "unfit": [("Dep Delay", "x")]},
    ]


def test_failed_and_unread_requests_are_counted_and_give_no_rows(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink], signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"1,1,a\n1,1,a", b"1,1\n1,1")
    write(writer, b"1,1,a", status=500)
    write(writer, b"bad")
    write(writer, b"2,2,b", b"no answer of ours, at all, sorry")
    drain()

    read = read_window(root, "flights", DAY, signature)

    assert (read.row_count, read.request_count) == (3, 4)
    assert (read.failed_count, read.unparsed_count) == (1, 2)
    assert read.table()["temp"].to_pylist() == [1.0, 1.0, 2.0]
    assert read.table()["prediction"].to_pylist() == [1, 1, None]


def test_late_means_come_in_after_the_window_or_a_given_time(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink], signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    inside = str((DAY.start - EPOCH) // timedelta(microseconds=1))
    write(writer, at=DAY.start + timedelta(hours=1))
    write(writer, at=DAY.end, event_time_us=inside)
    write(writer, at=DAY.end + timedelta(hours=5), event_time_us=inside)
    drain()

    default = read_window(root, "flights", DAY, signature)
    later = read_window(root, "flights", DAY, signature, late_after=DAY.end + timedelta(hours=1))

    assert (default.late_count, later.late_count) == (2, 1)


def test_neither_files_nor_their_order_change_what_is_read(
    tmp_path: Path, write: Write, signature: Signature
) -> None:
    spool_dir = tmp_path / "spool"
    writer = SpoolWriter(spool_dir)
    for number in range(60):
        at = DAY.start + timedelta(minutes=number * 37 % 60)
        write(writer, b"%d,1,a" % number, at=at, event_id=f"e{number}")

    def read(name: str, commit_records: int) -> tuple[str, Any]:
        transport = LocalTransport(spool_dir)
        sink = Sink(
            str(tmp_path / name), transport, lambda _: signature, commit_records=commit_records
        )
        sink.step()
        transport.close()
        found = read_window(str(tmp_path / name), "flights", DAY, signature)
        return found.digest, found.table()

    many, one = read("many", 7), read("one", 5_000)

    assert many == one
    assert len(list((tmp_path / "many").rglob("*.parquet"))) > 5
    assert len(list((tmp_path / "one").rglob("*.parquet"))) == 1


def test_one_more_record_changes_the_digest(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink], signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    drain()
    before = read_window(root, "flights", DAY, signature).digest
    again = read_window(root, "flights", DAY, signature).digest
    write(writer)
    drain()

    after = read_window(root, "flights", DAY, signature).digest

    assert before == again != after


@pytest.mark.parametrize(
    ("kind", "bodies", "values", "told"),
    [
        # 1.5 is no whole number, but a number; "x" is none.
        ("double", [b"1.5,1.5,UA", b"1.5,3,UA", b"1.5,x,UA"], [1.5, 3.0, None], {"Dep Delay": 1}),
        ("string", [b"1.5,3,UA", b"1.5,4,UA", b"1.5,5,UA"], ["3", "4", "5"], {}),
    ],
)
def test_a_window_that_spans_a_new_type_reads_all_its_rows_as_that(
    root: str, write: Write, spool_dir: Path, drain: Callable[..., Sink], signature: Signature,
    kind: ColumnType, bodies: list[bytes], values: list[object], told: dict[str, int],
) -> None:  # fmt: skip
    features = tuple(
        replace(one, type=kind) if one.name == "Dep Delay" else one for one in signature.features
    )
    newer = succeed(signature, replace(signature, features=features))
    writer = SpoolWriter(spool_dir)
    for body in bodies:
        write(writer, body)
    drain(signature)
    write(writer, b"1.5,7,UA")
    drain(Signature.from_json(newer.to_json()))

    read = read_window(root, "flights", DAY, newer)

    expected = [*values, 7.0 if kind == "double" else "7"]
    assert read.table()["Dep Delay"].to_pylist() == expected
    (batch,) = read.batches()
    assert unfit_counts(batch) == told
