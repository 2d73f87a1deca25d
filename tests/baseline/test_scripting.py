"""Record scripts run as SageMaker runs them, within limits; what is wrong is told with its line."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.baseline.scripting import (
    preprocessed,
    preprocessed_records,
)
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import Source

# Developer guide, "Preprocessing script" (2024), but for the names of its lines.
GUIDE_ZFILL = """
def preprocess_handler(inference_record):
    input_data = inference_record.endpoint_input.data
    output_data = inference_record.endpoint_output.data.rstrip("\\n")
    data = output_data + "," + input_data
    return { str(i).zfill(20) : d for i, d in enumerate(data.split(",")) }
"""
# Developer guide, "Custom sampling".
GUIDE_SAMPLING = """
import random

def preprocess_handler(inference_record):
    # set up a sampling rate
    sampling_rate = 0.1
    # if random value is smaller than the sampling rate, keep the record
    if random.random() < sampling_rate:
        input_data = inference_record.endpoint_input.data
        return {i: None if x == -1 else x for i, x in enumerate(input_data.split(","))}
    return []
"""
# The introduction example of 2019, with the names that records had then.
OLD_NAMES = """
import json
import random

def preprocess_handler(inference_record):
    event_data = inference_record.event_data
    input_data = {"raw": event_data.endpointInput.data}
    output_data = {"age": float(event_data.endpointOutput.data)}
    return {**input_data, **output_data}
"""
# AWS blog on record filtering, 2021: testers are told by a custom attribute.
CUSTOM_ATTRIBUTE = """
import json

def preprocess_handler(inference_record):
    metadata = inference_record.event_metadata
    attribute = json.loads(metadata.custom_attribute[0])
    if attribute["testIndicator"] == "true":
        return []
    return {"first": inference_record.endpoint_input.data.split(",")[0]}
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


def test_positions_get_the_references_names(tmp_path: Path, script: Write) -> None:
    reference = Baseline.fit(pa.table({"answer": [0.5], "age": [1], "code": ["007"]}))
    data = capture(tmp_path / "a.jsonl", [line(0, "7,008")])

    source = preprocessed(data, script(GUIDE_ZFILL), signature=reference.signature)

    assert table(source).to_pydict() == {"answer": [0.5], "age": [7], "code": ["008"]}


def test_the_guides_sampling_drops_records_the_same_ones_each_time(
    tmp_path: Path, script: Write
) -> None:
    data = capture(tmp_path / "a.jsonl", [line(index, f"{index},1") for index in range(2500)])
    place = script(GUIDE_SAMPLING)

    first, again = table(preprocessed(data, place)), table(preprocessed(data, place))

    assert 170 < first.num_rows < 330  # Binomial(2500, 0.1); outside by chance in 1 of 10^7.
    assert first.equals(again)


def test_names_of_2019_still_work(tmp_path: Path, script: Write) -> None:
    data = capture(tmp_path / "a.jsonl", [line(0, "1,2", "7")])

    assert table(preprocessed(data, script(OLD_NAMES))).to_pydict() == {
        "raw": ["1,2"],
        "age": [7.0],
    }


def test_records_are_filtered_by_custom_attribute(tmp_path: Path, script: Write) -> None:
    tested = json.dumps({"testIndicator": "true"})
    real = json.dumps({"testIndicator": "false"})
    data = capture(tmp_path / "a.jsonl", [line(0, "1,2", "7", tested), line(1, "5,6", "8", real)])

    assert table(preprocessed(data, script(CUSTOM_ATTRIBUTE))).to_pydict() == {"first": [5]}


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


def test_a_csv_line_comes_as_it_stands_without_the_header(tmp_path: Path, script: Write) -> None:
    place = script(
        "def preprocess_handler(line):\n"
        "    return dict(enumerate(line.replace('\\n', ' ').split(';')))\n"
    )
    (tmp_path / "a.csv").write_text('name;age\n"Anne\nMarie";3\nBob;4\n')

    found = table(preprocessed(str(tmp_path / "a.csv"), place))

    assert found.to_pydict() == {"name": ['"Anne Marie"', "Bob"], "age": [3, 4]}


def test_json_lines_that_were_not_captured_come_as_text(tmp_path: Path, script: Write) -> None:
    place = script("import json\ndef preprocess_handler(line):\n    return json.loads(line)\n")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n')

    found = table(preprocessed(str(tmp_path / "a.jsonl"), place))

    assert found.to_pydict() == {"a": [1, 2], "b": ["x", None]}


def test_lines_that_are_lists_are_not_held_as_one(tmp_path: Path, script: Write) -> None:
    place = script("def preprocess_handler(line):\n    return {'length': len(line)}\n")
    file = tmp_path / "lists.jsonl"
    file.write_text(f'["{"x" * 50_000}"]\n' * 1_000)

    tracemalloc.start()
    source = preprocessed(str(file), place)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert table(source).to_pydict() == {"length": [50_004] * 1_000}
    assert peak < 40e6  # The file has 50 MB; a batch of records 4.


def test_files_of_different_columns_are_not_mixed(tmp_path: Path, script: Write) -> None:
    place = script("def preprocess_handler(line):\n    return dict(enumerate(line.split(',')))\n")
    for name, text in (("1.csv", "a,b\n1,2\n"), ("2.csv", "a,b\n3,4\n"), ("3.csv", "b,a\n5,6\n")):
        (tmp_path / name).write_text(text)

    same = preprocessed([str(tmp_path / "1.csv"), str(tmp_path / "2.csv")], place)

    assert table(same).to_pydict() == {"a": [1, 3], "b": [2, 4]}
    with pytest.raises(InputError, match=r"3\.csv: other columns than the files before it"):
        preprocessed(str(tmp_path / "*.csv"), place)


def test_half_a_character_in_a_key_is_replaced(script: Write) -> None:
    place = script("def preprocess_handler(record):\n    return {'a\\ud800': 1}\n")

    source = preprocessed_records([line(0, "1")], place)

    assert source.schema.names == ["a?"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_lines_of_any_encoding_are_text(tmp_path: Path, script: Write, encoding: str) -> None:
    place = script("def preprocess_handler(line):\n    return dict(enumerate(line.split(',')))\n")
    (tmp_path / "a.csv").write_bytes("name,age\nZoë,3\nBob,4\n".encode(encoding))

    found = table(preprocessed(str(tmp_path / "a.csv"), place))

    assert found.to_pydict() == {"name": ["Zoë", "Bob"], "age": [3, 4]}


@pytest.mark.parametrize("head", [b"PAR1\x00\x01", b"\x00\x00\x01\xff" * 9])
def test_binary_files_are_refused(tmp_path: Path, script: Write, head: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(head)

    with pytest.raises(InputError, match="not a text file; a preprocess script gets lines"):
        preprocessed(str(tmp_path / "a.bin"), script(GUIDE_ZFILL))


def test_one_list_of_captured_records_is_read_too(tmp_path: Path, script: Write) -> None:
    (tmp_path / "a.json").write_text(json.dumps([line(0, "1"), line(1, "2")], indent=1))

    found = table(preprocessed(str(tmp_path / "a.json"), script(GUIDE_ZFILL)))

    assert found["_c1"].to_pylist() == [1, 2]


def test_many_records_are_read_from_disk_as_often_as_asked(script: Write) -> None:
    place = script("def preprocess_handler(line):\n    return {'x': line, 'y': len(line)}\n")

    source = preprocessed_records((str(index) for index in range(40_000)), place)

    first, second = source.batches(), source.batches()
    assert next(first)["x"][0].as_py() == next(second)["x"][0].as_py() == 0
    assert table(source)["x"].to_pylist() == list(range(40_000))
    assert source.row_count == 40_000
