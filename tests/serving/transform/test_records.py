import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.formats.location import locate
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.records import all_ends, read_batches


def spec_of(**more: object) -> TransformJobSpec:
    source = {"s3_data_source": {"s3_uri": "/data"}}
    fields = {"split_type": "Line", **more}
    top = {key: fields.pop(key) for key in ("batch_strategy", "max_payload_in_mb") if key in fields}
    return TransformJobSpec.model_validate(
        {
            "transform_job_name": "j",
            "model_name": "m",
            "transform_input": {"data_source": source, **fields},
            "transform_output": {"s3_output_path": "/out"},
            **top,
        }
    )


def read_all(file, spec, offset=0, first=1):
    return list(read_batches(locate(file), spec, offset, first))


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

    ends = all_ends(content, is_csv=True)

    starts = [0, *ends[:-1].tolist()]
    cut = [content[a:b].decode() for a, b in zip(starts, ends.tolist(), strict=True)]
    assert [next(csv.reader(io.StringIO(one, newline=""))) for one in cut] == rows


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_batches_are_the_file_and_any_end_is_a_place_to_go_on(tmp_path, strategy):
    file = tmp_path / "rows.csv"
    lines = [f'{at},"a ""b""\nc",{"x" * (at % 97)}\n' for at in range(30_000)]
    file.write_text("".join(lines))
    spec = spec_of(batch_strategy=strategy, max_payload_in_mb=1)

    batches = read_all(file, spec)

    assert b"".join(one.content for one in batches) == file.read_bytes()
    assert [one.decode() for part in batches for one in part.records()] == lines
    assert max(len(one.content) for one in batches) <= 1 << 20
    middle = batches[len(batches) // 2]
    rest = read_all(file, spec, middle.end, middle.first + middle.count)
    later = [one for one in batches if one.first > middle.first]
    assert [(one.first, one.offset, one.content) for one in rest] == [
        (one.first, one.offset, one.content) for one in later
    ]


def test_packed_text_is_cut_alike_from_any_place(tmp_path):
    text = b"".join(b"%d,%d\n" % (at, at * at) for at in range(200_000))
    (tmp_path / "plain.csv").write_bytes(text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text))
    spec, packed = (
        spec_of(max_payload_in_mb=1),
        spec_of(max_payload_in_mb=1, compression_type="Gzip"),
    )

    expected = read_all(tmp_path / "plain.csv", spec)
    found = read_all(tmp_path / "packed.csv.gz", packed)

    assert [one.content for one in found] == [one.content for one in expected]
    half = found[1]
    again = read_all(tmp_path / "packed.csv.gz", packed, half.end, half.first + half.count)
    assert [one.content for one in again] == [one.content for one in expected[2:]]
