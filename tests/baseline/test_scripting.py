"""Record scripts run as SageMaker runs them, within limits; what is wrong is told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.baseline.scripting import (
    preprocessed,
    preprocessed_records,
)
from driftline.formats.source import Source

# Developer guide, "Preprocessing script" (2024), but for the names of its lines.
GUIDE_ZFILL = """
def preprocess_handler(inference_record):
    input_data = inference_record.endpoint_input.data
    output_data = inference_record.endpoint_output.data.rstrip("\\n")
    data = output_data + "," + input_data
    return { str(i).zfill(20) : d for i, d in enumerate(data.split(",")) }
"""

Write = Callable[[str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        place = tmp_path / "preprocess.py"
        place.write_text(text)
        return place

    return write


def line(number: int, data: str, answer: str = "0.5\n", attribute: str = "") -> dict[str, object]:
    """Make a captured record as an endpoint writes it."""
    event: dict[str, object] = {"eventId": f"event-{number}"}
    if attribute:
        event["customAttributes"] = [attribute]
    event["inferenceTime"] = "2026-01-15T12:00:00Z"
    return {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv", "mode": "INPUT", "data": data,
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8", "mode": "OUTPUT",
                "data": answer, "encoding": "CSV",
            },
        },
        "eventMetadata": event,
        "eventVersion": "0",
    }  # fmt: skip


def capture(place: Path, records: Iterable[dict[str, object]]) -> str:
    place.write_text("".join(json.dumps(one) + "\n" for one in records))
    return str(place)


def table(source: Source) -> pa.Table:
    return pa.Table.from_batches(source.batches(), source.schema)


def test_the_guides_script_gives_columns_by_position(tmp_path: Path, script: Write) -> None:
    data = capture(tmp_path / "a.jsonl", [line(0, "1,2.5,x"), line(1, "3,4.5,y", "0.25\n")])

    found = table(preprocessed(data, script(GUIDE_ZFILL)))

    assert found.to_pydict() == {
        "_c0": [0.5, 0.25], "_c1": [1, 3], "_c2": [2.5, 4.5], "_c3": ["x", "y"],
    }  # fmt: skip


def test_every_attribute_of_a_record_is_there(tmp_path: Path, script: Write) -> None:
    place = script(
        "def preprocess_handler(record, logger):\n"
        "    logger.info('seen')\n"
        "    side = record.endpoint_output\n"
        "    return {'encoding': side.encoding, 'type': side.observedContentType,\n"
        "            'mode': side.mode, 'id': record.event_metadata.event_id,\n"
        "            'time': record.event_metadata.event_time, 'version': record.event_version,\n"
        "            'truth': record.ground_truth.data,\n"
        "            'batch': record.batch_transform_output is None,\n"
        "            'same': record.as_dict() is record.event_dict,\n"
        "            'attribute': record.event_metadata.custom_attribute is None}\n"
    )
    merged = {**line(3, "1"), "groundTruthData": {"data": "0", "encoding": "CSV"}}

    (row,) = table(preprocessed(capture(tmp_path / "a.jsonl", [merged]), place)).to_pylist()

    time = row.pop("time")
    assert row == {
        "encoding": "CSV", "type": "text/csv; charset=utf-8", "mode": "OUTPUT", "id": "event-3",
        "version": 0, "truth": 0, "batch": True, "same": True, "attribute": True,
    }  # fmt: skip
    assert time.isoformat() == "2026-01-15T12:00:00+00:00"


def test_one_record_may_give_several_rows_and_late_columns(tmp_path: Path, script: Write) -> None:
    place = script(
        "def preprocess_handler(record):\n"
        "    rows = [{'b': int(x)} for x in record.endpoint_input.data.split(',')]\n"
        "    if record.event_metadata.event_id == 'event-1':\n"
        "        rows[-1]['a'] = True\n"
        "    return rows\n"
    )
    data = capture(tmp_path / "a.jsonl", [line(0, "1,2"), line(1, "3,4")])

    found = table(preprocessed(data, place))

    assert found.to_pydict() == {"b": [1, 2, 3, 4], "a": [None, None, None, True]}
    assert table(preprocessed(data, place, compat=True)).column_names == ["a", "b"]


def test_rows_carry_the_ids_of_their_records(script: Write) -> None:
    place = script("def preprocess_handler(record):\n    return [{'x': 1}, {'x': 2}]\n")

    found = table(preprocessed_records([line(7, "1"), line(8, "1")], place, with_ids=True))

    assert found["event_id"].to_pylist() == ["event-7", "event-7", "event-8", "event-8"]
    assert found["row_index"].to_pylist() == [0, 1, 0, 1]


def test_json_lines_that_were_not_captured_come_as_text(tmp_path: Path, script: Write) -> None:
    place = script("import json\ndef preprocess_handler(line):\n    return json.loads(line)\n")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n')

    found = table(preprocessed(str(tmp_path / "a.jsonl"), place))

    assert found.to_pydict() == {"a": [1, 2], "b": ["x", None]}
