"""Answers that are lists, such as forecasts and rankings, in whatever form they come."""

from __future__ import annotations

import json

import pytest

from driftline.capture.tables.decoding import Decoded
from driftline.signature import Column, Signature
from tests.driftline.formats.decode_tools import CSV, JSON, LINES, decode, frame

INPUT = Column("km", "feature_km", "double")
FORECAST = Column("load", "prediction", "list<double>", role="prediction")
ONE, TWO = b'{"km": 1.5}', b'[{"km": 1.5}, {"km": 2.5}]'


def answered(asked: bytes, body: bytes, kind: str = JSON, **changes: str) -> Decoded:
    output = Column(**{**FORECAST.as_dict(), **changes})
    return decode([frame(asked, JSON, body, kind)], Signature((INPUT,), (output,)))


@pytest.mark.parametrize(
    "body",
    [
        b"[1, 2.5, null]",
        b"[[1, 2.5, null]]",
        b'{"load": [1, 2.5, null]}',
        b'{"prediction": [1, 2.5, null], "version": "v3"}',
        b'{"predictions": [[1, 2.5, null]]}',
        b'{"predictions": [{"load": [1, 2.5, null]}]}',
        b'{"result": {"load": [[1, 2.5, null]]}}',
        b'[{"load": "[1, 2.5, null]"}]',
    ],
)
def test_a_forecast_is_read_in_every_form(body: bytes) -> None:
    found = answered(ONE, body)

    assert found.errors == [None]
    assert found.columns["prediction"].to_pylist() == [[1.0, 2.5, None]]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[[1, 2], [3]]", JSON),
        (b'{"predictions": [[1, 2], [3]]}', JSON),
        (b'{"load": [[1, 2], [3]]}', JSON),
        (b'[{"load": [1, 2]}, {"load": [3]}]', JSON),
        (b'{"load": [1, 2]}\n{"load": [3]}', LINES),
        (b'"[1, 2]"\n[3]', CSV),
    ],
)
def test_several_forecasts_are_read_row_by_row(body: bytes, kind: str) -> None:
    found = answered(TWO, body, kind)

    assert found.errors == [None]
    assert found.columns["prediction"].to_pylist() == [[1.0, 2.0], [3.0]]


def test_rankings_are_lists_of_texts() -> None:
    found = answered(ONE, b'{"predictions": [["b", 7, "a"]]}', type="list<string>")

    assert found.columns["prediction"].to_pylist() == [["b", "7", "a"]]


def test_a_forecast_beside_its_probability_is_read_by_name() -> None:
    chance = Column("p", "probability", "double", role="probability")
    body = b'[{"load": [1, 2], "p": 0.5}]'

    found = decode([frame(ONE, JSON, body, JSON)], Signature((INPUT,), (FORECAST, chance)))

    assert found.columns["prediction"].to_pylist() == [[1.0, 2.0]]
    assert found.columns["probability"].to_pylist() == [0.5]


LEVELS = Signature(
    (INPUT,),
    (
        Column("p50", "prediction", "list<double>", role="prediction"),
        Column("p10", "quantile_p10", "list<double>", role="quantile"),
        Column("p90", "quantile_p90", "list<double>", role="quantile"),
    ),
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"p10": [1, 2], "p50": [3, 4], "p90": [5, null]}',
        b'{"p10": [1, 2], "prediction": [3, 4], "p90": [5, null], "version": "v3"}',
        b'[{"p10": [1, 2], "p50": [3, 4], "p90": [5, null]}]',
        b'{"predictions": {"p10": [1, 2], "p50": [3, 4], "p90": [5, null]}}',
        b'{"predictions": [{"p10": [1, 2], "p50": [3, 4], "p90": [5, null]}]}',
        b'{"p10": [[1, 2]], "p50": [[3, 4]], "p90": [[5, null]]}',
        b"[[3, 4], [1, 2], [5, null]]",
        b"[[[3, 4], [1, 2], [5, null]]]",
        b'{"predictions": [[[3, 4], [1, 2], [5, null]]]}',
    ],
)
def test_quantiles_of_a_forecast_are_read_in_every_form(body: bytes) -> None:
    found = decode([frame(ONE, JSON, body, JSON)], LEVELS)

    assert found.errors == [None]
    assert [found.columns[one.column].to_pylist() for one in LEVELS.outputs] == [
        [[3.0, 4.0]], [[1.0, 2.0]], [[5.0, None]],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b'[{"p10": [1], "p50": [2], "p90": [3]}, {"p10": [4, 5], "p50": [6, 7], "p90": [8, 9]}]',
        b'{"p10": [[1], [4, 5]], "p50": [[2], [6, 7]], "p90": [[3], [8, 9]]}',
        b"[[[2], [1], [3]], [[6, 7], [4, 5], [8, 9]]]",
    ],
)
def test_quantiles_of_several_forecasts_are_read_row_by_row(body: bytes) -> None:
    found = decode([frame(TWO, JSON, body, JSON)], LEVELS)

    assert found.errors == [None]
    assert [found.columns[one.column].to_pylist() for one in LEVELS.outputs] == [
        [[2.0], [6.0, 7.0]], [[1.0], [4.0, 5.0]], [[3.0], [8.0, 9.0]],
    ]  # fmt: skip


def test_tensors_of_one_step_are_lists_of_one_value() -> None:
    tensors = [
        {"name": name, "shape": [2, 1], "datatype": "FP64", "data": data}
        for name, data in (("p10", [1, 2]), ("p50", [3, 4]), ("p90", [5, 6]))
    ]
    answer = json.dumps({"model_name": "load", "outputs": tensors}).encode()

    several = decode([frame(TWO, JSON, answer, JSON)], LEVELS)
    alone = answered(TWO, answer.replace(b"p50", b"load"))

    assert several.errors == alone.errors == [None]
    assert several.columns["prediction"].to_pylist() == [[3.0], [4.0]]
    assert several.columns["quantile_p90"].to_pylist() == [[5.0], [6.0]]
    assert alone.columns["prediction"].to_pylist() == [[3.0], [4.0]]


def test_lists_and_their_probability_by_column_are_several_rows() -> None:
    chance = Column("p", "probability", "double", role="probability")
    signature = Signature((INPUT,), (FORECAST, chance))
    columns, row = b'{"load": [[1, 2], [3]], "p": [0.5, 0.6]}', b'{"load": [1, 2], "p": 0.5}'

    several = decode([frame(TWO, JSON, columns, JSON)], signature)
    one = decode([frame(ONE, JSON, row, JSON)], signature)

    assert (several.errors, one.errors) == ([None], [None])
    assert several.columns["prediction"].to_pylist() == [[1.0, 2.0], [3.0]]
    assert several.columns["probability"].to_pylist() == [0.5, 0.6]
    assert one.columns["prediction"].to_pylist() == [[1.0, 2.0]]
    assert one.columns["probability"].to_pylist() == [0.5]


def test_lists_of_other_names_are_refused() -> None:
    found = decode([frame(ONE, JSON, b'{"q1": [1, 2], "q9": [3, 4]}', JSON)], LEVELS)

    assert found.errors[0] is not None and "p50, p10, p90" in found.errors[0]


@pytest.mark.parametrize("body", [b"[[1, [2]]]", b'[{"load": "soon"}]', b'[["x"]]', b"5"])
def test_what_is_no_list_of_numbers_is_unfit(body: bytes) -> None:
    found = answered(ONE, body)

    assert found.columns["prediction"].to_pylist() == [None]
    assert [[name for name, _ in row] for row in found.unfit.to_pylist()] == [["load"]]
