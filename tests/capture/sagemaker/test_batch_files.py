"""Batch Transform's capture: manifests, lines of inputs and outputs, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftline.capture.sagemaker.batch_files import (
    BatchObject,
    Manifest,
    pair_lines,
    pair_objects,
    read_manifest,
)
from driftline.capture.sagemaker.capture_files import write_batch_hour
from driftline.errors import InputError
from driftline.formats.capture_line import CaptureLine, LineError, Side, read_line
from tests.capture.sagemaker.sagemaker_tools import FIXTURES, sample_lines

HOUR = datetime(2022, 8, 30, 0, tzinfo=UTC)
ONE = BatchObject("s3://out/rows.csv.out", "s3://in/rows.csv", HOUR)


def numbered(*lines: str) -> list[tuple[int, bytes]]:
    return [(number, line.encode()) for number, line in enumerate(lines, 1)]


def pairs(
    output: list[tuple[int, bytes]], given: list[tuple[int, bytes]] | None
) -> list[CaptureLine]:
    found = [line for _, line in pair_lines(output, given, ONE)]
    assert not any(isinstance(line, LineError) for line in found)
    return [line for line in found if isinstance(line, CaptureLine)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("elsewhere/x.json", '[{"prefix": "s3://a/"}]'),
        ("input/2022/13/30/00/x.json", '[{"prefix": "s3://a/"}]'),
        ("input/2022/08/30/00/x.json", "{}"),
        ("input/2022/08/30/00/x.json", "[]"),
        ("input/2022/08/30/00/x.json", '[{"prefix": 5}]'),
        ("input/2022/08/30/00/x.json", '[{"prefix": "s3://a/"}, 5]'),
        ("input/2022/08/30/00/x.json", "["),
    ],
)
def test_what_is_no_manifest_is_told(path: str, text: str) -> None:
    with pytest.raises(InputError, match="manifest"):
        read_manifest(path, text)


def test_an_output_belongs_to_the_input_of_its_name() -> None:
    inputs = Manifest(False, HOUR, "s3://in/", ("rows.csv", "deep/rows.csv"))
    outputs = Manifest(True, HOUR, "s3://out/", ("rows.csv.out", "deep/rows.csv.out", "x.csv.out"))

    found = pair_objects([outputs, inputs])

    assert [(one.output, one.input) for one in found] == [
        ("s3://out/rows.csv.out", "s3://in/rows.csv"),
        ("s3://out/deep/rows.csv.out", "s3://in/deep/rows.csv"),
        ("s3://out/x.csv.out", None),
    ]


def test_the_id_that_the_job_appended_is_the_event() -> None:
    # As in the developer guide: a blank after the first comma only.
    output = numbered("0, 1f1d57b1-2e6f-488c-8c30-db4e6d757861,2022-08-30T00:49:15Z")

    (line,) = pairs(output, numbered("1,2,3"))

    assert line.event_id == "1f1d57b1-2e6f-488c-8c30-db4e6d757861"
    assert line.time == datetime(2022, 8, 30, 0, 49, 15, tzinfo=UTC)
    assert line.request == Side(b"1,2,3", "text/csv", "CSV")
    assert line.response == Side(b"0", "text/csv", "CSV")


def test_json_lines_have_the_id_inside() -> None:
    output = numbered(
        '{"score":0.5,"SageMakerInferenceId":"id-1","SageMakerInferenceTime":"2022-08-30T00:49:15Z"}'
    )

    (line,) = pairs(output, numbered('{"features":[1,2]}'))

    assert (line.event_id, line.time) == ("id-1", datetime(2022, 8, 30, 0, 49, 15, tzinfo=UTC))
    assert line.response is not None
    assert line.response.content == b'{"score":0.5}'


def test_what_a_job_joined_is_parted_again() -> None:
    # amazon-sagemaker-examples, a merged record of a batch monitor.
    merged = json.loads((FIXTURES / "capture/merged-record.batch.json").read_text())
    data = merged["captureData"]["batchTransformOutput"]["data"]

    (line,) = pairs(numbered(data), None)
    (csv,) = pairs(numbered("1,2,0.5"), numbered("1,2"))

    assert line.request is not None
    assert line.response is not None
    assert line.response.content == b'{"predicted_label":1,"score":0.989977359771728}'
    assert json.loads(line.request.content)["features"][:3] == [28, 2, 133937]
    assert csv.response == Side(b"0.5", "text/csv", "CSV")


def test_requests_become_lines_and_are_read_back(tmp_path: Path) -> None:
    lines = [
        read_line(line)
        for name in ("csv", "json", "jsonlines")
        for line in sample_lines(f"baseline/capture.{name}.jsonl")
    ]
    binary = CaptureLine("b", HOUR, Side(b"\xff", None, "BASE64"), Side(b"1", "text/csv", "CSV"))
    target = str(tmp_path / "out")

    counts, left_out = write_batch_hour(target, "churn", "AllTraffic", HOUR, [*lines, binary])
    again, _ = write_batch_hour(target, "churn", "AllTraffic", HOUR, lines)

    assert left_out == 1
    # Three of CSV, two JSON documents, and the three rows of two bodies of JSON Lines.
    assert (counts.written, counts.lines) == (6, 8)
    assert (again.written, again.unchanged) == (0, 6)
    manifests = [
        read_manifest(str(file), file.read_bytes())
        for side in ("input", "output")
        for file in (tmp_path / "out" / side).rglob("*.json")
    ]
    found: list[CaptureLine] = []
    for one in pair_objects(manifests):
        assert one.input is not None
        output, given = (
            numbered(*Path(uri.removeprefix("file://")).read_text().splitlines())
            for uri in (one.output, one.input)
        )
        found += pairs(output, given)
    by_id = {line.event_id: line for line in found}
    for line in lines[:4]:
        back = by_id[line.event_id]
        assert back.time == line.time
        assert back.request is not None
        assert line.request is not None
        assert back.request.content == line.request.content
        assert back.response is not None
        assert line.response is not None
        assert json.loads(back.response.content) == json.loads(line.response.content)
    # Two rows in one body have ids of their own.
    assert f"{lines[-1].event_id}-1" in by_id


def test_what_an_hour_has_no_more_goes_with_its_manifests(tmp_path: Path) -> None:
    csv, document = (
        read_line(sample_lines(f"baseline/capture.{name}.jsonl")[0]) for name in ("csv", "json")
    )
    place = (str(tmp_path), "churn", "AllTraffic", HOUR)
    write_batch_hour(*place, [csv, document])

    fewer, _ = write_batch_hour(*place, [csv])
    none, _ = write_batch_hour(*place, [])

    # A manifest that named both kinds is written anew.
    assert (fewer.written, fewer.unchanged, fewer.removed) == (2, 2, 2)
    assert none.removed == 4
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
