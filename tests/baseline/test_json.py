"""JSON of every layout and captured lines of mixed encodings, in pieces or at once."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.schema import infer_signature
from driftline.errors import InputError
from driftline.formats import opening
from driftline.formats.json import documents as jsontext
from driftline.formats.json import files as jsonlines
from driftline.formats.source import open_source
from driftline.roles import Roles
from tests.baseline.test_streams import rows

SHAPES = {
    "lines": '{"a": 1, "b": "x"}\n\n{"a": 2}\n',
    "no line end": '{"a": 1, "b": "x"}\n{"a": 2}',
    "list": '[{"a": 1, "b": "x"}, {"a": 2}]',
    "printed list": '[\n {"a": 1,\n  "b": "x"},\n {"a": 2}\n]\n',
    "printed objects": '{\n "a": 1,\n "b": "x"\n}\n{\n "a": 2\n}\n',
    "instances": '{"instances": [{"a": 1, "b": "x"}, {"a": 2}]}',
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("block", [1, 7, 1 << 22])
@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
def test_json_of_every_layout_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, block: int, is_big: bool
) -> None:
    monkeypatch.setattr(jsontext, "BLOCK_BYTES", block)
    monkeypatch.setattr(jsonlines, "CHUNK_VALUES", 1)
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)
    path = tmp_path / "a.json"
    path.write_text(text)

    found = open_source(path)

    assert rows(found) == rows(found) == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize("size", range(20, 60))
def test_long_whole_numbers_are_exact_wherever_the_pieces_of_a_file_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(jsontext, "BLOCK_BYTES", size)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 123456789012345678901234, "b": 2}\n{"a": 3}\n')

    assert rows(open_source(path))["a"] == ["1", "123456789012345678901234", "3"]


def test_blank_texts_beside_numbers_of_json_are_missing_as_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "NaN", "b": ""}\n{"a": 1, "b": true}\n')

    assert rows(open_source(path)) == {"a": [None, 1], "b": [None, True]}


def test_types_of_json_hold_for_all_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "CHUNK_VALUES", 1)
    path = tmp_path / "a.jsonl"
    values = [
        {"i": 1, "f": 1, "m": 1, "t": "01", "w": "2026-01-01"},
        {"f": 2.5, "m": "x", "t": "2"},
    ]
    path.write_text("\n".join(map(json.dumps, values)))

    found = open_source(path)

    assert rows(found) == {
        "i": [1, None],
        "f": [1.0, 2.5],
        "m": ["1", "x"],
        "t": [1, 2],
        "w": [pd.Timestamp("2026-01-01", tz="UTC"), None],
    }


def test_a_document_too_large_for_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsontext, "BLOCK_BYTES", 64)
    monkeypatch.setattr(jsontext, "LARGEST_BYTES", 256)
    path = tmp_path / "a.json"
    path.write_text('{"instances": [' + "1," * 500 + "1]}")

    with pytest.raises(InputError, match="line 1 is larger than 256 MB; expected one row a line"):
        open_source(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n {"a": 1},\n {"a": }\n]', "line 3 is no JSON"),
        ('[\n {"a": 1}\n {"a": 2}\n]', r"line 3 is no JSON \(Expecting ',' or '\]'\)"),
        ('{"a": 1}\n[1]\nx\n', "line 3 is no JSON"),
        ('[\n {"a": 1},\n', "is no JSON"),
        (f'{{"a": {"1" * 4301}}}', r"line 1 is no JSON \(a whole number of more"),
        (f'{{"a": 1}}\n{{"a": {"1" * 4301}}}', r"line 2 is no JSON \(a whole number of more"),
        ("[1, 2]\n[3]\n", "line 2 has 1 value, expected 2"),
    ],
)
def test_broken_json_is_told_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)

    with pytest.raises(InputError, match=message):
        open_source(path)


def test_names_and_texts_with_half_a_character_are_mended(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a\\ud800": "\\udc00"}\n')

    assert rows(path) == {"a?": ["?"]}


def side(data: str, encoding: str, media: str = "text/csv") -> dict[str, str]:
    return {"observedContentType": media, "mode": "INPUT", "data": data, "encoding": encoding}


def capture(given: dict[str, str], answer: dict[str, str]) -> str:
    return json.dumps({"captureData": {"endpointInput": given, "endpointOutput": answer}})


MIXED = [
    capture(side("1,x", "CSV"), side("0.5", "CSV")),
    capture(side('{"n": 2, "c": "y"}', "JSON", "application/json"), side("0.25", "CSV")),
    capture(side("MyxpZQ==", "BASE64"), side('{"score": 0.75}', "JSON", "application/json")),
    capture(side("eyJuIjogNCwgImMiOiAieiJ9", "BASE64", "text/html"), side("MQ==", "BASE64")),
]


def test_capture_records_of_mixed_encodings_take_the_names_of_the_reference(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(MIXED))
    table = pa.table({"score": [0.5], "n": [1], "c": ["x"]})
    signature = infer_signature(table.schema, Roles(prediction="score"))

    found = open_source(path, signature=signature)

    assert rows(found) == {
        "score": [0.5, 0.25, 0.75, 1.0],
        "n": [1, 2, 3, 4],
        "c": ["x", "y", "ie", "z"],
    }


def test_a_record_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = capture(side("/////w==", "BASE64", "image/png"), side("0.5", "CSV"))
    path.write_text(f"{MIXED[0]}\n{line}\n")

    with pytest.raises(InputError, match=r"line 2: record \? is not readable \(image/png: bytes"):
        open_source(path)


NAMED = [
    ('{"features": [1, 2], "y": 0, "id": 5}', '{"id": 6, "y": 1, "features": [3, 4]}'),
    (
        capture(side("0,5", "CSV"), side('{"a": 1, "b": 2}', "JSON")),
        capture(side("1,6", "CSV"), side('{"b": 4, "a": 3}', "JSON")),
    ),
]


@pytest.mark.parametrize("lines", NAMED, ids=["features", "capture"])
@pytest.mark.parametrize("files", [1, 2])
def test_named_values_by_position_do_not_change_places_with_the_order_of_their_names(
    tmp_path: Path, lines: tuple[str, str], files: int
) -> None:
    for number in range(files):
        text = "\n".join(lines) if files == 1 else lines[number]
        (tmp_path / f"{number}.jsonl").write_text(text)

    found = rows(open_source(tmp_path))

    assert found == {"_c0": [1, 3], "_c1": [2, 4], "_c2": [0, 1], "_c3": [5, 6]}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"features": [1], "y": 0}', '{"features": [1], "z": 0}'),
        (
            capture(side("1", "CSV"), side('{"y": 1}', "JSON")),
            capture(side("1", "CSV"), side('{"z": 1}', "JSON")),
        ),
    ],
    ids=["features", "capture"],
)
def test_values_of_another_name_are_not_taken_by_position(
    tmp_path: Path, first: str, second: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{first}\n{second}\n")

    with pytest.raises(InputError, match=r"line 2.*: values named z, expected y as in the first"):
        open_source(path)
