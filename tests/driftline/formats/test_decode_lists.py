"""Answers that are lists, such as forecasts and rankings, in whatever form they come."""

from __future__ import annotations

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


@pytest.mark.parametrize("body", [b"[[1, [2]]]", b'[{"load": "soon"}]', b'[["x"]]', b"5"])
def test_what_is_no_list_of_numbers_is_unfit(body: bytes) -> None:
    found = answered(ONE, body)

    assert found.columns["prediction"].to_pylist() == [None]
    assert [[name for name, _ in row] for row in found.unfit.to_pylist()] == [["load"]]
