"""One line of SageMaker's data capture: read, and written back to the same bytes."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.formats.capture_line import (
    CaptureLine,
    LineError,
    Side,
    encoding_of,
    read_line,
    write_line,
)
from tests.capture.sagemaker.sagemaker_tools import FIXTURES, SAMPLES, sample_lines

CSV = Side(b"1,2", "text/csv", "CSV")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_of_the_samples_is_written_back_byte_for_byte(name: str) -> None:
    lines = sample_lines(name)

    assert lines
    assert [write_line(read_line(line)).encode() for line in lines] == lines


def test_a_sample_is_read_as_it_stands() -> None:
    line = read_line(sample_lines("baseline/capture.csv.jsonl")[0])

    assert line.event_id == "f04a8538-696c-4648-8064-8b680b2e3318"
    assert line.time == datetime(2022, 4, 18, 0, 21, 48, tzinfo=UTC)
    assert line.request is not None
    assert line.request.content.startswith(b"132,10,182.9,")
    assert line.response == Side(b"0.036397725343704224", "text/csv; charset=utf-8", "CSV")
    assert line.inference_id is None


def test_records_that_labels_were_merged_into_are_read_too() -> None:
    endpoint = read_line((FIXTURES / "bias/aws-merged-record.json").read_text())
    batch = read_line((FIXTURES / "capture/merged-record.batch.json").read_text())

    assert endpoint.inference_id == "7"
    assert batch.request is None
    assert batch.response is not None
    assert batch.response.text.startswith('{"SageMakerOutput"')
    assert batch.time is None


@pytest.mark.parametrize(
    ("content_type", "content", "expected"),
    [
        ("text/csv", b"1", "CSV"),
        ("Text/CSV; charset=utf-8", b"1", "CSV"),
        ("application/json", b"{}", "JSON"),
        ("application/jsonlines", b"{}", "JSON"),
        ("application/x-npy", b"\x93NUMPY", "BASE64"),
        ("text/html; charset=utf-8", b"{}", "BASE64"),
        (None, b"1", "BASE64"),
        ("text/csv", b"\xff", "BASE64"),
    ],
)
def test_the_media_type_chooses_the_encoding(
    content_type: str | None, content: bytes, expected: str
) -> None:
    assert encoding_of(content_type, content) == expected


def test_letters_beyond_ascii_keep_the_way_they_were_written() -> None:
    side = {"observedContentType": "text/csv", "mode": "INPUT", "data": "Zürich,\u2028😀"}
    record = {
        "captureData": {"endpointInput": {**side, "encoding": "CSV"}},
        "eventMetadata": {"eventId": "e", "inferenceTime": "2026-01-15T12:00:00Z"},
        "eventVersion": "0",
    }
    raw = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    escaped = json.dumps(record, separators=(",", ":"))

    assert write_line(read_line(raw)) == raw
    assert write_line(read_line(escaped)) == escaped
    assert read_line(raw).request == read_line(escaped).request


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("null", "no captureData"),
        ("[]", "no captureData"),
        ('{"captureData": {}}', "neither endpointInput nor endpointOutput"),
        ('{"captureData": {"endpointInput": {}}}', "no data"),
        ('{"captureData": {"endpointInput": {"data": 5}}}', "no text"),
        ('{"captureData": {"endpointInput": {"data": "", "encoding": "X"}}}', "encoding X"),
        ('{"captureData": {"endpointInput": {"data": "?", "encoding": "BASE64"}}}', "not BASE64"),
        (r'{"captureData": {"endpointInput": {"data": "\ud800"}}}', "UTF-8"),
        (
            '{"captureData":{"endpointInput":{"data":"1"}},"eventMetadata":{"eventId":[]}}',
            "eventId",
        ),
        (
            '{"captureData":{"endpointInput":{"data":"1"}},'
            '"eventMetadata":{"eventId":"e","inferenceTime":"{%s}"}}',
            'inferenceTime "{%s}"',
        ),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_record_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(LineError) as refused:
        read_line(text)

    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@st.composite
def _sides(draw: Any) -> Side:
    content_type = draw(st.sampled_from(["text/csv", "application/json", "image/png", None]))
    content = draw(st.one_of(st.binary(max_size=20), _texts.map(str.encode)))
    return Side(content, content_type, encoding_of(content_type, content))


@given(
    event_id=_texts.filter(bool),
    seconds=st.integers(0, 4_000_000_000),
    request_side=_sides(),
    response=st.one_of(st.none(), _sides()),
    inference_id=st.one_of(st.none(), _texts.filter(bool)),
    attributes=st.lists(_texts, max_size=2),
    order=st.permutations(["captureData", "eventMetadata", "eventVersion"]),
)
def test_a_line_that_is_written_is_read_as_the_same_record(
    event_id: str,
    seconds: int,
    request_side: Side,
    response: Side | None,
    inference_id: str | None,
    attributes: list[str],
    order: list[str],
) -> None:
    line = CaptureLine(
        event_id,
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds),
        request_side,
        response,
        inference_id,
        tuple(attributes),
        tuple(order),
    )

    text = write_line(line)

    assert "\n" not in text
    assert read_line(text) == line
    assert base64.b64encode(request_side.content).decode() in text or (
        request_side.encoding != "BASE64"
    )
