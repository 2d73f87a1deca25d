"""What cannot be redacted for sure goes on without its bodies."""

from __future__ import annotations

import gzip
import json
import logging
import uuid

import pytest

from driftline.capture.redaction.keys import Keys
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.redaction.values import Change
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.records import Records
from driftline.capture.tables.decoding import decode
from driftline.signature import Column, Signature
from tests.capture.redaction.redaction_tools import JSON, applied, document, frame, rule

BROKEN = [
    (b'{"ssn": "078-05-1120"', JSON, {}),
    (b"078-05-1120", "text/html", {}),
    (b"\x93NUMPY\x01\x00078-05-1120", "application/x-npy", {}),
    (b"PAR1 078-05-1120", "application/x-parquet", {}),
    (b"078-05-1120", "application/octet-stream", {}),
    (b"ssn=078-05-1120&x=1", "application/x-www-form-urlencoded", {}),
    (b"\xff\xfe078-05-1120", JSON, {}),
    (b'{"ssn":"078-05-1120"}', JSON, {"request_encoding": "compress"}),
    (b'{"ssn":"078-05-1120"}', JSON, {"request_encoding": "gzip"}),
    (gzip.compress(b'{"ssn":"078-05-1120"}', mtime=0)[:-9], JSON, {"request_encoding": "gzip"}),
    (b'{"other":"078-05-1120"}', JSON, {}),
    (b'[["078-05-1120"]]', JSON, {}),
    (b"[" * 100_000 + b'"078-05-1120"', JSON, {}),
    (b"078-05-1120,1\n", "text/csv", {}),
    (b'{"ssn":"078-05-1120"}', "text/csv", {}),
    (b'\xef\xbb\xbf{"ssn":"078-05-1120"}', "text/csv", {}),
    (b'{"ssn":"1"}\n{"ssn":"078-05-1120"', "application/jsonlines", {}),
    (b'{"ssn":"1"}\n["078-05-1120"]', "application/jsonlines", {}),
    (b'{"ssn":"1","pad":[' + b"1," * 1_000_000 + b"1]}", JSON, {}),
    (b'{"ssn":"1"}\n' + b"1\n" * 1_000_000, "application/jsonlines", {}),
]


@pytest.mark.parametrize(("body", "kind", "meta"), BROKEN)
def test_what_cannot_be_rewritten_leaves_neither_body(
    body: bytes, kind: str, meta: dict[str, str]
) -> None:
    cleaner = Redactor([rule("/ssn", side="request")])

    (found,) = cleaner.frames([frame(body, b'{"p":1}', kind=kind, **meta)])

    assert (found.request, found.response) == (b"", b"")
    assert found.flags == Flag.REDACTION_FAILED
    assert (found.request_bytes, found.response_bytes) == (len(body), 7)
    assert cleaner.counters == {"redacted": 0, "redaction_failed": 1}


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("/rows/*/ssn", [{"ssn": "1"}, ["078-05-1120"]]),
        ("/rows/*/ssn", [{"ssn": "1"}, "078-05-1120"]),
        ("/rows/*/ssn", [{"ssn": "1"}, 78051120]),
        ("/rows/*/1", [[1, "1"], {"ssn": "078-05-1120"}]),
        ("/rows/*/1", [[1, "1"], ["078-05-1120"]]),
        ("/rows/-/1/ssn", [[1, {"ssn": "1"}], [1, ["078-05-1120"]]]),
        ("/rows/*/-", [["1"], {"ssn": "078-05-1120"}]),
        ("/rows/*/*", [["1"], "078-05-1120"]),
    ],
)
def test_a_row_of_another_shape_than_those_beside_it_leaves_neither_body(
    field: str, rows: list[object]
) -> None:
    given = frame(json.dumps({"rows": rows}).encode(), b'{"p":1}')

    found = applied(given, rule(field, side="request"))

    assert (found.request, found.response) == (b"", b"")
    assert found.flags == Flag.REDACTION_FAILED


def test_a_row_without_the_field_may_stand_beside_one_that_has_it() -> None:
    rows = [{"ssn": "1"}, {"x": 1}, {}, None]

    assert document({"rows": rows}, rule("/rows/*/ssn")) == {"rows": [{}, {"x": 1}, {}, None]}
    assert document({"rows": [[1], [], None]}, rule("/rows/*/0")) == {"rows": [[None], [], None]}


def test_rows_of_any_shape_may_stand_there_where_the_rule_is_optional() -> None:
    found = document({"rows": [{"ssn": 1}, [2]]}, rule("/rows/*/ssn", optional=True))

    assert found == {"rows": [{}, [2]]}


@pytest.mark.parametrize(
    "body",
    [b"a,078-05-1120", b"a,b,c,078-05-1120", b'a,"b,078-05-1120', b'a,b"078-05-1120",c',
     b'"a" ,078-05-1120,c', b"a,b,\xff", b"a;b;078-05-1120", b"a,b\0,078-05-1120",
     b"a,b,c\n078-05-1120\n"],
)  # fmt: skip
def test_csv_that_is_not_what_the_rule_tells_leaves_neither_body(body: bytes) -> None:
    named = rule("column:ssn", columns=("ssn", "x", "y"))

    found = applied(frame(body, b'{"p":1}', kind="text/csv"), named)

    assert (found.request, found.response) == (b"", b"")
    assert found.flags == Flag.REDACTION_FAILED


@pytest.mark.parametrize(
    ("flag", "side"),
    [(Flag.REQUEST_TRUNCATED, "request"), (Flag.RESPONSE_TRUNCATED, "response"),
     (Flag.BODY_OMITTED, "both")],
)  # fmt: skip
def test_a_body_that_was_cut_leaves_neither(flag: Flag, side: str) -> None:
    given = frame(b'{"a":1}', b'{"a":1}', flags=int(flag))

    found = applied(given, rule("/a", side=side))

    assert (found.request, found.response) == (b"", b"")
    assert found.flags == flag | Flag.REDACTION_FAILED


def test_binary_tensors_leave_neither_body() -> None:
    given = frame(b'{"ssn":"1"}', request_inference_header_length="11")

    assert applied(given, rule("/ssn")).flags == Flag.REDACTION_FAILED


def test_a_response_of_another_form_is_left_where_the_rule_is_for_both() -> None:
    given = frame(b"1,2", b'{"p":1}', kind="text/csv")

    found = applied(given, rule("column:1"))

    assert (found.request, found.response) == (b"1,", b'{"p":1}')


def test_a_response_of_another_form_fails_where_the_rule_is_for_responses() -> None:
    found = applied(frame(b"1,2", b'{"p":1}', kind="text/csv"), rule("column:1", side="response"))

    assert found.flags == Flag.REDACTION_FAILED


@pytest.mark.parametrize("body", ['{"instances":[{"ssn":"1"}]}', '{"rows":[{"ssn":"1"}]}', "1,2"])
def test_of_rules_for_several_shapes_one_that_finds_its_field_is_enough(body: str) -> None:
    fields = ("/instances/*/ssn", "/rows/*/ssn", "column:0")
    rules = [rule(field, side="request") for field in fields]
    kind = "text/csv" if body == "1,2" else JSON

    known = applied(frame(body.encode(), kind=kind), *rules)
    other = applied(frame(b'{"people":[{"ssn":"1"}]}'), *rules)

    assert (known.flags, b"1" in known.request) == (Flag.REDACTED, False)
    assert other.flags == Flag.REDACTION_FAILED


def test_a_field_that_may_be_missing_may_be_missing() -> None:
    found = applied(frame(b'{"b": 1}'), rule("/a", optional=True))

    assert (json.loads(found.request), found.flags & Flag.REDACTION_FAILED) == ({"b": 1}, 0)


@pytest.mark.parametrize("status", [0, 400, 422, 500])
def test_what_tells_of_a_failure_may_quote_the_request_and_goes(status: int) -> None:
    given = frame(b'{"ssn":"078"}', b'{"detail":"bad ssn 078"}', status=status)

    found = applied(given, rule("/ssn", side="request"))

    assert (found.request, found.response) == (b"{}", b"")
    assert found.flags == Flag.REDACTED


class _Faulty(Rule):
    """A rule with a fault that nobody thought of."""

    def change(self, keys: Keys) -> Change:
        def fail(value: object) -> object:
            raise RuntimeError(value)

        return fail


@pytest.mark.parametrize("field", ["/a", "column:0", "header:inference_id"])
def test_a_rule_that_fails_in_an_unforeseen_way_leaves_nothing_and_stops_nobody(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = [_Faulty("flights", field, "drop"), rule("header:custom_attributes")]
    kind = "text/csv" if field == "column:0" else JSON
    body = b"secret,1" if kind == "text/csv" else b'{"a":"secret"}'

    with caplog.at_level(logging.WARNING):
        found = applied(
            frame(body, kind=kind, inference_id="secret", custom_attributes="secret"), *rules
        )

    assert found.request == b""
    assert "secret" not in repr(found if field.startswith("header") else found.request)
    assert "custom_attributes" not in found.meta
    assert "secret" not in caplog.text


def test_a_hash_fits_a_text_column_and_is_unfit_for_a_number() -> None:
    signature = Signature(
        features=(Column("a", "feature_a", "string"), Column("b", "feature_b", "double"))
    )
    given = frame(b'{"a":"x","b":1.5}')
    hashed = applied(given, rule("/a", "hash"), rule("/b", "hash"))

    found = decode(Records.of([(str(uuid.UUID(int=7)), hashed)]), signature)

    assert found.columns["feature_a"][0].as_py().startswith("k2:")
    assert found.columns["feature_b"][0].as_py() is None
    assert dict(found.unfit[0].as_py())["b"].startswith("k2:")
