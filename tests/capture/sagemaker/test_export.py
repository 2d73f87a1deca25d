"""Captured records as SageMaker's files: the samples' own bytes, whole hours, the same again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.sagemaker.capture_files import (
    FileCounts,
    read_capture_lines,
    variant_of,
    write_hour,
)
from driftline.capture.sagemaker.export import captured_hours, captured_lines, closed_before
from driftline.capture.sagemaker.importing import store_lines
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import InputError
from driftline.formats.capture_line import write_line
from tests.capture.counts import counted
from tests.capture.sagemaker.sagemaker_tools import FIXTURES, SAMPLES, sample_lines

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
NOON = datetime(2013, 1, 15, 12, tzinfo=UTC)


def exported(root: str, endpoint: str, target: Path) -> FileCounts:
    """Write all closed hours, as the command does."""
    total = FileCounts()
    for hour in captured_hours(root, endpoint, None, closed_before(NOW)):
        lines = captured_lines(root, endpoint, hour.start, hour.variant)
        texts = [write_line(line).encode() for line in lines]
        assert len(texts) == hour.lines
        total += write_hour(str(target), endpoint, hour.variant, hour.start, texts)
    return total


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(target: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(target)): file.read_bytes()
        for file in sorted(target.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_what_was_imported_is_exported_byte_for_byte(root: str, tmp_path: Path, name: str) -> None:
    lines = sample_lines(name)
    store_lines(root, "moved", lines, None)

    counts = exported(root, "moved", tmp_path / "out")

    assert counts.lines == len(lines)
    assert b"".join(files(tmp_path / "out").values()) == b"\n".join(lines) + b"\n"


def test_odd_lines_keep_their_form(root: str, tmp_path: Path) -> None:
    lines = [
        # An encoding that the type would not give, and one side only.
        b'{"captureData":{"endpointInput":{"observedContentType":"text/html; charset=utf-8","mode":'
        b'"INPUT","data":"{\\"a\\":1}","encoding":"JSON"}},"eventMetadata":{"eventId":"1",'
        b'"inferenceTime":"2026-01-15T12:00:00Z"},"eventVersion":"0"}',
        # No type, binary, attributes, an id, escapes.
        b'{"captureData":{"endpointInput":{"observedContentType":null,"mode":"INPUT","data":"/w==",'
        b'"encoding":"BASE64"},"endpointOutput":{"observedContentType":"text/csv","mode":"OUTPUT",'
        b'"data":"\\u00fc\\n","encoding":"CSV"}},"eventMetadata":{"eventId":"2","customAttributes":'
        b'["a","b,c"],"inferenceId":"x","inferenceTime":"2026-01-15T12:00:00Z"},"eventVersion":"0"}',
        b'{"captureData":{"endpointOutput":{"observedContentType":"text/csv","mode":"OUTPUT",'
        b'"data":"\xc3\xbc\\t\\"","encoding":"CSV"}},"eventMetadata":{"eventId":"3",'
        b'"inferenceTime":"2026-01-15T12:00:01Z"},"eventVersion":"0"}',
    ]

    assert store_lines(root, "moved", lines, None).bad == ()
    exported(root, "moved", tmp_path / "out")

    assert b"".join(files(tmp_path / "out").values()) == b"\n".join(lines) + b"\n"


def test_files_lie_and_are_called_as_sagemaker_does(root: str, out: Path) -> None:
    store_lines(root, "moved", sample_lines("baseline/capture.csv.jsonl"), None, variant="blue")

    exported(root, "moved", out)

    (path,) = files(out)
    folder, _, name = path.rpartition("/")
    assert folder == "moved/blue/2022/04/18/00"
    assert name.startswith("21-00-000-")
    assert len(name) == len("20-48-871-0b7bfd33-c8a7-4adf-a09a-98fd0af79974.jsonl")
    assert variant_of(path) == "blue"
    assert variant_of("captured-data.jsonl") is None


def test_exporting_again_writes_nothing_anew_and_adds_what_came_late(root: str, out: Path) -> None:
    first, *rest = sample_lines("capture/capture.jsonl", "2026-01-15T12:34:56Z")
    store_lines(root, "moved", [first], None)
    assert exported(root, "moved", out) == FileCounts(written=1, lines=1)
    before = files(out)

    again = exported(root, "moved", out)
    unchanged = files(out)
    store_lines(root, "moved", rest, None)
    late = exported(root, "moved", out)

    assert again == FileCounts(unchanged=1, lines=1)
    assert unchanged == before
    assert late == FileCounts(written=1, lines=44)
    assert set(files(out)) == set(before)


def test_a_minute_that_was_erased_goes_from_the_export(root: str, out: Path) -> None:
    store_lines(root, "moved", sample_lines("baseline/capture.csv.jsonl"), None)
    exported(root, "moved", out)
    (path,) = files(out)
    (out / path).with_name("notes.txt").write_text("mine")

    counts = write_hour(str(out), "moved", "AllTraffic", datetime(2022, 4, 18, tzinfo=UTC), [])

    assert counts == FileCounts(removed=1)
    assert list(files(out).values()) == [b"mine"]


def test_only_hours_that_are_over_are_exported(root: str) -> None:
    for minute, time in enumerate(("12:59:59", "13:00:00", "13:29:00")):
        lines = sample_lines("capture/capture.jsonl", f"2026-11-20T{time}Z")
        store_lines(root, "moved", [lines[minute]], None)

    hours = captured_hours(root, "moved", None, closed_before(NOW))

    assert [(hour.start.hour, hour.lines) for hour in hours] == [(12, 1)]
    assert closed_before(NOW.replace(minute=4)) == NOW.replace(hour=12, minute=0)
    assert captured_hours(root, "nobody", None, NOW) == []
    assert list(captured_lines(root, "nobody", NOW, "AllTraffic")) == []


def test_what_failed_or_was_cut_is_left_out_and_counted(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, event_id="whole", variant="AllTraffic")
    write(writer, event_id="failed", status=500, variant="AllTraffic")
    pairs = {"endpoint": "flights", "event_id": "cut", "variant": "AllTraffic"}
    writer.append(
        pairs,
        [b"1.5,"],
        [b"1,0.25"],
        flags=int(Flag.REQUEST_TRUNCATED),
        wall_ns=int(NOON.timestamp() * 1e9),
        request_bytes=8,
        response_bytes=6,
        status=200,
    )
    drain()

    (hour,) = captured_hours(root, "flights", NOON, NOON + timedelta(hours=1))

    assert (hour.lines, hour.left_out) == (1, {"failed": 1, "truncated": 1})
    lines = list(captured_lines(root, "flights", hour.start, hour.variant))
    assert [line.event_id for line in lines] == ["whole"]


def test_an_export_is_read_as_lines_of_a_table_of_its_own(root: str, out: Path) -> None:
    lines = sample_lines("capture/capture.jsonl")
    store_lines(root, "moved", lines, None)
    exported(root, "moved", out)
    (path,) = files(out)

    found = list(read_capture_lines(pafs.LocalFileSystem(), str(out / path), "x"))

    assert [text for _, text in found] == lines
    assert [number for number, _ in found] == list(range(1, 45))
    assert store_lines(root, "other", [text for _, text in found], None).imported == 44
    assert counted(root, "other").requests == 44


def test_files_of_other_forms_give_their_records(tmp_path: Path) -> None:
    import gzip

    system = pafs.LocalFileSystem()
    lines = sample_lines("capture/captured-data.jsonl")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (tmp_path / "list.json").write_bytes(b"[" + b",\n".join(lines) + b"]")
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))

    packed = list(read_capture_lines(system, str(tmp_path / "packed.jsonl.gz"), "x"))
    listed = list(read_capture_lines(system, str(tmp_path / "list.json"), "x"))
    marked = list(read_capture_lines(system, str(tmp_path / "marked.jsonl"), "x"))
    merged = list(read_capture_lines(system, str(FIXTURES / "bias/aws-merged-record.json"), "x"))

    assert [text for _, text in packed] == lines
    assert [text for _, text in listed] == lines
    assert [text.strip() for _, text in marked] == lines
    assert len(merged) == 1
    damaged = (tmp_path / "packed.jsonl.gz").read_bytes()[:-20]
    (tmp_path / "packed.jsonl.gz").write_bytes(damaged)
    with pytest.raises(InputError, match="cannot be read"):
        list(read_capture_lines(system, str(tmp_path / "packed.jsonl.gz"), "x"))
