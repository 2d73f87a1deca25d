"""What was stored raw is decoded later: each row once, whoever is killed when."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.dataset as pads

from driftline.capture.audit.audit import audit
from driftline.capture.erasure.erasing import erase
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import TableMaintenance
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.part_file import ROW_GROUP_ROWS
from driftline.capture.tables.redecoding import Redecoded, decode_again
from driftline.capture.tables.retention import expire
from driftline.capture.windows.changes import changes
from driftline.capture.windows.window import Window, WindowRead, read_window
from driftline.signature import Column, Signature
from tests.capture.conftest import SIGNATURE
from tests.servers.commands import python, talking
from tests.sinking import sink_all

Write = Callable[..., bool]
Drain = Callable[..., Sink]

AT = datetime(2013, 1, 15, 12, tzinfo=UTC)
WINDOW = Window(AT, AT + timedelta(hours=1))


def rows_of(root: str) -> list[dict[str, object]]:
    data = Dataset(root, "flights").open()
    assert data is not None
    order = [("spool_seq", "ascending"), ("row_index", "ascending")]
    found: list[dict[str, object]] = data.to_table().sort_by(order).to_pylist()
    return found


def window_of(root: str, signature: Signature = SIGNATURE) -> WindowRead:
    return read_window(root, "flights", WINDOW, signature)


def test_what_came_before_the_endpoint_was_declared_is_as_if_it_had_come_after(
    root: str, spool_dir: Path, write: Write, drain: Drain, tmp_path: Path
) -> None:
    writer = SpoolWriter(spool_dir)
    more = {"headers": "accept:text/csv", "custom_attributes": "a=1", "rate": "0.5"}
    for _ in range(2):
        write(writer, b"1.5,3,UA\n2,4,AA", b"1,0.25\n0,0.5", at=AT, event_id="e1", **more)
        write(writer, b"1.5,3,UA", at=AT, event_id="e2", inference_id="i2")
        write(writer, b"1.5,3", at=AT, event_id="e3")
        write(writer, b"1.5,3,UA", at=AT, event_id="e4", status=500)
        drain(None)
    typed = str(tmp_path / "typed")
    sink_all(typed, spool_dir, lambda _: SIGNATURE)

    found = decode_again(Dataset(root, "flights"), SIGNATURE)

    # Of four requests each time one is not what the signature says, and one had failed.
    assert found == Redecoded(decoded=4, rows=6, left=2)
    decoded, expected = rows_of(root), rows_of(typed)
    for row in decoded:
        row["flags"] &= ~(1 << 20)
    assert decoded == expected
    assert decode_again(Dataset(root, "flights"), SIGNATURE) == Redecoded(left=2)
    assert audit(root, now=lambda: AT, spool_dir=spool_dir).adds_up


def test_monitors_see_what_was_decoded(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, at=AT)
    drain(None)
    write(writer, at=AT)
    drain()
    before = window_of(root)
    position = changes(root, "flights", None, before=AT + timedelta(days=1), labels=False).position

    decode_again(Dataset(root, "flights"), SIGNATURE)

    after = window_of(root)
    assert (before.row_count, before.unparsed_count) == (1, 1)
    assert (after.row_count, after.unparsed_count, after.request_count) == (2, 0, 2)
    assert after.table()["temp"].to_pylist() == [1.5, 1.5]
    # Another digest is another execution, and the hour is one to look at.
    assert after.digest != before.digest
    touched = changes(root, "flights", position, before=AT + timedelta(days=1), labels=False)
    assert touched.hours == (AT,)


def test_a_mended_signature_decodes_what_failed_for_want_of_a_column(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    short = replace(SIGNATURE, features=SIGNATURE.features[:2])
    write(SpoolWriter(spool_dir), at=AT)
    drain(short)
    assert rows_of(root)[0]["parse_error"] == "request: row 1 has 3 columns; expected 2"

    found = decode_again(Dataset(root, "flights"), SIGNATURE)

    assert (found.decoded, found.left) == (1, 0)
    (row,) = rows_of(root)
    assert (row["feature_carrier"], row["prediction"], row["parse_error"]) == ("UA", 1, None)


def test_the_upkeep_decodes_for_a_new_signature_and_what_comes_raw_afterwards(
    root: str, spool_dir: Path, write: Write, drain: Drain, tmp_path: Path
) -> None:
    known: dict[str, Signature] = {}
    maintenance = TableMaintenance(root, tmp_path / "names", signatures=known.get)
    writer = SpoolWriter(spool_dir)
    write(writer, at=AT)
    drain(None)
    maintenance.step()
    assert maintenance.counters["decoded"] == 0

    known["flights"] = SIGNATURE
    maintenance.step()
    write(writer, at=AT)
    drain(None)  # By a sink that has not heard of the signature yet.
    maintenance.step()
    maintenance.step()

    assert maintenance.counters["decoded"] == 2
    assert [row["feature_temp"] for row in rows_of(root)] == [1.5, 1.5]
    maintenance.close()


def test_an_id_that_decoding_finds_in_a_body_is_erased_as_was_asked_before(
    root: str, spool_dir: Path, write: Write, drain: Drain, tmp_path: Path
) -> None:
    signature = Signature(
        (Column("temp", "feature_temp", "double"), Column("order", "x", "string", role="id")),
        inference_id="order",
    )
    body = json.dumps({"temp": 1.5, "order": "A-7"}).encode()
    now = datetime(2013, 1, 16, tzinfo=UTC)
    writer = SpoolWriter(spool_dir)
    write(writer, body, at=AT, request_content_type="application/json")
    write(writer, body.replace(b"7", b"8"), at=AT, request_content_type="application/json")
    drain(None)
    names = tmp_path / "names"
    erase(root, names, {"inference_id": ["A-7"]}, now=now, keep=timedelta(days=400))
    maintenance = TableMaintenance(root, names, signatures=lambda _: signature, now=lambda: now)

    maintenance.step()
    maintenance.step()

    assert [row["inference_id"] for row in rows_of(root)] == ["A-8"]
    assert not any(b"A-7" in file.read_bytes() for file in Path(root).rglob("*.parquet"))
    assert audit(root, now=lambda: now, spool_dir=spool_dir).adds_up
    maintenance.close()


def test_retention_and_audit_count_decoded_requests_as_before(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    writer = SpoolWriter(spool_dir)
    for day in range(3):
        write(writer, b"1,2,a\n3,4,b", b"1,0.25\n0,0.5", at=AT + timedelta(days=day))
    drain(None)
    dataset = Dataset(root, "flights")
    decode_again(dataset, SIGNATURE)

    assert expire(dataset, "2013-01-16") == 2
    found = audit(root, now=lambda: AT, spool_dir=spool_dir)

    assert (found.adds_up, found.expired, found.stored) == (True, 1, 2)


DECODER = """
import sys
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.part_file import ROW_GROUP_ROWS
from driftline.capture.tables.redecoding import decode_again
from tests.capture.conftest import SIGNATURE
print("ready", flush=True)
print(decode_again(Dataset(sys.argv[1], "flights", writer=sys.argv[2]), SIGNATURE), flush=True)
"""


def test_no_row_is_lost_or_doubled_when_the_decoder_is_killed_again_and_again(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    writer = SpoolWriter(spool_dir)
    files, per_file = 8, 20
    for file in range(files):
        for _ in range(per_file):
            write(writer, b"1.5,3,UA\n2,4,AA", b"1,0.25\n0,0.5", at=AT + timedelta(days=file))
        drain(None)
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    kills = 0
    for attempt in range(6):
        with talking(DECODER, root, f"w{attempt}") as (process, _, printed):
            assert printed.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.25))
        kills += process.returncode == -signal.SIGKILL
        found = rows_of(root)
        keys = [(row["spool_seq"], row["row_index"]) for row in found]
        assert len(set(keys)) == len(keys), f"seed {seed}"
        assert {seq for seq, _ in keys} == set(range(1, files * per_file + 1)), f"seed {seed}"
        if process.returncode == 0:
            break
    decode_again(Dataset(root, "flights"), SIGNATURE)

    found = rows_of(root)
    assert kills
    assert len(found) == 2 * files * per_file
    assert all(row["parse_error"] is None for row in found)
    assert audit(root, now=lambda: AT, spool_dir=spool_dir).adds_up


def test_two_decoders_at_once_make_each_row_once(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(8):
        for _ in range(5):
            write(writer, at=AT)
        drain(None)
    processes = [python(DECODER, root, f"w{number}") for number in range(2)]

    assert [process.wait() for process in processes] == [0, 0]
    assert [row["spool_seq"] for row in rows_of(root)] == [*range(1, 41)]
    assert all(row["prediction"] == 1 for row in rows_of(root))


def test_a_request_that_lies_in_two_row_groups_is_not_doubled(
    root: str, spool_dir: Path, write: Write, drain: Drain
) -> None:
    # Rows of a request that was read, whose answer was not: the first one ends a row group.
    writer = SpoolWriter(spool_dir)
    write(writer, b"1,2,a\n" * (ROW_GROUP_ROWS - 1), b"1,0.25\n" * (ROW_GROUP_ROWS - 1), at=AT)
    write(writer, b"1,2,a\n3,4,b\n5,6,c", b'"', at=AT + timedelta(seconds=1))
    drain()
    no_answers = replace(SIGNATURE, outputs=())

    decode_again(Dataset(root, "flights"), no_answers)

    data = Dataset(root, "flights").open()
    assert data is not None
    found = data.to_table(["spool_seq", "row_index"], filter=pads.field("spool_seq") == 2)
    assert sorted(found["row_index"].to_pylist()) == [0, 1, 2]
