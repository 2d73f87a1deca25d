"""Decoding: every shape of body to the same typed rows, and one bad body stops no other."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.spool.frame import Flag
from tests.driftline.formats.decode_tools import (
    CSV,
    JSON,
    LINES,
    SIGNATURE,
    as_csv,
    as_objects,
    decode,
    features,
    frame,
    outputs,
)

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

    assert features(found) == [(1.0, 1, "a"), (None, None, "b"), (None, None, "7")]
    assert [dict(row) for row in found.unfit.to_pylist()] == [
        {},
        {"temp": "warm", "count": "2.5"},
        {"temp": "x", "count": "[1]", "new": '{"a": 1}'},
    ]
    assert not (found.flags & Flag.REQUEST_UNPARSED).any()


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


def test_packed_bodies_are_unpacked_within_a_bound() -> None:
    frames = [
        frame(gzip.compress(b"1,1,a"), encoding="gzip"),
        frame(gzip.compress(b"0" * (32 << 20)), encoding="gzip"),
        frame(b"no gzip", encoding="gzip"),
        frame(b"1,1,a", encoding="compress"),
    ]

    found = decode(frames, SIGNATURE)

    assert features(found)[0] == (1.0, 1, "a")
    assert "unpacks to more than" in str(found.errors[1])
    assert "cannot be unpacked" in str(found.errors[2])
    assert 'content-encoding "compress"' in str(found.errors[3])


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
