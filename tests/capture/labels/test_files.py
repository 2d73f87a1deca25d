"""Files of labels: SageMaker's samples, every encoding, and a sentence for what is none."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.capture.labels.files import read_label_body, read_label_file
from driftline.capture.labels.records import LabelNames
from driftline.errors import InputError
from driftline.formats.media_types import TextFormat

Label = tuple[str, int, str | None]


def labels(tables: Any) -> list[Label]:
    """Return labels as id, row and text."""
    rows = [row for table in tables for row in table.to_pylist()]
    return [(row["key"], row["row_index"] or 0, row["label"]) for row in rows]


def body(text: str | bytes, form: TextFormat = "jsonlines", **names: str) -> list[Label]:
    content = text.encode() if isinstance(text, str) else text
    return labels(read_label_body(content, form, LabelNames(**names)))


def sagemaker(data: object, encoding: str | None = "CSV", key: object = "e") -> str:
    truth = {"data": data} | ({} if encoding is None else {"encoding": encoding})
    found = {"groundTruthData": truth, "eventMetadata": {"eventId": key}, "eventVersion": "0"}
    return json.dumps(found)


# sagemaker-python-sdk 2.245.0, tests/data/monitor/actuals.jsonl, first and last line.
ACTUALS = """\
{"groundTruthData":{"data":"1","encoding":"CSV"},"eventMetadata":{"eventId":"74b0dd56-e7c8-368e-94b1-14a138a96000","inferenceTime":"{%s}"},"eventVersion":"0"}
{"groundTruthData":{"data":"1","encoding":"CSV"},"eventMetadata":{"eventId":"79f96714-0136-39c8-a221-38faf8a5f96f","inferenceTime":"{%s}"},"eventVersion":"0"}
"""
# amazon-sagemaker-examples, a merged record of a batch monitor, as it stands there.
MERGED = """\
{
    "eventMetadata": {"eventId": "ae4ec948-edc0-4195-be9c-0b15b6ca114f"},
    "eventVersion": "0",
    "groundTruthData": {"data": "{\\"label\\": 1}", "encoding": "JSON"},
    "captureData": {"batchTransformOutput": {"data": "{}", "encoding": "JSON"}}
}
"""


def test_sagemakers_own_samples_are_read(tmp_path: Path) -> None:
    (tmp_path / "actuals.jsonl").write_text(ACTUALS)
    (tmp_path / "merged.json").write_text(MERGED)

    assert labels(read_label_file(tmp_path / "actuals.jsonl")) == [
        ("74b0dd56-e7c8-368e-94b1-14a138a96000", 0, "1"),
        ("79f96714-0136-39c8-a221-38faf8a5f96f", 0, "1"),
    ]
    assert labels(read_label_file(tmp_path / "merged.json")) == [
        ("ae4ec948-edc0-4195-be9c-0b15b6ca114f", 0, "1")
    ]


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        ("1", "CSV", ["1"]),
        ("1\n", None, ["1"]),
        ("1, 0,1", "CSV", ["1", "0", "1"]),
        ("1\n0\r\n1\n", "CSV", ["1", "0", "1"]),
        ('"New York, NY",Boston', "CSV", ["New York, NY", "Boston"]),
        ("", "CSV", [""]),
        ("0.5", "JSON", ["0.5"]),
        ('{"label": 1}', "JSON", ["1"]),
        ('{"label": [1, 0]}', "JSON", ["1", "0"]),
        ('{"instances": [{"label": 0}, {"label": true}]}', "JSON", ["0", "true"]),
        ('[{"label": "a", "weight": 2}, {"label": null}]', "JSON", ["a", None]),
        ('{"late": 1}', "JSON", ["1"]),
        ('{"label": 1}\n{"label": 0}', "JSON", ["1", "0"]),
        ("[[1], [0]]", "JSON", ["1", "0"]),
        (base64.b64encode(b"1,0").decode(), "BASE64", ["1", "0"]),
        (base64.b64encode(b'{"label": 7}').decode(), "BASE64", ["7"]),
        (1, "CSV", ["1"]),
        ({"label": 1}, "JSON", ["1"]),
    ],
)
def test_all_rows_of_a_request_stand_in_one_record(
    data: object, encoding: str | None, expected: list[str | None]
) -> None:
    found = body(sagemaker(data, encoding))

    assert found == [("e", row, label) for row, label in enumerate(expected)]


def test_plain_objects_may_have_any_of_three_ids_and_many_labels() -> None:
    text = """
        {"id": "a", "label": 1}
        {"event_id": "b", "inference_id": "c", "label": "x", "row_index": 2}
        {"event_id": 7, "inference_id": null, "label": [true, NaN], "row_index": 1}
    """

    assert body(text) == [("a", 0, "1"), ("c", 2, "x"), ("7", 1, "true"), ("7", 2, None)]
    assert body('{"key": "k", "y": 0.5}', id="key", label="y") == [("k", 0, "0.5")]


def test_parquet_of_any_plain_type_is_read(tmp_path: Path) -> None:
    moment = datetime(2013, 1, 15, tzinfo=UTC)
    for number, (column, expected) in enumerate(
        [
            ([1.5, float("nan")], ["1.5", None]),
            ([True, None], ["true", None]),
            (pd.Categorical(["a", "b"]), ["a", "b"]),
            ([moment, moment], ["2013-01-15 00:00:00.000000Z"] * 2),
        ]
    ):
        frame = pd.DataFrame({"inference_id": ["i", "j"], "y": column, "row_index": [0, 4]})
        file = tmp_path / f"{number}.parquet"
        frame.to_parquet(file, index=False)

        found = labels(read_label_file(file, LabelNames(label="y")))

        assert found == [("i", 0, expected[0]), ("j", 4, expected[1])]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([Decimal("12345678901234567.25")]), "12345678901234567.25"),
        (pa.array([Decimal("5.00")]), "5.00"),
        (pa.array([1358208000123456789], pa.timestamp("ns")), "2013-01-15 00:00:00.123456789"),
        (pa.array([1358208000123], pa.timestamp("ms", "UTC")), "2013-01-15 00:00:00.123Z"),
        (
            pa.array([1358208000000], pa.timestamp("ms", "Europe/Berlin")),
            "2013-01-15 01:00:00.000+0100",
        ),
        (pa.array([date(2013, 1, 15)]), "2013-01-15"),
        (pa.array([time(1, 2, 3)]), "01:02:03.000000"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([3.0]), "3"),
        (pa.array([True]), "true"),
        (pa.array([b"007"]), "007"),
        (pa.array(["007"], pa.large_string()), "007"),
        (pa.array(["007"]).dictionary_encode(), "007"),
    ],
)
def test_parquet_ids_and_labels_are_the_texts_of_their_values(
    tmp_path: Path, column: pa.Array, text: str
) -> None:
    pq.write_table(pa.table({"id": column, "label": column}), tmp_path / "typed.parquet")

    assert labels(read_label_file(tmp_path / "typed.parquet")) == [(text, 0, text)]


def test_ids_that_pandas_made_floats_are_the_whole_numbers_that_they_were(tmp_path: Path) -> None:
    file = tmp_path / "floats.parquet"
    frame = pd.DataFrame(
        {"inference_id": [20260115123.0, float("nan")], "event_id": ["a", "b"], "label": [1, 0]}
    )
    frame.to_parquet(file, index=False)

    assert labels(read_label_file(file)) == [("20260115123", 0, "1"), ("b", 0, "0")]
    for odd in (0.5, 2.0**60, float("inf")):
        frame.assign(inference_id=odd).to_parquet(file, index=False)
        with pytest.raises(InputError, match=r"numbers with a point; expected ids as texts"):
            labels(read_label_file(file))


def test_parquet_with_lists_of_lists_or_as_ids_is_refused(tmp_path: Path) -> None:
    for odd in ({"id": ["a"], "label": [[["x"]]]}, {"id": [[1]], "label": [1]}):
        pq.write_table(pa.table(odd), tmp_path / "lists.parquet")

        with pytest.raises(InputError, match=r"of type list.*expected one value a row"):
            labels(read_label_file(tmp_path / "lists.parquet"))


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("jsonlines", sagemaker("1") + "\n\n{", "body: line 3 is no JSON"),
        ("jsonlines", sagemaker("1") + '\n{"id": "a"} {"id": "b"}', "body: line 2 is no JSON"),
        ("jsonlines", "null", "body, line 1: expected an object"),
        ("jsonlines", sagemaker("1", "XML"), 'line 1: encoding "XML"; expected CSV, JSON or BASE'),
        ("jsonlines", sagemaker("1", key=""), "no eventMetadata.eventId; expected the request's"),
        ("jsonlines", sagemaker("1", key=1.5), "id 1.5; expected a text"),
        ("jsonlines", '{"groundTruthData": 1}', "no groundTruthData.data; expected {"),
        ("jsonlines", sagemaker("1,0\n0,1"), "several lines of several fields; expected one label"),
        ("jsonlines", sagemaker('"1'), "groundTruthData.data is no CSV"),
        ("jsonlines", sagemaker("{", "JSON"), "groundTruthData.data is no JSON"),
        ("jsonlines", sagemaker('{"a": 1, "b": 2}', "JSON"), "a label among 2 fields; expected a"),
        ("jsonlines", sagemaker("[[1, 2]]", "JSON"), "2 labels for one row; expected one"),
        ("jsonlines", sagemaker("?", "BASE64"), "groundTruthData.data is no text in base64"),
        ("jsonlines", '{"captureData": {}}', "no id or inference_id or event_id; expected {"),
        ("jsonlines", '{"id": "a"}', 'no label; expected {"id": …, "label": …} or a record with'),
        ("jsonlines", '{"id": "a", "label": {}}', "label {}; expected one value"),
        ("jsonlines", '{"id": "a", "label": 1, "row_index": -1}', "row_index -1; expected a whole"),
        ("jsonlines", '{"id": "a", "label": 1, "row_index": true}', "row_index true; expected a"),
        ("json", "[1", "body: line 1 is no JSON"),
        ("json", "[" * 100_000, "body: line 1 is no JSON"),
        ("json", '[{"id": "a", "label": 1}, {}]', "body, record 2: no id"),
        ("json", " ", "body: nothing in it; expected labels"),
        ("csv", "", "body: nothing in it; expected labels"),
        ("csv", "1,0\n2,1\n", "columns 1, 0; expected id or"),
        ("csv", "id,label,label\na,1,1\n", 'column "label" stands twice'),
        ("csv", "id,label\na,1,2\n", "line 2 has 3 fields, expected 2 as in the first line"),
        ("csv", "id,label\na,1\n,2\n", "row 2: no id; expected the request's id"),
        ("csv", "id,label,row_index\na,1,0\nb,1,last\n", 'row 2: row_index "last"; expected a'),
        ("csv", "id,label,row_index\na,1,-1\n", 'row 1: row_index "-1"; expected a whole number'),
        ("csv", b"id,label\n\xff,1\n", "line 2 is not UTF-8"),
        ("csv", 'id,label\na,"1\nb,0\nc,1\n', "line 2: a quote opens there and never closes"),
        ("csv", 'id,label\na,"1"x\nb,0\n', "line 2: text follows a closing quote"),
        ("jsonlines", sagemaker("1", ["CSV"]), 'encoding ["CSV"]; expected CSV, JSON or BASE64'),
        ("jsonlines", sagemaker("[" * 900 + "]" * 900, "JSON"), "groundTruthData.data is no JSON"),
    ],
)
def test_what_is_no_label_is_named_with_its_place(
    form: TextFormat, text: str | bytes, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        body(text, form)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        list(read_label_file(tmp_path / "absent.csv"))
