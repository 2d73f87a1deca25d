"""A large body gives the model and the table what its rows give in small ones, to the bit."""

import json
from codecs import BOM_UTF8

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.formats.bodies import Sent, read_requests, read_responses
from driftline.formats.large_bodies import LARGE_BYTES
from driftline.formats.shapes.requests import RequestRows
from driftline.serving.bodies.rows import RowsError, read_columns, read_numbers
from driftline.signature import Column, Signature

KINDS = ("double", "int64", "string", "bool", "timestamp")
NUMBERS = ["double", "double"]
VALUES = st.one_of(
    st.floats(), st.integers(-(2**65), 2**65), st.integers(-(10**30), 10**30), st.booleans(),
    st.none(),
    st.sampled_from(["", "1e5", "1_0", "nan", "x", "2013-01-15", "true", [1], {"a": 10**25}]),
)  # fmt: skip
USUAL = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9))
FIELDS = st.one_of(
    st.sampled_from(
        ["", " ", "1", " 1", "+1", "-0", "-0.0", "1.", ".5", "1e5", "1e400", "nan", "inf", "0x1F",
         "1_0", "007", "9007199254740993", "18446744073709551616", "true", "null", "false", '"1"',
         '"a,b"', "[1", "2]", "1],[2", "{}", "\r", "1\r", "a", "b", "é", "\ufeff1", "\x00"]
    ),
    st.floats().map(repr),
    st.integers(-(2**65), 2**65).map(str),
)  # fmt: skip


def signature(kinds, *, are_outputs=False) -> Signature:
    columns = tuple(
        Column(name, f"feature_{name}", kind) for name, kind in zip("ab", kinds, strict=True)
    )
    if not are_outputs:
        return Signature(columns)
    roles = ("prediction", "probability")
    return Signature(
        (Column("x", "feature_x", "double"),),
        tuple(Column(role, role, kind, role=role) for role, kind in zip(roles, kinds, strict=True)),
    )


def sent(body: bytes, media_type: str) -> Sent:
    nothing = pa.nulls(1, pa.string())
    types = pa.array([media_type])
    return Sent(
        pa.array([body], pa.binary()), types, nothing, nothing, np.ones(1, np.bool_), [None]
    )


def stored(body: bytes, media_type: str, of: Signature, answers: int | None = None):
    """What the table keeps: values and unfit texts of each column, unknown fields, the error."""
    if answers is None:
        found = read_requests(sent(body, media_type), of)
    else:
        found = read_responses(sent(body, media_type), of, np.array([answers]))
    columns = [
        (repr(column.values.to_pylist()), column.unfit.tolist(), column.texts)
        for column in found.columns
    ]
    return columns, found.extras, found.errors


def many(size: int) -> int:
    return 2 * LARGE_BYTES // max(size, 1) + 1


def repeated(found, count: int, rows: int):
    """What a body of ``rows`` rows, repeated, has to give."""
    columns, extras, errors = found
    repetitions = range(count)
    return (
        [
            (
                "[" + ", ".join([values[1:-1]] * count) + "]",
                [at + time * rows for time in repetitions for at in unfit],
                texts * count,
            )
            for values, unfit, texts in columns
        ],
        [(row + time * rows, name, text) for time in repetitions for row, name, text in extras],
        errors,
    )


def times(columns, count: int):
    """What the model gets of a body that repeats another one."""
    return columns and ["[" + ", ".join([values[1:-1]] * count) + "]" for values in columns]


def served(body: bytes, form, of: Signature):
    """What the model gets, by columns; None where the request is refused."""
    finder = RequestRows(of, is_strict=True)
    numbers = read_numbers(body, form, finder, 1 << 20)
    if numbers is not None:
        return [repr(column.tolist()) for column in np.atleast_2d(numbers).T]
    try:
        columns = read_columns(body, form, finder, 1 << 20)
    except RowsError:
        return None
    return [repr(values.tolist()) for values in columns.values()]


def as_lists(rows):
    return {"instances": rows}


def as_objects(rows):
    return {"instances": [dict(zip("ab", row, strict=True)) for row in rows]}


def as_records_with_more(rows):
    return [{"b": row[1], "a": row[0], "id": row[0]} for row in rows]


def as_split(rows):
    return {"dataframe_split": {"columns": ["b", "a"], "data": [row[::-1] for row in rows]}}


def as_tensors(rows):
    count = len(rows)
    return {
        "inputs": [
            {"name": name, "shape": [count, 1], "datatype": "FP64", "data": [*values]}
            for name, values in zip("ab", zip(*rows, strict=True), strict=True)
        ]
    }


def as_one_tensor(rows):
    values = [value for row in rows for value in row]
    shape = [len(rows), 2]
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": values}]}


@given(
    st.lists(st.sampled_from(KINDS), min_size=2, max_size=2) | st.just(NUMBERS),
    st.lists(st.lists(VALUES | USUAL, min_size=2, max_size=2), min_size=2, max_size=3)
    | st.lists(st.lists(USUAL, min_size=2, max_size=2), min_size=2, max_size=3),
    st.sampled_from(
        [as_lists, as_objects, as_records_with_more, as_split, as_tensors, as_one_tensor]
    ),
)
@example(NUMBERS, [[1, 2.5], [-0.0, 2**53 + 1]], as_lists)
@example(NUMBERS, [[1e300, None], [10**30, True]], as_objects)
@example(NUMBERS, [[1, 2.5], [3, 4]], as_split)
@example(NUMBERS, [[1, 2.5], [3, 4]], as_tensors)
@example(NUMBERS, [[1, 2.5], [3, 4]], as_one_tensor)
@example(["int64", "string"], [[1, "x"], [10**30, 10**30]], as_lists)
def test_a_large_json_body_gives_what_its_rows_give_in_a_small_one(kinds, rows, written):
    of = signature(kinds)
    small = json.dumps(written(rows)).encode()
    count = many(len(json.dumps(rows)))
    large = json.dumps(written(rows * count)).encode()
    assert len(large) >= LARGE_BYTES

    whole = stored(large, "application/json", of)
    assert whole == repeated(stored(small, "application/json", of), count, len(rows))

    given_model = served(large, "json", of)
    expected = served(small, "json", of)
    assert given_model == (
        expected and ["[" + ", ".join([v[1:-1]] * count) + "]" for v in expected]
    )


@given(
    st.lists(st.lists(FIELDS, min_size=2, max_size=2).map(",".join), min_size=2, max_size=3)
    | st.lists(st.lists(USUAL.map(repr), min_size=2, max_size=2).map(",".join), min_size=2)
    | st.lists(st.text("01.e-,[]\r\n", max_size=8), min_size=1, max_size=3),
    st.sampled_from(["\n", "\r\n"]),
)
@example(["1],[2", "1,2"], "\n")
@example(["1,\r2", "1,2"], "\n")
@example(["-0,1", "1,2"], "\n")
@example(["1,2,3", "1"], "\n")
@example(["\ufeff1,", ","], "\n")
def test_a_large_csv_body_gives_what_its_rows_give_in_a_small_one(lines, end):
    of = signature(NUMBERS)
    # Of lines that hold line ends, or are empty, parts do not go together as lines do; nor do
    # those that begin with a byte order mark, which is one at the beginning alone.
    part = (end.join(lines) + end).encode()
    count = many(len(part))
    small, large = stored(part, "text/csv", of), stored(part * count, "text/csv", of)
    rows = 0 if small[2][0] else small[0][0][0].count(",") + 1
    if small[2][0] is not None:
        assert large[2][0] is not None
    elif not part.startswith((b"\n", b"\r", BOM_UTF8)) and set("ab") - set(lines[0].split(",")):
        assert large == repeated(small, count, rows)

    expected, given_model = served(part, "csv", of), served(part * count, "csv", of)
    if expected is None:
        assert given_model is None
    elif given_model is not None:
        assert given_model == times(expected, count)


ANSWERS = st.one_of(
    st.integers(0, 1), st.floats(0, 1), st.none(), st.booleans(), st.integers(-(10**30), 10**30),
    st.sampled_from(["late", "", [0.2, 0.8], {"a": 1}]),
)  # fmt: skip


@given(
    st.sampled_from([["int64", "double"], ["string", "double"], ["double", "double"]]),
    st.lists(st.lists(ANSWERS, min_size=2, max_size=2), min_size=2, max_size=3)
    | st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)).map(list), min_size=2, max_size=3),
)
def test_a_large_answer_gives_what_its_rows_give_in_a_small_one(kinds, rows):
    of = signature(kinds, are_outputs=True)

    def written(some):
        names = ("prediction", "probability")
        return json.dumps({"predictions": [dict(zip(names, row, strict=True)) for row in some]})

    count = many(len(json.dumps(rows)))
    small = stored(written(rows).encode(), "application/json", of, len(rows))
    large = stored(written(rows * count).encode(), "application/json", of, len(rows) * count)

    assert large == repeated(small, count, len(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_body_of_nulls_holds_no_values(kind):
    body = json.dumps([[None, None]] * LARGE_BYTES).encode()

    columns, extras, errors = stored(body, "application/json", signature([kind, kind]))

    assert columns == [(repr([None] * LARGE_BYTES), [], [])] * 2
    assert (extras, errors) == ([], [None])


TENSOR = {"name": "x", "shape": [2000, 2], "datatype": "FP64", "data": [1.5] * 4001}
ROWS_OF_TWO = [[1.5, 2.5]] * 2000


@pytest.mark.parametrize("kinds", [NUMBERS, ["string", "double"]], ids=["numbers", "texts"])
@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [TENSOR]},
        {"dataframe_split": {"columns": ["a", "b", "a"], "data": ROWS_OF_TWO}},
        {
            "inputs": [
                {**TENSOR, "name": "a", "shape": [4001]},
                {**TENSOR, "name": "b", "shape": [1], "data": [1.5]},
            ]
        },
    ],
    ids=["tensor", "split", "tensors"],
)
def test_a_large_body_of_uneven_columns_is_refused_as_a_small_one_is(kinds, document):
    body = json.dumps(document).encode()
    assert len(body) >= LARGE_BYTES

    assert served(body, "json", signature(kinds)) is None
    assert stored(body, "application/json", signature(kinds))[2][0] is not None
