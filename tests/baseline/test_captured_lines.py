"""Captured lines of SageMaker as data: output and input of a record side by side."""

import json

import pytest

from driftline.baseline.schema import infer_signature
from driftline.errors import InputError
from driftline.formats.source import Files, open_source
from driftline.roles import Roles
from tests.driftline.formats.test_source import FIXTURES, rows, write


def test_capture_lines_give_the_output_first_then_the_input():
    found = open_source(FIXTURES / "capture.csv.jsonl")

    first = next(found.batches())
    assert len(found.schema) == 70
    assert first.column(0)[0].as_py() == pytest.approx(0.036397725343704224)
    assert first.column(1)[0].as_py() == 132


def test_capture_lines_take_the_names_of_label_and_inputs():
    reference = open_source(FIXTURES / "churn.csv")
    signature = infer_signature(reference.schema, Roles(label="Churn"))

    found = open_source(FIXTURES / "capture.csv.jsonl", signature=signature)

    assert found.schema.names == reference.schema.names


def test_capture_lines_of_many_rows_are_split():
    found = rows(open_source(FIXTURES / "capture.jsonlines.jsonl"))

    assert len(found) == 16
    assert found["_c0"] == [1] * len(found["_c0"])


def test_base64_sides_are_decoded(tmp_path):
    line = (
        '{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT",'
        '"data":"MSxhLDIuNQ==","encoding":"BASE64"}},"eventMetadata":{"eventId":"1"}}'
    )

    found = open_source(write(tmp_path, "a.jsonl", line))

    assert rows(found) == {"_c0": [1], "_c1": ["a"], "_c2": [2.5]}


def test_sides_of_a_record_that_do_not_match_are_named(tmp_path):
    line = (
        '{"captureData":{"endpointInput":{"data":"1\\n2","encoding":"CSV"},'
        '"endpointOutput":{"data":"0.5","encoding":"CSV"}},"eventMetadata":{"eventId":"e7"}}'
    )

    with pytest.raises(InputError, match="record e7 has 2 rows of input and 1 of output"):
        open_source(write(tmp_path, "a.jsonl", line))


def merged(sent: str, answer: str, truth: str, encoding: str = "CSV") -> str:
    sides = {"endpointInput": sent, "endpointOutput": answer}
    data = {name: {"data": data, "encoding": "CSV"} for name, data in sides.items()}
    return json.dumps(
        {"captureData": data, "groundTruthData": {"data": truth, "encoding": encoding}}
    )


def named(tmp_path, names, *lines):
    return rows(open_source(Files(write(tmp_path, "a.jsonl", "\n".join(lines)), names=names)))


def test_names_of_the_input_and_the_label_leave_the_answer_its_columns(tmp_path):
    names = ["age", "income", "label"]

    found = named(tmp_path, names, merged("41,10", "1,0.9", "1"), merged("42,11", "0,0.2", "0"))

    assert found == {
        "_c0": [1, 0], "_c1": [0.9, 0.2], "age": [41, 42], "income": [10, 11], "label": [1, 0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "encoding"),
    [("1,0", "CSV"), ("1\n0", "CSV"), ("MQow", "BASE64"), ("[1, 0]", "JSON")],
)
def test_merged_labels_are_read_as_everywhere(tmp_path, truth, encoding):
    found = named(tmp_path, ["age", "label"], merged("41\n42", "1\n0", truth, encoding))

    assert found == {"_c0": [1, 0], "age": [41, 42], "label": [1, 0]}


def test_an_answer_is_not_overwritten_by_the_label(tmp_path):
    line = merged("41", "?", "1").replace(
        '"?", "encoding": "CSV"', '"{\\"y\\": 0}", "encoding": "JSON"'
    )

    with pytest.raises(InputError, match='answers a value named "y", as its ground truth is'):
        named(tmp_path, ["age", "y"], line)
