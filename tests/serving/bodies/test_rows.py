import json
import string

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from driftline.formats.shapes.requests import RequestRows
from driftline.serving.bodies.rows import RowLimitError, RowsError, read_columns, read_numbers
from driftline.signature import Column, ColumnType, Signature


def rows_of(*columns: Column) -> RequestRows:
    return RequestRows(Signature(columns), is_strict=True)


COLUMNS = rows_of(
    Column("carrier", "feature_carrier", "string"),
    Column("distance", "feature_distance", "int64"),
    Column("temp", "feature_temp", "double"),
    Column("is_hub", "feature_is_hub", "bool"),
)


BODIES = {
    "lists": lambda count: {"instances": [[1]] * count},
    "objects": lambda count: [{"n": 1}] * count,
    "values": lambda count: [1] * count,
    "columns": lambda count: {"n": [1] * count},
    "a frame": lambda count: {"dataframe_split": {"columns": ["n"], "data": [[1]] * count}},
    "tensors": lambda count: {
        "inputs": [{"name": "n", "shape": [count], "datatype": "INT64", "data": [1] * count}]
    },
    "csv": lambda count: b"1\n" * count,
    "jsonlines": lambda count: b"[1]\n" * count,
}


@pytest.mark.parametrize("name", BODIES)
def test_more_rows_than_the_limit_are_refused_in_every_form(name):
    signature = Signature((Column("n", "feature_n", "int64"),))
    rows = RequestRows(signature, is_strict=True, max_rows=10)
    form = name if name in ("csv", "jsonlines") else "json"
    ten, eleven = (
        found if isinstance(found := BODIES[name](count), bytes) else json.dumps(found).encode()
        for count in (10, 11)
    )

    assert read_columns(ten, form, rows, 10)["n"].tolist() == [1] * 10
    for expected in (rows,) if name == "values" else (rows, None):  # Which are one row, too.
        with pytest.raises(RowLimitError, match="more than 10 rows; send them in several"):
            read_columns(eleven, form, expected, 10)


@pytest.mark.parametrize(
    ("form", "body", "place"),
    [
        ("csv", "UA,1,2,true\nUA,x,2,true", 'row 2, column "distance"'),
        ("csv", "carrier,distance,temp,is_hub\n", 'row 1, column "distance"'),
        ("csv", "is_hub,carrier,distance,temp\ntrue,UA,1", "row 1 has 3 values"),
        ("csv", "UA,1,2,true\n\nUA,1,2,true", "row 2 has 0 values"),
        ("csv", "", "empty"),
        ("json", "5", ""),
        ("json", '{"instances": 5}', ""),
        ("json", '["UA", 1, 2]', "row 1 has 3 values"),
        ("json", '["UA", 1, [2], true]', "row 1 is"),
        ("json", "[" * 100_000, "nested"),
        ("json", '[["UA", 1' + "0" * 400 + ", 2, true]]", "is not a number"),
        ("json", '[["UA", 1' + "0" * 4300 + ", 2, true]]", "digits"),
        ("json", '[["\\ud800", 1, 2, true]]', "is not text"),
    ],
)
def test_a_bad_body_is_refused_and_the_place_named(form, body, place):
    with pytest.raises(RowsError) as refusal:
        read_columns(body.encode(), form, COLUMNS)

    assert place in str(refusal.value)
    assert "sys." not in str(refusal.value)
    assert "\n" not in str(refusal.value)


NAMES = st.sampled_from(["instances", "features", "carrier", "distance", "temp", "is_hub", "x"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("nan")
)
documents = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
cells = st.text(string.printable + "é١\x00", max_size=6)
lines = st.lists(st.lists(cells, min_size=3, max_size=5).map(",".join), max_size=4)


@given(
    documents.map(lambda document: json.dumps(document).encode())
    | lines.map(lambda found: "\n".join(found).encode())
    | st.binary(max_size=60),
    st.sampled_from(["csv", "json", "jsonlines"]),
    st.booleans(),
)
def test_any_body_is_read_or_refused_in_one_sentence(body, form, is_known):
    try:
        found = read_columns(body, form, COLUMNS if is_known else None)
    except RowsError as refusal:
        assert "\n" not in str(refusal)
        assert len(str(refusal)) < 300
    else:
        assert len({len(column) for column in found.values()}) == 1
        assert len(next(iter(found.values()))) >= 1


NUMBERS = RequestRows(
    Signature(tuple(Column(name, f"feature_{name}", "double") for name in "ab")),
    is_strict=True, max_rows=10,
)  # fmt: skip
USUAL = st.floats(width=32) | st.integers() | st.integers(-(10**400), 10**400)
ODD = st.sampled_from(["", " ", '"1"', "1_0", "١", "nan", " 2 ", "\r", "\n", "x", "0x1", "1e999"])


CSV_ROWS = st.builds(
    str.__add__,
    st.lists(USUAL.map(str) | ODD | st.text(max_size=3), min_size=1, max_size=3).map(",".join),
    st.sampled_from(["", "\n", "\r\n", "\n\n", "\n1,2"]),
)
JSON_ROWS = st.recursive(
    USUAL | st.none() | st.booleans() | st.text(max_size=2), st.lists, max_leaves=5
).map(lambda rows: json.dumps({"instances": rows}))


@given(CSV_ROWS.map(lambda text: (text, "csv")) | JSON_ROWS.map(lambda text: (text, "json")))
def test_rows_of_numbers_are_read_as_columns_are(sent):
    text, form = sent
    body = text.encode("utf-8", "replace")
    found = read_numbers(body, form, NUMBERS, 10)

    if found is not None:
        columns = np.array([*read_columns(body, form, NUMBERS, 10).values()])
        np.testing.assert_array_equal(np.reshape(found, (-1, len(columns))), columns.T)


def test_missing_truth_values_reach_the_model_as_the_reference_has_them():
    columns = rows_of(
        Column("read", "feature_read", "bool", missing="nan"),
        Column("kept", "feature_kept", "bool"),
    )

    found = read_columns(b"true,true\n,\n", "csv", columns)

    assert repr(found["read"].tolist()) == "[True, nan]"
    assert found["kept"].tolist() == [True, None]
    assert read_columns(b"true,true\n", "csv", columns)["read"].dtype == bool


def test_times_reach_the_model_in_the_unit_of_the_reference():
    columns = rows_of(
        Column("at", "feature_at", "timestamp", unit="ns"),
        Column("day", "feature_day", "timestamp", unit="s"),
        Column("seen", "feature_seen", "timestamp"),
    )

    found = read_columns(b"1970-01-01T00:00:01Z,1970-01-01T00:00:02Z,\n", "csv", columns)

    assert found["at"].dtype == np.dtype("datetime64[ns]")
    assert found["at"].astype(np.int64).tolist() == [10**9]
    assert found["day"].astype(np.int64).tolist() == [2]
    assert found["seen"].dtype == np.dtype("datetime64[us]")
    with pytest.raises(RowsError, match=r'row 2, column "at": 9999-12-31.* 1677-09-22 to 2262'):
        read_columns(b"2020-01-01,2020-01-01,\n9999-12-31,2020-01-01,\n", "csv", columns)


KINDS: tuple[ColumnType, ...] = ("int64", "double", "string", "bool", "timestamp")
# Among them what readers of numbers differ about.
FIELDS = st.one_of(
    st.sampled_from(
        ["", " ", "1", " 1", "+1", "-0", "-0.0", "1.", ".5", "1e5", "1e400", "nan", "NaN", "-nan",
         "nan(1)", "inf", "0x1F", "1_0", "007", "9007199254740993", "9223372036854775807",
         "9223372036854775808", "1.5", "3.0", "true", "TRUE", "tRUE", "False", "0", "2", "yes",
         "2013-01-15", "2013-02-30", "2013-01-15T10:00Z", "2013-01-15 10:00:00.1234567+0530", "NA",
         "null", "1\u00a0", "١", "a\0b", '"1"', '"a,b"', "é", "\ufeff1", "\r", "a", "b", "c"]
    ),
    st.floats().map(repr),
    st.integers(-(2**65), 2**65).map(str),
    st.text(max_size=3),
)  # fmt: skip


@given(
    st.lists(st.sampled_from(KINDS), min_size=3, max_size=3),
    st.lists(st.lists(FIELDS, min_size=3, max_size=3).map(",".join), min_size=1, max_size=3),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_a_large_csv_body_is_read_as_its_parts_are(kinds, lines, end, mark):
    assume(not lines[0].startswith("\ufeff"))  # A mark at the begin alone, in the middle a sign.
    columns = rows_of(
        *(Column(name, f"feature_{name}", kind) for name, kind in zip("abc", kinds, strict=True))
    )
    part = end.join([*lines, ""])
    many = (1 << 16) // len(part.encode("utf-8", "replace")) + 1
    try:
        expected = read_columns(part.encode("utf-8", "replace"), "csv", columns)
    except RowsError:
        expected = None

    try:
        found = read_columns((mark + many * part).encode("utf-8", "replace"), "csv", columns)
    except RowsError:
        found = None

    # Of a header the first part has one row less than the others, which hold no such row.
    assert (found is None) == (expected is None) or set("abc") <= {*lines[0].split(",")}
    for name in expected if expected and found else ():
        assert found[name].dtype == expected[name].dtype
        assert repr(found[name].tolist()) == repr(many * expected[name].tolist())
