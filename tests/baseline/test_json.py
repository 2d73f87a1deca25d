"""JSON of every layout and captured lines of mixed encodings, in pieces or at once."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from driftline.errors import InputError
from driftline.formats import opening
from driftline.formats.json import documents as jsontext
from driftline.formats.json import files as jsonlines
from driftline.formats.source import open_source
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
