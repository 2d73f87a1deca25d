import gzip
import json
from decimal import Decimal
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
from driftline.formats import opening
from driftline.formats.csv.files import CsvFile
from driftline.formats.csv.quotes import QuoteWatch
from driftline.formats.csv.rows import CsvRows
from driftline.formats.location import locate
from driftline.formats.source import open_source
from driftline.formats.type_inference import narrow
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


def test_a_reader_is_taken_into_memory_when_it_must_be_read_twice():
    found = open_source(TABLE.to_reader())

    assert rows(found) == rows(found) == TABLE.to_pydict()


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


def test_the_index_that_pandas_wrote_is_no_column_as_that_of_its_frames_is_none(tmp_path):
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}, index=[7, 3, 5])
    frame.to_parquet(tmp_path / "rows.parquet")
    table = pa.Table.from_pandas(frame)

    for data in (tmp_path / "rows.parquet", table, frame):
        found = open_source(data)
        rows = pa.Table.from_batches(found.batches())
        parts = pa.concat_tables(
            [pa.Table.from_batches(one.batches()) for one in open_source(data).parts()]
        )
        assert found.schema.names == ["a", "b"]
        assert rows.to_pydict() == parts.to_pydict() == frame.to_dict("list")


def test_folders_globs_and_lists_are_read_as_one(tmp_path):
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "a,b\n2.5,y\n")
    write(tmp_path, "_ignored.csv", "z\n1\n")
    expected = {"a": [1.0, 2.5], "b": ["x", "y"]}

    assert rows(open_source(tmp_path)) == expected
    assert rows(open_source(str(tmp_path / "[12].csv"))) == expected
    assert rows(open_source([tmp_path / "1.csv", str(tmp_path / "2.csv")])) == expected
    assert rows(open_source(f"file://{tmp_path}")) == expected


def test_a_glob_that_only_folders_match_reads_what_is_in_them(tmp_path):
    for name, text in (("x", "a\n1\n"), ("y", "a\n2\n")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "part.csv", text)
    write(tmp_path, "z.csv", "a\n3\n")

    assert rows(open_source(str(tmp_path / "[xy]"))) == {"a": [1, 2]}
    assert rows(open_source(str(tmp_path / "*"))) == {"a": [3]}


@pytest.mark.parametrize("value", ["41.3", "-2", "2024-01-01T06:00"])
def test_a_first_line_that_reads_as_a_row_is_asked_about(tmp_path, value):
    path = write(tmp_path, "rows.csv", f"7,{value},A\n8,3.5,B\n")

    with pytest.raises(
        InputError, match=f'"{value}" in the first line reads as a value.*set header'
    ):
        open_source(path)
    assert open_source(dl.Files(path, header=False)).schema.names == ["_c0", "_c1", "_c2"]
    assert open_source(dl.Files(path, header=True)).schema.names == ["7", value, "A"]


def test_years_and_quantiles_are_names_of_columns(tmp_path):
    path = write(tmp_path, "wide.csv", "country,2019,0.5\nDE,1,2\n")

    assert open_source(path).schema.names == ["country", "2019", "0.5"]


def test_a_partitioned_folder_and_a_column_that_some_files_lack(tmp_path):
    for day, table in (("01", pa.table({"a": [1]})), ("02", pa.table({"a": [2], "b": ["x"]}))):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(table, tmp_path / f"day={day}" / "p.parquet")

    found = rows(open_source(tmp_path))

    assert found["a"] == [1, 2]
    assert found["b"] == [None, "x"]


def test_compressed_csv_with_another_delimiter(tmp_path):
    path = write(tmp_path, "a.csv.gz", gzip.compress(b"a;b\n1;x\n"))

    assert rows(open_source(path)) == {"a": [1], "b": ["x"]}


def test_a_first_line_of_numbers_is_a_row():
    found = open_source(FIXTURES / "quality.csv")

    assert found.schema.names == [f"_c{index}" for index in range(6)]
    assert sum(batch.num_rows for batch in found.batches()) == 100


def test_a_first_line_of_numbers_is_a_header_when_columns_are_called_so(tmp_path):
    path = write(tmp_path, "a.csv", "0,1,2\n5,6,7\n")
    named = infer_signature(pa.table({"0": [1], "1": [2], "2": [3]}).schema, Roles())

    assert rows(open_source(path, signature=named)) == {"0": [5], "1": [6], "2": [7]}
    assert rows(open_source(path))["_c0"] == [0, 5]


def test_rows_without_header_take_the_names_of_the_inputs():
    reference = open_source(FIXTURES / "shop.csv")
    signature = infer_signature(reference.schema, Roles(label="target"))

    found = open_source(FIXTURES / "shop.headerless.csv", signature=signature)

    assert found.schema.names == reference.schema.names[1:]
    assert sum(batch.num_rows for batch in found.batches()) == 40


def test_when_the_count_does_not_fit_the_columns_are_numbered(tmp_path):
    signature = infer_signature(pa.schema([("a", pa.int64()), ("b", pa.int64())]))

    found = open_source(write(tmp_path, "a.csv", "1,2,3\n"), signature=signature)

    assert found.schema.names == ["_c0", "_c1", "_c2"]


def test_text_of_the_reference_stays_text(tmp_path):
    signature = infer_signature(pa.schema([("zip", pa.string()), ("n", pa.float64())]))

    found = open_source(write(tmp_path, "a.csv", "zip,n\n01234,1\n"), signature=signature)

    assert rows(found) == {"zip": ["01234"], "n": [1]}


def test_a_number_column_with_text_far_down_comes_as_text(tmp_path):
    lines = "n\n" + "1\n" * 50_000 + "oops\n"

    found = open_source(write(tmp_path, "a.csv", lines))

    assert found.schema.types == [pa.string()]


def test_a_big_text_file_is_streamed_with_the_same_types(tmp_path, monkeypatch):
    lines = ["i,f,t,b,w,n", "1,1,x,true,2013-01-01,", ",2.5,NA,false,,", "3,,5,,,"]
    path = write(tmp_path, "a.csv", "\n".join(lines) + "\n")
    small = open_source(path)
    expected = rows(small)

    monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)
    big = open_source(path)

    assert big.schema == small.schema
    assert rows(big) == rows(big) == {**expected, "n": ["", "", ""]}


def test_mixed_objects_of_pandas_become_text():
    frame = pd.DataFrame({"x": [1, "two", None, 3.5], 7: [1, 2, 3, 4]})

    assert rows(open_source(frame)) == {"x": ["1", "two", None, "3.5"], "7": [1, 2, 3, 4]}


class Opaque:
    """An object without a text of its own."""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1j, 2j], "values of type complex.*make two columns of its two parts"),
        (pd.Series([1j, 2], dtype=object), "values of type complex"),
        ([Opaque(), Opaque()], "values of type Opaque; expected numbers, texts, truth values"),
        ([{1}, {2}], "values of type set"),
        ([{"a", "b"}, None], "values of type set"),
        (["a", Opaque()], "values of type Opaque"),
    ],
)
def test_objects_that_are_no_values_are_refused(values, said):
    with pytest.raises(InputError, match=f'^column "x": {said}'):
        open_source(pd.DataFrame({"x": values}))


@pytest.mark.parametrize("lazy", [False, True])
def test_objects_in_polars_are_refused(lazy):
    frame = pl.DataFrame({"n": [1], "x": [Opaque()]}, schema={"n": pl.Int64, "x": pl.Object})

    with pytest.raises(InputError, match='column "x": Python objects; expected numbers'):
        open_source(frame.lazy() if lazy else frame)


@pytest.mark.parametrize("series", [pd.Series([1, 2], name="x"), pl.Series("x", [1, 2])])
def test_a_series_with_a_name_is_a_column(series):
    assert rows(open_source(series)) == {"x": [1, 2]}


@pytest.mark.parametrize(
    "series", [pd.Series([1, 2]), pd.DataFrame({"x": [1], "y": ["a"]}).iloc[0], pl.Series([1])]
)
def test_a_series_without_a_name_may_be_a_row_and_is_refused(series):
    with pytest.raises(InputError, match="a Series without a name of its own; expected a frame"):
        open_source(series)


def test_sparse_columns_of_pandas_are_numbers():
    frame = pd.DataFrame(
        {
            "a": pd.arrays.SparseArray([0.0, 0.0, 1.5, None]),
            "b": pd.arrays.SparseArray([0, 0, 1, 0]),
            "c": pd.arrays.SparseArray([False, False, True, False]),
        }
    )
    source = open_source(frame)

    assert source.schema.types == [pa.float64(), pa.int64(), pa.bool_()]
    (batch,) = source.batches()
    assert batch.column("a").to_pylist() == [0.0, 0.0, 1.5, None]


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


@pytest.mark.parametrize("left", [6, 300])
def test_a_parquet_file_that_was_cut_off_is_named_among_others(tmp_path, left):
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(pa.table({"n": list(range(1000))}), tmp_path / name)
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:left])

    with pytest.raises(InputError) as failed:
        open_source(tmp_path)

    assert str(failed.value) == (
        f"{tmp_path}/b.parquet: not readable as Parquet (its end is missing: was it cut off on "
        "the way?)"
    )


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


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no data file"):
        open_source(tmp_path)


def test_files_of_two_forms_are_not_mixed(tmp_path):
    write(tmp_path, "a.csv", "a\nx\n")
    write(tmp_path, "b.jsonl", '{"a": 1}\n')
    write(tmp_path, "c.csv", "a\ny\n")

    with pytest.raises(InputError, match=r"b.jsonl: its content is JSON, and CSV in 2 of 3 files"):
        open_source(tmp_path)


def test_a_type_must_fit_the_values_of_every_part():
    parts = [pa.record_batch({"x": ["5"]}), pa.record_batch({"x": ["true"]})]

    assert narrow(parts) == {"x": pa.string()}
    assert narrow([parts[0], pa.record_batch({"x": ["2.5"]})]) == {"x": pa.float64()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nx,c\n1,a\n", {"x": [1], "c": ["a"]}),
        ("\r\nx,c\r\n1,a\r\n", {"x": [1], "c": ["a"]}),
        ('"x\nnew",c\n1,a\n', {"x\nnew": [1], "c": ["a"]}),
        ('x;"c,d,e"\n1;a\n', {"x": [1], "c,d,e": ["a"]}),
        ("x,c\r1,a\r", {"x": [1], "c": ["a"]}),
        ("\n1,2\n3,4\n", {"_c0": [1, 3], "_c1": [2, 4]}),
    ],
)
def test_a_header_is_found_whatever_stands_around_it(tmp_path, text, expected):
    assert rows(open_source(write(tmp_path, "a.csv", text))) == expected


@pytest.mark.parametrize("signature", [None, infer_signature(pa.schema([("c", pa.string())]))])
def test_text_that_is_not_utf8_is_refused_with_or_without_a_signature(tmp_path, signature):
    path = write(tmp_path, "a.csv", "c\nM\xfcnchen\n".encode("latin-1"))

    with pytest.raises(InputError, match="is not UTF-8"):
        open_source(path, signature=signature)


def test_json_texts_may_hold_other_line_ends(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"c": "a\u2028b"}\n{"c": "\x85"}\r\n')

    assert rows(open_source(path)) == {"c": ["a\u2028b", "\x85"]}


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


def test_whole_numbers_beyond_64_bits_and_half_characters_become_text(tmp_path):
    path = write(tmp_path, "a.jsonl", f'{{"x": {2**70}, "c": "\\ud800"}}\n')
    frame = pd.DataFrame({"x": [2**70], "c": pd.Series(["\ud800"], dtype=object)})

    for data in (path, frame):
        assert rows(open_source(data)) == {"x": [str(2**70)], "c": ["?"]}


def test_decimals_beyond_numbers_become_text():
    frame = pd.DataFrame({"x": [Decimal("1.5"), Decimal("Infinity"), Decimal("NaN")]})

    assert rows(open_source(frame)) == {"x": ["1.5", "Infinity", None]}


def test_json_files_that_disagree_on_a_type_are_read_as_text(tmp_path):
    write(tmp_path, "a.jsonl", '{"x": 1, "y": 2}\n')
    write(tmp_path, "b.jsonl", '{"x": "q"}\n')

    assert rows(open_source(tmp_path)) == {"x": ["1", "q"], "y": [2, None]}


def test_times_of_the_day_are_texts_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,at\n1,12:30\n2,13:45\n")

    (batch,) = open_source(tmp_path / "a.csv").batches()

    assert batch["at"].to_pylist() == ["12:30", "13:45"]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_sign_across_two_blocks_is_seen(size: int) -> None:
    watch = QuoteWatch(pa.BufferReader(b"hex\n0x1F\n"), ",")

    while watch.read(size):
        pass

    assert watch.has_odd_numbers


def test_what_only_arrow_takes_for_a_number_is_text_in_large_files_too(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_text("hex,whole,broken\n1,2,3\n0x1F,3,nan(1)\n3,4,5\n")
    place = locate(file)

    rows = CsvRows.open([CsvFile.look(place, place.read(), None)])

    text = pa.string()
    assert dict(rows.types) == {"hex": text, "whole": pa.int64(), "broken": text}
    small = {one.name: one.type for one in open_source(file).schema}
    assert small == dict(rows.types)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "3,x,1\n4,y,0\n"),
        ("a.json", '{"instances": [{"features": [3, "x"], "label": 1}, '
                   '{"features": [4, "y"], "label": 0}]}'),
        ("a.jsonl", '[3, "x", 1]\n[4, "y", 0]\n'),
    ],
)  # fmt: skip
def test_rows_without_names_take_those_that_the_user_gives(tmp_path, name, text):
    path = write(tmp_path, name, text)
    sent = pa.table({"town": ["x"], "late": [1], "age": [3]})
    known = infer_signature(sent.schema, Roles())

    named = dl.Files(path, names=["age", "town", "late"])

    for signature in (None, known):
        found = rows(open_source(named, signature=signature))
        assert found == {"age": [3, 4], "town": ["x", "y"], "late": [1, 0]}
    for wrong in (["age", "late"], ["age", "town", "late", "more"]):
        with pytest.raises(InputError, match=f"rows of 3 values without names, and {len(wrong)}"):
            open_source(dl.Files(path, names=wrong))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "years,town\n3,x\n"), ("a.jsonl", '{"years": 3, "town": "x"}\n')],
)
def test_names_of_the_data_itself_are_kept(tmp_path, name, text):
    found = rows(open_source(dl.Files(write(tmp_path, name, text), names=["age", "city"])))

    assert found == {"years": [3], "town": ["x"]}


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(InputError, match='names: "age" stands twice; expected each once'):
        dl.Files("a.csv", names=["age", "age"])


def test_names_are_those_of_the_input_that_batch_transform_joined_with_its_answer(tmp_path):
    answer = {"SageMakerOutput": {"predicted_label": 1, "score": 0.9}, "features": [28, 2]}
    record = {
        "captureData": {"batchTransformOutput": {"data": json.dumps(answer), "encoding": "JSON"}},
        "groundTruthData": {"data": '{"label": 1}', "encoding": "JSON"},
        "eventMetadata": {"eventId": "1"},
    }
    lines = write(tmp_path, "merged.jsonl", json.dumps(record) + "\n")

    found = rows(open_source(dl.Files(lines, names=["age", "class", "target"])))

    assert found == {
        "predicted_label": [1], "score": [0.9], "age": [28], "class": [2], "target": [1],
    }  # fmt: skip
