"""SageMaker's capture lines into the table: once, whatever comes again, and nothing is silent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.capture.audit.audit import audit
from driftline.capture.erasure.erasing import erase
from driftline.capture.erasure.erasures import Kind
from driftline.capture.line.sink import Sink
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.sagemaker.importing import Stored, store_lines
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.windows.window import Window, read_window
from driftline.signature import Column, Signature
from tests.capture.sagemaker.sagemaker_tools import SAMPLES, sample_lines
from tests.servers.commands import talking

DAY = Window(datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 1, 16, tzinfo=UTC))
SEVEN = Signature(
    features=tuple(Column(f"x{n}", f"feature_x{n}", "double") for n in range(7)),
    outputs=(Column("probability", "probability", "double", role="probability"),),
)


def line(event_id: str, data: str = "1,2,3,4,5,6,7", at: str = "2026-01-15T12:00:00Z") -> bytes:
    """Write a line with an answer of 0.5."""
    sides = {
        "endpointInput": {"observedContentType": "text/csv", "data": data, "encoding": "CSV"},
        "endpointOutput": {"observedContentType": "text/csv", "data": "0.5", "encoding": "CSV"},
    }
    event = {"eventId": event_id, "inferenceTime": at}
    return json.dumps({"captureData": sides, "eventMetadata": event, "eventVersion": "0"}).encode()


def table(root: str, endpoint: str = "moved") -> pa.Table:
    data = Dataset(root, endpoint).open()
    assert data is not None
    return data.to_table()


def test_samples_become_typed_rows_at_their_own_time(root: str) -> None:
    lines = sample_lines("capture/capture.jsonl")

    stored = store_lines(root, "moved", lines, SEVEN, variant="blue")

    assert stored == Stored(lines=44, imported=44, rows=44, known=0, unparsed=0)
    rows = table(root)
    first = rows.filter(pa.compute.equal(rows["spool_seq"], 1)).to_pylist()[0]
    assert first["event_id"] == "74b0dd56-e7c8-368e-94b1-14a138a96000"
    assert [first[f"feature_x{n}"] for n in range(7)] == [9, 45, 45, 42, 7, 5, 0]
    assert first["probability"] == 0.302709460258
    assert first["event_time"] == first["arrival_time"]
    assert first["event_time"] == datetime(2026, 1, 15, 12, 34, 56, tzinfo=UTC)
    assert (first["variant"], first["status"], first["latency_us"]) == ("blue", 200, None)
    read = read_window(root, "moved", DAY, SEVEN)
    assert (read.row_count, read.late_count, read.unparsed_count) == (44, 0, 0)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_lines_again_change_nothing(root: str, name: str) -> None:
    lines = sample_lines(name)
    first = store_lines(root, "moved", lines, None)

    again = store_lines(root, "moved", [*lines, *lines], None)

    assert first.imported == len(lines)
    assert (again.imported, again.known, again.rows) == (0, 2 * len(lines), 0)
    assert table(root).num_rows == len(lines)


def test_a_bad_line_is_named_and_stops_nothing(root: str) -> None:
    lines = [
        line("a"),
        b"{broken",
        b"",
        b'{"captureData": {}}',
        line(""),
        line("b", at="yesterday"),
        line("c", data="no,numbers"),
        b"\xff\xfe",
        line("d"),
    ]

    stored = store_lines(root, "moved", lines, SEVEN)

    assert (stored.lines, stored.imported, stored.unparsed) == (8, 3, 1)
    assert [one.index for one in stored.bad] == [1, 3, 4, 5, 7]
    assert stored.lines == stored.imported + stored.known + len(stored.bad)
    assert all(one.reason and "\n" not in one.reason for one in stored.bad)
    assert sorted(table(root)["event_id"].to_pylist()) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"inferenceTime": "1969-12-31T23:59:59Z"}, "of the year 1969"),
        ({"inferenceTime": "2300-01-01T00:00:00Z"}, "of the year 2300"),
        ({"eventId": "a\0endpoint\0other"}, "without NUL"),
        ({"eventId": "\ud800"}, "of Unicode"),
        ({"eventId": "x" * 70_000}, "at most 64 KiB"),
        ({"inferenceId": "a\0event_id\0b"}, "without NUL"),
        ({"customAttributes": ["x" * 70_000]}, "at most 64 KiB"),
    ],
)
def test_what_would_be_stored_as_something_else_is_no_record(
    root: str, event: dict[str, object], told: str
) -> None:
    odd = json.loads(line("odd"))
    odd["eventMetadata"] |= event
    lines = [line("a"), json.dumps(odd).encode()]

    stored = store_lines(root, "moved", lines, SEVEN)

    assert (stored.imported, [bad.index for bad in stored.bad]) == (1, [1])
    assert told in stored.bad[0].reason
    assert store_lines(root, "moved", lines, SEVEN).known == 1


def test_an_audit_finds_nothing_missing(root: str) -> None:
    store_lines(root, "moved", [line("a"), b"bad", line("b")], SEVEN)
    store_lines(root, "moved", [line("b"), line("c")], None)

    found = audit(root, now=lambda: datetime(2026, 1, 16, tzinfo=UTC))

    assert found.adds_up
    assert (found.missing, found.doubled, found.in_flight) == (0, 0, 0)


def test_what_somebody_asked_to_be_erased_does_not_come_back(root: str, tmp_path: Path) -> None:
    named = line("b").replace(b'"eventId": "b"', b'"eventId": "b", "inferenceId": "order-1"')
    store_lines(root, "moved", [line("a"), named, line("c")], SEVEN)
    now = datetime(2026, 1, 16, tzinfo=UTC)
    ids: dict[Kind, list[str]] = {"inference_id": ["order-1"], "event_id": ["a"]}
    erase(root, tmp_path / "names", ids, now=now, keep=timedelta(days=7))

    stored = store_lines(root, "moved", [line("a"), named, line("c"), line("d")], SEVEN)

    assert (stored.imported, stored.known, stored.erased) == (1, 1, 2)
    assert sorted(table(root)["event_id"].to_pylist()) == ["c", "d"]


def test_an_import_and_a_sink_share_the_table(
    root: str,
    spool_dir: Path,
    write: Callable[..., bool],
    drain: Callable[..., Sink],
    signature: Signature,
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, event_id="live-1")
    drain()
    store_lines(root, "flights", [line("old-1", data="1.5,3,UA")], signature)
    write(writer, event_id="live-2")

    drain()

    found = table(root, "flights")
    assert sorted(found["event_id"].to_pylist()) == ["live-1", "live-2", "old-1"]
    assert (
        store_lines(root, "flights", [line("live-2", at="2013-01-15T12:00:00Z")], None).known == 1
    )


def test_two_imports_of_the_same_lines_at_once_store_them_once(root: str) -> None:
    lines = [line(f"e{number}") for number in range(50)]
    store_lines(root, "moved", [line("first")], SEVEN)
    found: list[Stored] = []

    def load() -> None:
        found.append(store_lines(root, "moved", lines, SEVEN))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert table(root).num_rows == 51
    assert sum(one.imported for one in found) == 50
    assert sum(one.known for one in found) == 150


_LOADER = """
import sys
from pathlib import Path
from driftline.capture.sagemaker.importing import store_lines
root, file = sys.argv[1:]
lines = Path(file).read_bytes().split(b"\\n")
for at in range(0, len(lines), 20):
    store_lines(root, "moved", lines[at : at + 20], None)
    print(at, flush=True)
"""


def test_an_import_that_is_killed_goes_on_to_each_record_once(root: str, tmp_path: Path) -> None:
    lines = [line(f"e{number}") for number in range(400)]
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join(lines))
    for commits in (1, 3):
        with talking(_LOADER, root, tmp_path / "lines.jsonl") as (_, _, printed):
            for _ in range(commits):  # It is killed behind these.
                printed.readline()
    before = table(root).num_rows

    stored = store_lines(root, "moved", lines, None)

    assert 0 < before < 400
    assert (stored.known, stored.imported) == (before, 400 - before)
    assert sorted(table(root)["event_id"].to_pylist()) == sorted(f"e{n}" for n in range(400))


@settings(max_examples=settings.default.max_examples // 5)
@given(st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=5))
def test_however_lines_are_cut_and_repeated_each_is_stored_once(
    tmp_path_factory: pytest.TempPathFactory, portions: list[list[int]]
) -> None:
    root = str(tmp_path_factory.mktemp("root"))

    stored = [store_lines(root, "moved", [line(f"e{n}") for n in p], None) for p in portions]

    sent = {f"e{number}" for portion in portions for number in portion}
    assert sum(one.imported for one in stored) == len(sent)
    assert sum(one.lines for one in stored) == sum(one.imported + one.known for one in stored)
    if sent:
        assert sorted(table(root)["event_id"].to_pylist()) == sorted(sent)


def test_rules_of_redaction_hold_for_imported_lines(root: str) -> None:
    rules = [
        Rule("Moved", "column:0", "drop", side="request"),
        Rule("*", "header:custom_attributes", "drop"),
        Rule("*", "header:inference_id", "drop"),
    ]
    told = json.loads(line("one", data="078-05-1120,2,3,4,5,6,7"))
    told["captureData"]["endpointInput"]["customAttributes"] = ["ssn=078-05-1120", "b"]
    told["eventMetadata"] |= {
        "inferenceId": "078-05-1120",
        "customAttributes": ["078-05-1120", "b"],
    }
    other = json.loads(line("two"))
    other["captureData"]["endpointInput"] |= {"data": "078-05-1120", "observedContentType": "x/y"}
    lines = [json.dumps(one).encode() for one in (told, other)]

    stored = store_lines(root, "moved", lines, SEVEN, redactor=Redactor(rules))
    again = store_lines(root, "moved", lines, SEVEN, redactor=Redactor(rules))

    rows = table(root).sort_by("event_id").to_pylist()
    assert "078-05-1120" not in repr(rows)
    assert [row["request_body"] for row in rows] == [b",2,3,4,5,6,7", b""]
    assert [Flag.REDACTED in Flag(row["flags"]) for row in rows] == [True, False]
    assert [Flag.REDACTION_FAILED in Flag(row["flags"]) for row in rows] == [False, True]
    assert (stored.imported, stored.unparsed, again.known) == (2, 1, 2)
