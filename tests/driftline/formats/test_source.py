from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.baseline.schema import infer_signature
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.roles import Roles

FIXTURES = Path(__file__).parents[2] / "fixtures" / "baseline"

TABLE = pa.table({"a": [1, 2, 3], "b": [0.5, None, 1.5], "c": ["x", "", None]})


def rows(found):
    return pa.Table.from_batches(found.batches(), found.schema).to_pydict()


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_batches(),
        TABLE.to_reader(),
        TABLE.to_pandas(),
        pl.from_arrow(TABLE),
        TABLE.to_pydict(),
    ],
    ids=["table", "batch", "batches", "reader", "pandas", "polars", "dict"],
)
def test_frames_of_every_kind_give_the_same_rows(data):
    found = open_source(data)

    assert found.schema.types == [pa.int64(), pa.float64(), pa.string()]
    assert rows(found) == TABLE.to_pydict()


def test_files_of_every_form_give_the_same_rows(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, TABLE.schema) as writer,
    ):
        writer.write_table(TABLE)
    write(tmp_path, "a.csv", "a,b,c\n1,0.5,x\n2,,\n3,1.5,\n")
    write(tmp_path, "a.jsonl", '{"a":1,"b":0.5,"c":"x"}\n{"a":2,"c":""}\n{"a":3,"b":1.5}\n')

    for name in ("a.parquet", "a.arrow", "a.jsonl"):
        assert rows(open_source(tmp_path / name)) == TABLE.to_pydict(), name
    text = open_source(tmp_path / "a.csv")
    assert text.textual
    assert rows(text) == {**TABLE.to_pydict(), "c": ["x", "", ""]}


def test_folders_globs_and_lists_are_read_as_one(tmp_path):
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "a,b\n2.5,y\n")
    write(tmp_path, "_ignored.csv", "z\n1\n")
    expected = {"a": [1.0, 2.5], "b": ["x", "y"]}

    assert rows(open_source(tmp_path)) == expected
    assert rows(open_source(str(tmp_path / "[12].csv"))) == expected
    assert rows(open_source([tmp_path / "1.csv", str(tmp_path / "2.csv")])) == expected
    assert rows(open_source(f"file://{tmp_path}")) == expected


@pytest.mark.parametrize("value", ["41.3", "-2", "2024-01-01T06:00"])
def test_a_first_line_that_reads_as_a_row_is_asked_about(tmp_path, value):
    path = write(tmp_path, "rows.csv", f"7,{value},A\n8,3.5,B\n")

    with pytest.raises(
        InputError, match=f'"{value}" in the first line reads as a value.*set header'
    ):
        open_source(path)
    assert open_source(dl.Files(path, header=False)).schema.names == ["_c0", "_c1", "_c2"]
    assert open_source(dl.Files(path, header=True)).schema.names == ["7", value, "A"]


def test_a_partitioned_folder_and_a_column_that_some_files_lack(tmp_path):
    for day, table in (("01", pa.table({"a": [1]})), ("02", pa.table({"a": [2], "b": ["x"]}))):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(table, tmp_path / f"day={day}" / "p.parquet")

    found = rows(open_source(tmp_path))

    assert found["a"] == [1, 2]
    assert found["b"] == [None, "x"]


def test_rows_without_header_take_the_names_of_the_inputs():
    reference = open_source(FIXTURES / "shop.csv")
    signature = infer_signature(reference.schema, Roles(label="target"))

    found = open_source(FIXTURES / "shop.headerless.csv", signature=signature)

    assert found.schema.names == reference.schema.names[1:]
    assert sum(batch.num_rows for batch in found.batches()) == 40


def test_text_of_the_reference_stays_text(tmp_path):
    signature = infer_signature(pa.schema([("zip", pa.string()), ("n", pa.float64())]))

    found = open_source(write(tmp_path, "a.csv", "zip,n\n01234,1\n"), signature=signature)

    assert rows(found) == {"zip": ["01234"], "n": [1]}


def test_categories_and_times_of_pandas_are_plain():
    frame = pd.DataFrame(
        {"c": pd.Categorical(["a", "b"]), "t": pd.to_datetime(["2013-01-01", "2013-01-02"])}
    )

    assert open_source(frame).schema.types == [pa.string(), pa.timestamp("us", "UTC")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b" \n\n", "the file is empty"),
        ("junk.bin", b"\x89PNG\r\n\x1a\n\x00\x00\x01", "binary content; expected CSV"),
        ("broken.parquet", b"PAR1 not really", "not readable as Parquet"),
        ("broken.arrow", b"ARROW1\x00\x00nothing", "not readable as Arrow"),
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, expected 2"),
        ("short.csv", b"a,b\n1,2\n3\n", "line 3 has 1 field, expected 2"),
        ("broken.csv.gz", b"\x1f\x8b\x08 nothing", "cannot be read"),
        ("twice.csv", b"a,a\n1,2\n", '"a" stands twice'),
        ("broken.jsonl", b'{"a":1}\n{"a":\n', "line 2 is no JSON"),
        ("ragged.jsonl", b"[1,2]\n[1]\n", "line 2 has 1 value, expected 2"),
    ],
)
def test_bad_files_give_one_sentence_that_names_the_file(tmp_path, name, content, message):
    path = write(tmp_path, name, content)

    with pytest.raises(InputError) as failed:
        rows(open_source(path))

    assert message in str(failed.value)
    assert name in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("/nowhere/at/all.csv", "no such file or folder"),
        ("/nowhere/*.csv", "no file matches"),
        ("nosuch://bucket/x", "expected a folder, or a URI"),
        (42, "data of type int; expected a path"),
        (pa.array([1.5]), "of type DoubleArray is no table"),
        ({"a": [1], "b": [1, 2]}, "of type dict is no table"),
        (pa.table({}), "no columns"),
        (pd.DataFrame(np.ones((1, 2)), columns=["a", "a"]), '"a" stands twice'),
    ],
)
def test_what_is_no_data_gives_one_sentence(data, message):
    with pytest.raises(InputError, match=message):
        open_source(data)


@pytest.mark.parametrize(
    "text",
    [
        '{"x": ' + "[" * 5000 + "]" * 5000 + "}\n",
        '{"captureData": {"endpointInput": {"data": 5}}}\n',
        '{"captureData": {"endpointInput": {"data": "1,2"}}}\n5\n',
        '{"captureData": {"endpointInput": [1]}}\n',
    ],
)
def test_odd_json_is_refused_in_one_sentence(tmp_path, text):
    with pytest.raises(InputError):
        open_source(write(tmp_path, "a.jsonl", text))
