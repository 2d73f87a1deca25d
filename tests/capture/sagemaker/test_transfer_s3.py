"""SageMaker's files and labels in a bucket of a real server, where the tables are, too."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest

from driftline.app.commands.capture import captured_lines as lines_of
from driftline.capture.labels.files import read_label_file
from driftline.capture.labels.labels import put
from driftline.capture.labels.report import label_report
from driftline.capture.sagemaker.capture_files import (
    FileCounts,
    read_capture_lines,
    write_batch_hour,
    write_hour,
)
from driftline.capture.sagemaker.export import captured_hours, captured_lines
from driftline.capture.sagemaker.importing import store_lines
from driftline.formats.capture_line import write_line
from driftline.formats.data_files import data_files
from driftline.formats.location import locate
from tests.capture.sagemaker.sagemaker_tools import FIXTURES, sample_lines

pytestmark = pytest.mark.s3

STAMP = "2026-01-15T12:34:56Z"
NOW = datetime(2026, 1, 16, tzinfo=UTC)


def test_a_bucket_is_moved_within_buckets(s3_root: str) -> None:
    lines = sample_lines("capture/capture.jsonl", STAMP)
    captured = f"{s3_root}/captured/moved/blue/2026/01/15/12"
    locate(f"{captured}/1.jsonl").write(b"\n".join(lines[:20]))
    locate(f"{captured}/2.jsonl.gz").write(gzip.compress(b"\n".join(lines[20:])))
    root = f"{s3_root}/store"

    variants, _, found = zip(*lines_of([f"{s3_root}/captured"], "endpoint", None), strict=True)
    first = store_lines(root, "moved", found, None, variant="blue")
    again = store_lines(root, "moved", found, None)

    assert set(variants) == {"blue"}
    assert (first.imported, again.known, again.imported) == (44, 44, 0)
    (hour,) = captured_hours(root, "moved", None, NOW)
    texts = [
        write_line(line).encode()
        for line in captured_lines(root, "moved", hour.start, hour.variant)
    ]
    out = f"{s3_root}/out/"
    counts = write_hour(out, "moved", hour.variant, hour.start, texts)
    same = write_hour(out, "moved", hour.variant, hour.start, texts)
    (file,) = data_files(out)
    assert counts == FileCounts(written=1, lines=44)
    assert same == FileCounts(unchanged=1, lines=44)
    assert [text for _, text in read_capture_lines(file.system, file.path, "x")] == lines


def test_a_batch_is_read_by_the_prefix_of_its_manifests(s3_root: str) -> None:
    lines = sample_lines("baseline/capture.csv.jsonl")
    hour = datetime(2022, 4, 18, tzinfo=UTC)
    store_lines(s3_root, "moved", lines, None)
    found = list(captured_lines(s3_root, "moved", hour, "AllTraffic"))

    write_batch_hour(f"{s3_root}/batch", "moved", "AllTraffic", hour, found)
    places = [f"{s3_root}/batch/input", f"{s3_root}/batch/output"]
    texts = [text for *_, text in lines_of(places, "batch", None) if isinstance(text, bytes)]

    assert store_lines(s3_root, "moved", texts, None).known == 3


def test_labels_are_read_from_a_bucket(s3_root: str) -> None:
    lines = sample_lines("capture/capture.jsonl", STAMP)
    store_lines(s3_root, "moved", lines, None)
    place = locate(f"{s3_root}/labels/actuals.jsonl")
    place.write((FIXTURES / "capture/actuals.jsonl").read_bytes())

    for table in read_label_file(place):
        put(s3_root, "moved", table, lambda: NOW)

    report = label_report(s3_root, "moved", "int64")
    assert (report.days[0].labelled_requests, report.unmatched) == (44, 0)
