"""Reading in bulk gives what reading with care gives, body by body and value by value."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftline.formats.arrow_types import UTC_MICROSECONDS
from driftline.formats.body_columns import Bodies, Reading, Wanted
from driftline.formats.cells import MisfitError, read_cell
from driftline.formats.coercion import Coerced, _one_by_one, from_array
from driftline.formats.csv.bodies import _read_carefully, read_csv
from driftline.formats.shapes.requests import RequestRows
from driftline.formats.shapes.responses import AnswerRows
from driftline.signature import Column, ColumnType, Role, Signature
from tests.driftline.formats.decode_tools import JSON, SIGNATURE, decode, features, frame

# By turns of the profile: 50 examples in each run, 500 at full length.
TWICE = settings(max_examples=2 * settings().max_examples)
THRICE = settings(max_examples=3 * settings().max_examples)
KINDS: tuple[ColumnType, ...] = ("int64", "double", "string", "bool", "timestamp")
# What readers of numbers differ about.
ODD = [
    "", " ", "1", " 1", "1 ", "\t1", "+1", "-1", "1.", ".5", "-.5", "1e5", "1E5", "1e400", "1e-400",
    "nan", "NaN", "-nan", "nan(1)", "NAN(ab)", "inf", "-Infinity", "0x1F", "0X1f", "1_0", "1,0",
    "007", "-0", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1.5", "3.0",
    "true", "TRUE", "tRUE", "False", "0", "2", "yes", "2013-01-15", "2013-02-30",
    "1\u00a0", "１", "a\0b", "null", "NULL", "NA", "N/A", "#N/A", "1d", "1f", "0b1", "é",
    "2013-01-15T10:00Z", "2013-01-15 10:00:00.1234567+0530", "2013-01-15T10:00:60Z", "0000-01-01",
    "9007199254740993.0", "0.0", "1.0", ".0", "-.0", "9999-12-31T23:59:59-00:01",
]  # fmt: skip
cells = st.one_of(
    st.sampled_from(ODD),
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.text(max_size=4),
)
# Lines and what is nearly lines: many are clean, some are not.
line = st.lists(cells, min_size=1, max_size=4).map(",".join)
bodies = st.one_of(
    st.lists(st.lists(st.sampled_from(ODD), min_size=3, max_size=3).map(",".join), max_size=3).map(
        "\n".join
    ),
    st.lists(line, max_size=4).flatmap(
        lambda lines: st.sampled_from(["\n", "\r\n", "\r", "\n\n"]).map(lambda end: end.join(lines))
    ),
).flatmap(lambda text: st.sampled_from(["", "\n", "\r\n", "\n\n"]).map(lambda end: text + end))


def told(found: Coerced) -> tuple[list[str], list[tuple[int, str]]]:
    # NaN is not equal to itself, -0.0 is to 0.0: compared as written.
    return [repr(value) for value in found.values.to_pylist()], sorted(
        zip(found.unfit.tolist(), found.texts, strict=True)
    )


def by_body(found: Bodies) -> list[tuple[str | None, list[Any]]]:
    columns = [told(column) for column in found.columns]
    spans = zip(found.errors, found.starts.tolist(), found.counts.tolist(), strict=True)
    return [
        (
            error,
            [
                (
                    values[start : start + count],
                    [(row - start, text) for row, text in unfit if 0 <= row - start < count],
                )
                for values, unfit in columns
            ],
        )
        for error, start, count in spans
    ]


@given(st.lists(cells, max_size=8), st.sampled_from(KINDS))
@TWICE
def test_a_column_is_read_as_its_cells_are(texts: list[str], kind: ColumnType) -> None:
    expected: list[object] = []
    unfit = []
    for row, text in enumerate(texts):
        try:
            expected.append(read_cell(text, kind))
        except MisfitError:
            expected.append(None)
            unfit.append((row, text))

    found, lost = told(from_array(pa.array(texts, pa.string()), kind))

    assert (found, lost) == ([_as_shown(value) for value in expected], unfit)


def _as_shown(value: object) -> str:
    is_time = isinstance(value, datetime)
    return repr(pa.scalar(value, UTC_MICROSECONDS).as_py() if is_time else value)


@given(
    st.lists(bodies, min_size=1, max_size=5),
    st.lists(st.sampled_from(KINDS), min_size=3, max_size=3),
    st.lists(st.sampled_from(["prediction", "probability"]), min_size=3, max_size=3),
    st.booleans(),
)
@TWICE
def test_csv_is_read_alike_at_once_and_body_by_body(
    texts: list[str], kinds: list[ColumnType], roles: list[Role], is_ragged: bool
) -> None:
    columns = tuple(
        Column(name, f"feature_{name}", kind, role=role)
        for name, kind, role in zip("abc", kinds, roles, strict=True)
    )
    answers = AnswerRows(Signature((), columns)) if is_ragged else None
    contents = pa.array([text.encode("utf-8", "surrogatepass") for text in texts], pa.binary())
    indices = np.arange(len(texts))
    at_once, with_care = (Reading(columns, [None] * len(texts)) for _ in range(2))

    finder = answers or RequestRows(Signature((), ()))
    read_csv(Wanted(at_once, finder), indices, contents)
    _read_carefully(with_care, indices, contents, range(len(texts)), answers)

    assert by_body(at_once.result()) == by_body(with_care.result())


names = st.sampled_from(
    ["a", "b", "c", "late", "score", "prediction", "features", "instances", "x", "data", "columns",
     "name", "shape", "datatype", "inputs", "outputs", "predictions"]
)  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.sampled_from(["s", ""]))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(scalars, min_size=3, max_size=3),
        st.dictionaries(names, inner, max_size=4),
    ),
    max_leaves=14,
)
SHAPED = Signature(
    (
        *(Column(name, f"feature_{name}", "double") for name in "abc"),
        Column("late", "feature_late", "bool", role="label"),
        Column("x", "feature_x", "string", role="id"),
    ),
    (
        Column("prediction", "prediction", "string", role="prediction"),
        Column("p0", "probability_0", "double", role="probability", classes=("0",)),
        Column("p1", "probability_1", "double", role="probability", classes=("1",)),
    ),
    inference_id="x",
)


# Objects of one kind, as clients send them.
alike = st.lists(names, min_size=1, max_size=4, unique=True).flatmap(
    lambda keys: st.lists(
        st.tuples(*[scalars | documents for _ in keys]).map(
            lambda values: dict(zip(keys, values, strict=True))
        ),
        max_size=4,
    )
)


@pytest.mark.parametrize("finder", [RequestRows(SHAPED), AnswerRows(SHAPED)])
@given(documents | alike | st.builds(dict, st.tuples(names, alike).map(lambda pair: [pair])))
@example({"a": None, "late": None, "data": None, "columns": None})
@THRICE
def test_documents_are_read_alike_by_plan_and_step_by_step(
    finder: RequestRows | AnswerRows, document: Any
) -> None:
    quickly = finder._quickly(document)

    if quickly is not None:
        carefully = finder._carefully(document)
        if isinstance(finder, AnswerRows):
            assert [list(row) for row in quickly] == [list(row) for row in carefully]
        else:
            assert [list(row) for row in quickly[0]] == [list(row) for row in carefully[0]]
            assert list(quickly[1]) == carefully[1]


@given(
    st.lists(
        st.one_of(st.integers(-(10**25), 10**25), st.floats(), st.text(max_size=4), st.booleans()),
        min_size=3,
        max_size=3,
    )
)
@TWICE
def test_json_values_come_as_the_standard_library_reads_them(values: list[Any]) -> None:
    row = dict(zip(("temp", "count", "carrier"), values, strict=True))
    (body, again) = json.dumps(row).encode(), json.loads(json.dumps(row))

    found = decode([frame(body, JSON)], SIGNATURE)

    assert found.errors[0] is None or not found.errors[0].startswith("request")
    texts = dict(found.unfit.to_pylist()[0])
    for column in ("temp", "count", "carrier"):
        value = found.columns[f"feature_{column}"][0].as_py()
        kind: ColumnType = {"temp": "double", "count": "int64", "carrier": "string"}[column]  # type: ignore[assignment] # they are types
        expected = _one_by_one([again[column]], kind)
        assert repr(value) == repr(expected.values[0].as_py())
        assert texts.get(column) == (expected.texts[0] if expected.texts else None)


@given(
    st.lists(
        st.lists(
            st.one_of(
                st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(),
                st.sampled_from(["", "1e5", "nan", "x"]),
            ),
            min_size=2, max_size=2,
        ),
        min_size=1, max_size=4,
    ),
)  # fmt: skip
@TWICE
def test_numbers_of_json_are_read_as_their_cells_are(rows: list[list[Any]]) -> None:
    columns = tuple(Column(name, f"feature_{name}", "double") for name in "ab")

    found = decode([frame(json.dumps(rows).encode(), JSON)], Signature(columns, ()))

    for column, values in zip("ab", zip(*rows, strict=True), strict=True):
        expected = _one_by_one(json.loads(json.dumps(values)), "double")
        assert repr(found.columns[f"feature_{column}"].to_pylist()) == repr(
            expected.values.to_pylist()
        )
    unfit = [name for texts in found.unfit.to_pylist() for name, _ in texts]
    assert unfit.count("a") + unfit.count("b") == sum(
        text == "x" for row in rows for text in row if isinstance(text, str)
    )


def test_one_hostile_body_leaves_the_others_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [frame(b"%d,%d,UA" % (n, n)) for n in range(200)]
    bad = [b"1,1", b"1,1,1,1\n1", b"\xff,1,a", b'"1,1,a', b"\xef\xbb\xbf1,1,a", b"1\r1,1,a"]
    careful: list[int] = []
    monkeypatch.setattr(
        "driftline.formats.csv.bodies._read_carefully",
        lambda reading, indices, contents, which, *_: careful.extend(indices[list(which)]),
    )

    found = decode([*good, *map(frame, bad)], SIGNATURE)

    assert careful == list(range(200, 206))
    assert features(found)[:200] == [(float(n), n, "UA") for n in range(200)]
