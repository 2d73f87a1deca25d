"""Coercion: what fits is exact, what does not is kept as text, and nothing is silently changed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.formats.cells import NO_VALUES
from driftline.formats.coercion import Coerced, from_array, from_values
from driftline.signature import ColumnType

any_value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


def as_lists(found: Coerced) -> tuple[list[Any], dict[int, str]]:
    return found.values.to_pylist(), dict(zip(found.unfit.tolist(), found.texts, strict=True))


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=30))
def test_floats_come_back_from_their_text(values: list[float | None]) -> None:
    texts = pa.array(["" if value is None else repr(value) for value in values], pa.string())

    assert as_lists(from_array(texts, "double")) == (values, {})


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=30))
def test_integers_come_back_from_text_and_from_json(values: list[int | None]) -> None:
    texts = pa.array([None if value is None else str(value) for value in values], pa.string())

    assert as_lists(from_array(texts, "int64")) == (values, {})
    assert as_lists(from_values(values, "int64")) == (values, {})


@given(st.lists(any_value, max_size=12), st.sampled_from(["int64", "double", "string", "bool"]))
def test_every_json_value_is_kept_or_told(values: list[Any], kind: ColumnType) -> None:
    found, unfit = as_lists(from_values(values, kind))

    assert len(found) == len(values)
    for row, (before, after) in enumerate(zip(values, found, strict=True)):
        if row in unfit:
            assert after is None
            told = unfit[row]
            assert told == before or "NaN" in told or json.loads(told) == before
        elif after is None:
            assert before is None or before != before or str(before).strip() in NO_VALUES
        elif kind == "string":
            assert after == (before if isinstance(before, str) else json.dumps(before))
        elif not isinstance(before, str):
            assert float(after) == pytest.approx(float(before), rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" 12 ", "int64", 12),
        ("+7", "int64", 7),
        ("9007199254740993.0", "int64", 9007199254740993),
        ("1.0", "bool", True),
        ("3.0", "int64", 3),
        ("007", "int64", 7),
        ("9223372036854775807", "int64", 9223372036854775807),
        ("-9223372036854775808", "int64", -9223372036854775808),
        ("1e3", "double", 1000.0),
        (".5", "double", 0.5),
        ("-inf", "double", -math.inf),
        ("TRUE", "bool", True),
        ("0", "bool", False),
        ("2013-01-15", "timestamp", datetime(2013, 1, 15, tzinfo=UTC)),
        ("2013-01-15 10:00:00.25", "timestamp", datetime(2013, 1, 15, 10, 0, 0, 250_000, UTC)),
        ("2013-01-15T10:00:00+02:00", "timestamp", datetime(2013, 1, 15, 8, tzinfo=UTC)),
        ("00501", "string", "00501"),
        (" padded ", "string", " padded "),
    ],
)
def test_text_that_fits(text: str, kind: ColumnType, value: object) -> None:
    assert as_lists(from_array(pa.array([text]), kind)) == ([value], {})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.5", "int64"),
        ("0x1F", "int64"),
        ("9223372036854775808", "int64"),
        ("1_000", "double"),
        ("1,5", "double"),
        ("EVX", "double"),
        (".", "double"),
        ("yes", "bool"),
        ("2", "bool"),
        ("2013-02-30", "timestamp"),
        ("tomorrow", "timestamp"),
        ("1358208000", "timestamp"),
        ("9999-12-31T23:59:59-00:01", "timestamp"),
        ("0001-01-01T00:00:00+00:01", "timestamp"),
    ],
)
def test_text_that_does_not_fit_is_told(text: str, kind: ColumnType) -> None:
    good = {"int64": "1", "double": "1", "bool": "1", "timestamp": "2013-01-01"}[kind]

    values, unfit = as_lists(from_array(pa.array([good, text, ""]), kind))

    assert [value is None for value in values] == [False, True, True]
    assert unfit == {1: text}


@given(
    st.lists(any_value, max_size=4),
    any_value,
    st.sampled_from(["int64", "double", "string", "bool", "timestamp"]),
)
def test_a_value_is_read_and_told_as_if_it_stood_alone(
    others: list[Any], value: Any, kind: ColumnType
) -> None:
    (alone,), alone_told = as_lists(from_values([value], kind))

    found, told = as_lists(from_values([*others, value], kind))

    assert (repr(found[-1]), told.get(len(others))) == (repr(alone), alone_told.get(0))


@pytest.mark.parametrize("unit", ["s", "us"])
def test_times_that_readers_cannot_count_are_told(unit: str) -> None:
    far = 253_402_300_800 * (1 if unit == "s" else 1_000_000)
    times = pa.array([0, far, None], pa.timestamp(unit, tz="UTC"))

    values, unfit = as_lists(from_array(times, "timestamp"))

    assert values == [datetime(1970, 1, 1, tzinfo=UTC), None, None]
    assert unfit == {1: f"{far} {unit} since 1970"}
