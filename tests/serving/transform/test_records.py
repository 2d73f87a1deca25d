import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.parquet import TableAssembly
from driftline.serving.transform.records import Batch, TextAssembly, split_records
from driftline.serving.transform.row_path import PathError, RowPath
from driftline.signature import Signature


def spec_of(**more: object) -> TransformJobSpec:
    source = {"s3_data_source": {"s3_uri": "/data"}}
    given = {"split_type": "Line", **more}
    inside = ("split_type", "compression_type", "skip_header"), ("accept", "assemble_with")
    read, written = ({key: given.pop(key) for key in keys if key in given} for keys in inside)
    return TransformJobSpec.model_validate(
        {
            "transform_job_name": "j",
            "model_name": "m",
            "transform_input": {"data_source": source, **read},
            "transform_output": {"s3_output_path": "/out", **written},
            **given,
        }
    )


def read_all(file, spec):
    return list(TextAssembly(spec, locate(file)).batches())


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=1),
        min_size=1,
    )
)
def test_csv_is_cut_where_the_csv_module_ends_rows(rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    content = text.getvalue().encode()

    cut = [one.decode() for one in split_records(content, is_csv=True)]

    assert "".join(cut) == text.getvalue()
    assert [next(csv.reader(io.StringIO(one, newline=""))) for one in cut] == rows


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("compression", ["None", "Gzip"])
def test_batches_are_the_file(tmp_path, strategy, compression):
    file = tmp_path / "rows.csv"
    lines = [f'{at},"a ""b""\nc",{"x" * (at % 97)}\n' for at in range(20_000)]
    content = "".join(lines).encode()
    file.write_bytes(content if compression == "None" else gzip.compress(content))
    spec = spec_of(batch_strategy=strategy, max_payload_in_mb=1, compression_type=compression)

    batches = read_all(file, spec)

    assert [one.decode() for part in batches for one in part.records] == lines
    assert max(sum(map(len, one.records)) for one in batches) <= 1 << 20
    assert [one.first for one in batches[:2]] == [1, 1 + len(batches[0])]


def test_what_no_row_of_the_first_answer_has_is_a_number(tmp_path):
    table = TableAssembly(spec_of(), locate(tmp_path / "rows.parquet"), Signature(()), ())

    answers = [table.output(Batch([b"1"], 1), one)["prediction"] for one in (b"null", b"0.5")]

    assert [one.to_pylist() for one in answers] == [[None], [0.5]]
    assert answers[0].type == answers[1].type


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("a,b\n1,2\n \n\n", [b"1,2\n"]),
        ("a,b\n1,2\n\n3,4", [b"1,2\n", b"\n", b"3,4"]),
        ("a,b", []),
    ],
)
def test_header_and_blank_ends_are_left_out(tmp_path, text, records):
    (tmp_path / "rows.csv").write_text(text)

    found = read_all(tmp_path / "rows.csv", spec_of(skip_header=True))

    assert [one for part in found for one in part.records] == records
    assert [part.first for part in found] == ([2] if records else [])


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,2\n" + "x" * (1 << 20) + "\n3,4\n", 2), ('1,"' + "x\n" * (1 << 20), 1)],
)
def test_a_record_that_is_too_large_is_named(tmp_path, text, number):
    (tmp_path / "rows.csv").write_text(text)

    with pytest.raises(InputError, match=f"record {number} "):
        read_all(tmp_path / "rows.csv", spec_of(max_payload_in_mb=1))


@pytest.mark.parametrize(
    "change",
    [
        {"max_payload_in_mb": 100, "max_concurrent_transforms": 2},
        {"data_processing": {"input_filter": "$.a"}},
        {"data_processing": {"join_source": "Input"}, "accept": "application/json"},
        {"accept": "application/x-parquet"},
        {"assemble_with": "None"},
        {"data_processing": {"input_filter": "$..a"}},
        {"data_processing": {"input_filter": "$[1:2:3]"}},
    ],
)
def test_what_does_not_go_together_is_refused(change):
    with pytest.raises((ValidationError, PathError)):
        spec_of(**change)


# The exclusive ends are those of Jayway's JsonPath, which SageMaker's guide names.
@pytest.mark.parametrize(
    ("path", "chosen"),
    [("$", "abcdef"), ("$[0, -1]", "af"), ("$[1:4]", "bcd"), ("$[0,4:]", "aef")],
)
def test_a_path_chooses_of_a_row(path, chosen):
    assert RowPath(path)([*"abcdef"]) == [*chosen]
    with pytest.raises(PathError):
        RowPath("$[6]")([*"abcdef"])
