"""Decoding: every shape of body to the same typed rows, and one bad body stops no other."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.decode import Decoded, decode
from driftline.capture.frame import Flag, Frame, Kind
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    features=(
        Column("temp", "feature_temp", "double"),
        Column("late", "feature_late", "bool", role="label"),
        Column("count", "feature_count", "int64"),
        Column("carrier", "feature_carrier", "string"),
    ),
    outputs=(
        Column("prediction", "prediction", "string", role="prediction"),
        Column("no", "probability_no", "double", role="probability", classes=("no",)),
        Column("yes", "probability_yes", "double", role="probability", classes=("yes",)),
    ),
)
FEATURES = ("feature_temp", "feature_count", "feature_carrier")
OUTPUTS = ("prediction", "probability_no", "probability_yes")
CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
rows_strategy = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), texts),
    ),
    min_size=1,
    max_size=4,
)


def frame(
    request: bytes,
    kind: str = CSV,
    response: bytes = b"",
    response_kind: str = CSV,
    *,
    status: int = 200,
    flags: int = 0,
    encoding: str = "",
) -> Frame:
    meta = {
        "request_content_type": kind,
        "response_content_type": response_kind,
        "request_encoding": encoding,
    }
    return Frame(
        Kind.RECORD, flags, 1, 0, 0, 0, 0, len(request), len(response), status, meta, request,
        response,
    )  # fmt: skip


def features(found: Decoded) -> list[tuple[Any, ...]]:
    return list(zip(*(found.columns[name].to_pylist() for name in FEATURES), strict=True))


def outputs(found: Decoded) -> list[tuple[Any, ...]]:
    return list(zip(*(found.columns[name].to_pylist() for name in OUTPUTS), strict=True))


def as_csv(rows: list[tuple[Any, ...]]) -> bytes:
    written = io.StringIO()
    for row in rows:
        cells = ["" if cell is None else cell for cell in row]
        if cells == ["", "", ""]:
            written.write(",,\n")
        else:
            csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode()


def as_objects(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(("temp", "count", "carrier"), row, strict=True)) for row in rows]


FORMS = {
    "csv": (CSV, as_csv),
    "csv_crlf": ("text/csv; charset=utf-8", lambda rows: as_csv(rows).replace(b"\n", b"\r\n")),
    "instances": (JSON, lambda rows: json.dumps({"instances": rows}).encode()),
    "objects": (JSON, lambda rows: json.dumps({"instances": as_objects(rows)}).encode()),
    "list": (JSON, lambda rows: json.dumps(rows).encode()),
    "features": (JSON, lambda rows: json.dumps({"features": rows}).encode()),
    "wrapped": (JSON, lambda rows: json.dumps([{"features": row} for row in rows]).encode()),
    "lines": (LINES, lambda rows: "\n".join(json.dumps(row) for row in rows).encode()),
    "line_objects": (
        "application/x-ndjson",
        lambda rows: "\n".join(json.dumps(row) for row in as_objects(rows)).encode(),
    ),
    "unnamed": ("", lambda rows: json.dumps(rows).encode()),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(FORMS)), rows_strategy), min_size=1, max_size=6))
def test_what_is_encoded_in_any_form_is_decoded_to_the_same_rows(
    requests: list[tuple[str, list[tuple[Any, ...]]]],
) -> None:
    frames = [frame(FORMS[form][1](rows), FORMS[form][0]) for form, rows in requests]

    found = decode(frames, SIGNATURE)

    assert [error for error in found.errors if error and error.startswith("request")] == []
    assert found.row_counts.tolist() == [len(rows) for _, rows in requests]
    assert features(found) == [row for _, rows in requests for row in rows]
    assert found.unfit.to_pylist() == [[]] * len(found.unfit)


def test_plain_bodies_are_joined_and_still_told_apart() -> None:
    frames = [frame(b"%d,%d,UA\n%d,%d,AA" % (n, n, n, n)) for n in range(500)]

    found = decode(frames, SIGNATURE)

    assert set(found.row_counts) == {2}
    assert found.columns["feature_count"].to_pylist() == [n // 2 for n in range(1_000)]


def test_one_bad_body_stops_no_other() -> None:
    frames = [
        frame(b"1,1,a"),
        frame(b"2,2"),
        frame(b"3,3,c"),
        frame(b"{", JSON),
        frame(b"[4, 4, null]", JSON),
        frame(b"\xff,5,e"),
        frame(b""),
        frame(b'"open,1,2'),
        frame(b"[]", JSON),
        frame(b"[[1, 2]]", JSON),
        frame(b'{"unknown": 1}', JSON),
        frame(b"6,6,f\n6,6,f"),
    ]

    found = decode(frames, SIGNATURE)

    good = [0, 2, 4, 11]
    bad = [n for n in range(12) if n not in good]
    assert found.row_counts.tolist() == [1] * 11 + [2]
    assert found.columns["feature_temp"].to_pylist() == [
        1, None, 3, None, 4, None, None, None, None, None, None, 6, 6,
    ]  # fmt: skip
    unparsed = (found.flags & Flag.REQUEST_UNPARSED) != 0
    assert np.flatnonzero(unparsed).tolist() == bad
    assert found.errors[1].startswith("request: row 1 has 2 columns; expected 3")  # type: ignore[union-attr] # a text, or the test fails
    assert all(found.errors[n] for n in bad)


def test_values_that_do_not_fit_are_kept_as_text_under_their_name() -> None:
    frames = [
        frame(b"1,1,a\nwarm,2.5,b"),
        frame(b'{"temp": "x", "count": [1], "carrier": 7, "new": {"a": 1}, "late": true}', JSON),
    ]

    found = decode(frames, SIGNATURE)

    assert features(found) == [(1.0, 1, "a"), (None, None, "b"), (None, None, None)]
    assert [dict(row) for row in found.unfit.to_pylist()] == [
        {},
        {"temp": "warm", "count": "2.5"},
        {"temp": "x", "count": "[1]", "carrier": "7", "new": '{"a": 1}'},
    ]
    assert not (found.flags & Flag.REQUEST_UNPARSED).any()


def test_a_field_that_is_not_there_is_missing() -> None:
    found = decode([frame(b'{"instances": [{"carrier": "UA"}]}', JSON)], SIGNATURE)

    assert features(found) == [(None, None, "UA")]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"yes,0.25,0.75\nno,0.9,0.1\n", CSV),
        (
            b'{"predictions": [{"prediction": "yes", "probability": [0.25, 0.75]},'
            b' {"prediction": "no", "probability": [0.9, 0.1]}]}',
            JSON,
        ),
        (
            b'{"predictions": [{"predicted_label": "yes", "score": {"no": 0.25, "yes": 0.75}},'
            b' {"predicted_label": "no", "score": {"yes": 0.1, "no": 0.9}}]}',
            JSON,
        ),
        (b'[["yes", 0.25, 0.75], ["no", 0.9, 0.1]]', JSON),
        (b'["yes", 0.25, 0.75]\n{"prediction": "no", "no": 0.9, "yes": 0.1}', LINES),
    ],
)
def test_answers_are_read_in_the_forms_of_servers(body: bytes, kind: str) -> None:
    if kind == LINES:
        body = b"\n".join(b"[" + line + b"]" for line in body.split(b"\n"))

    found = decode([frame(b"1,1,a\n2,2,b", CSV, body, kind)], SIGNATURE)

    assert outputs(found) == [("yes", 0.25, 0.75), ("no", 0.9, 0.1)]
    assert found.errors == [None]


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"yes\nno", CSV), (b'["yes", "no"]', JSON), (b'{"predictions": ["yes", "no"]}', JSON)],
)
def test_an_answer_may_be_the_prediction_alone(body: bytes, kind: str) -> None:
    found = decode([frame(b"1,1,a\n2,2,b", CSV, body, kind)], SIGNATURE)

    assert outputs(found) == [("yes", None, None), ("no", None, None)]


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
        (b'{"rows": [{"km": 1}, {"km": 2}]}', b'{"answers": [[true, 0.7], [false, 0.2]]}'),
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


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"0.7", JSON), (b"[0.7]", JSON), (b"0.7", "text/plain; charset=utf-8"),
     (b'{"anything": 0.7}', JSON)],
)  # fmt: skip
def test_a_bare_number_is_the_only_output_there_is(body: bytes, kind: str) -> None:
    minutes = Signature(
        features=(Column("km", "feature_km", "double"),),
        outputs=(Column("minutes", "prediction", "double", role="prediction"),),
    )

    found = decode([frame(b'{"km": 1.5}', JSON, body, kind)], minutes)

    assert found.errors == [None]
    assert found.columns["prediction"].to_pylist() == [0.7]


def test_an_answer_with_none_of_the_outputs_counts_as_unparsed() -> None:
    found = answered(b'{"status": "ok", "detail": {"late": true}}')

    assert found.errors == ["response: row 1 has none of the signature's outputs (said_late, p)"]
    assert found.flags.tolist() == [Flag.RESPONSE_UNPARSED]


def test_which_of_two_probabilities_is_meant_is_not_guessed() -> None:
    found = answered(b'{"late": true, "probability": [0.3, 0.7]}')

    assert found.columns["prediction"].to_pylist() == [True]
    assert found.columns["probability"].to_pylist() == [None]
    assert [dict(row) for row in found.unfit.to_pylist()] == [{"p": "[0.3, 0.7]"}]


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


def test_failed_requests_are_not_read_and_are_no_parse_errors() -> None:
    found = decode([frame(b"1,1,a", status=400), frame(b"1,1,a", status=503)], SIGNATURE)

    assert features(found) == [(None, None, None)] * 2
    assert found.errors == [None, None]
    assert found.flags.tolist() == [0, 0]


def test_cut_bodies_are_not_read() -> None:
    found = decode([frame(b"1,1,a", flags=Flag.REQUEST_TRUNCATED)], SIGNATURE)

    assert features(found) == [(None, None, None)]
    assert "bytes were kept" in str(found.errors[0])


def test_packed_bodies_are_unpacked_within_a_bound() -> None:
    frames = [
        frame(gzip.compress(b"1,1,a"), encoding="gzip"),
        frame(gzip.compress(b"0" * (32 << 20)), encoding="gzip"),
        frame(b"no gzip", encoding="gzip"),
        frame(b"1,1,a", encoding="br"),
    ]

    found = decode(frames, SIGNATURE)

    assert features(found)[0] == (1.0, 1, "a")
    assert "unpacks to more than" in str(found.errors[1])
    assert "cannot be unpacked" in str(found.errors[2])
    assert 'content-encoding "br"' in str(found.errors[3])


def test_without_a_signature_records_are_kept_raw() -> None:
    found = decode([frame(b"1"), frame(b"2", status=404)], None)

    assert found.columns == {}
    assert found.errors == ["the endpoint has no signature", None]


@given(st.lists(st.tuples(st.sampled_from([CSV, JSON, LINES, ""]), st.binary(max_size=60))))
def test_no_body_whatever_raises(bodies: list[tuple[str, bytes]]) -> None:
    frames = [frame(body, kind, body, kind) for kind, body in bodies]

    found = decode(frames, SIGNATURE)

    assert len(found.row_counts) == len(bodies)
    assert len(found.columns["feature_temp"]) == found.row_counts.sum()


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["temp", "count", "instances", "features", "predictions", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_no_json_whatever_raises(request: Any, response: Any) -> None:
    asked, answered = json.dumps(request).encode(), json.dumps(response).encode()

    found = decode([frame(asked, JSON, answered, JSON), frame(b"1,1,a")], SIGNATURE)

    assert features(found)[-1] == (1.0, 1, "a")
