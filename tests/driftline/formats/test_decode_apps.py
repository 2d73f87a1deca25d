"""Answers of apps of one's own: read by names, in whatever form such apps answer."""

from __future__ import annotations

import pytest

from driftline.capture.spool.frame import Flag
from driftline.capture.tables.decoding import Decoded
from driftline.signature import Column, Signature
from tests.driftline.formats.decode_tools import (
    CSV,
    JSON,
    SIGNATURE,
    decode,
    frame,
    outputs,
)

APP = Signature(
    features=(
        Column("km", "feature_km", "double"),
        Column("late", "feature_late", "bool", role="label"),
    ),
    outputs=(
        Column("said_late", "prediction", "bool", role="prediction"),
        Column("p", "probability", "double", role="probability"),
    ),
)


def answered(body: bytes, *, asked: bytes = b'{"km": 1.5}', kind: str = JSON) -> Decoded:
    return decode([frame(asked, JSON, body, kind)], APP)


@pytest.mark.parametrize(
    "body",
    [
        b'{"said_late": true, "p": 0.7}',
        b'{"late": true, "score": 0.7, "version": "v3"}',
        b'{"result": {"late": true, "p": 0.7}}',
        b'{"predictions": [{"prediction": 1, "probability": [0.7]}], "took_ms": 3}',
        b'[{"late": true, "score": 0.7}]',
        b'{"late": [true], "score": [0.7]}',
        b"[[true, 0.7]]",
    ],
)
def test_answers_of_ones_own_app_are_read_by_their_names(body: bytes) -> None:
    found = answered(body)

    assert found.errors == [None]
    assert found.columns["prediction"].to_pylist() == [True]
    assert found.columns["probability"].to_pylist() == [0.7]


def test_the_id_in_a_body_is_the_inference_id_of_a_request_of_one_row() -> None:
    signature = Signature(
        (Column("order", "feature_order", "string", role="id"), *APP.features),
        APP.outputs,
        inference_id="order",
    )
    bodies = [
        b'{"km": 1.5, "order": "A-7"}',
        b'{"km": 1.5, "order": 17}',
        b'[{"km": 1, "order": "B"}, {"km": 2, "order": "C"}]',
        b'{"km": 1.5, "order": null}',
        b'{"km": 1.5}',
        b"[1.5]",
    ]

    found = decode([frame(body, JSON, b"[[true, 0.5]]", JSON) for body in bodies], signature)

    assert found.inference_ids.to_pylist() == ["A-7", "17", None, None, None, None, None]
    assert [row for row in found.unfit.to_pylist() if row] == []
    assert [error for error in found.errors if error] == ["response: 1 rows; the request had 2"]


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (b'[{"km": 1}, {"km": 2}]', b'{"late": [true, false], "score": [0.7, 0.2]}'),
        (b'{"km": [[1], [2]]}', b'[{"late": true, "p": 0.7}, {"late": false, "p": 0.2}]'),
    ],
)
def test_answers_to_several_rows_are_read_row_by_row(asked: bytes, body: bytes) -> None:
    if b"[[" in asked:
        asked = asked.replace(b'"km"', b'"instances"')

    found = answered(body, asked=asked)

    assert found.errors == [None]
    assert found.columns["feature_km"].to_pylist() == [1.0, 2.0]
    assert found.columns["prediction"].to_pylist() == [True, False]
    assert found.columns["probability"].to_pylist() == [0.7, 0.2]


def test_an_answer_with_other_rows_than_the_request_is_told_and_not_used() -> None:
    frames = [
        frame(b"1,1,a", CSV, b"yes,0,1"),
        frame(b"1,1,a", CSV, b"yes,0,1\nwrong,x,1"),
        frame(b"1,1,a\n2,2,b", CSV, b"no,1,0\nodd,x,1"),
    ]

    found = decode(frames, SIGNATURE)

    assert outputs(found) == [
        ("yes", 0.0, 1.0),
        (None, None, None),
        ("no", 1.0, 0.0),
        ("odd", None, 1.0),
    ]
    assert found.errors[1] == "response: 2 rows; the request had 1"
    assert found.flags[1] == Flag.RESPONSE_UNPARSED
    assert [dict(row) for row in found.unfit.to_pylist()] == [{}, {}, {}, {"no": "x"}]
