"""What becomes of records of endpoints that have rules."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import logging
import uuid
import zlib
from typing import Any

import pytest

from driftline.capture.decoding.decode import decode
from driftline.capture.redaction.keys import Key, Keys, read_keys
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.redaction.values import Change
from driftline.capture.spool.frame import Flag, Frame, Kind
from driftline.capture.spool.records import Records
from driftline.errors import InputError
from driftline.signature import Column, Signature

KEYS = read_keys("k1:0123456789abcdef0123456789abcdef,k2:a_second_key_of_good_length")
JSON = "application/json"


def frame(
    request: bytes = b"",
    response: bytes = b"",
    *,
    kind: str = JSON,
    answer: str = JSON,
    status: int = 200,
    flags: int = 0,
    **meta: str,
) -> Frame:
    told = {
        "endpoint": "flights",
        "event_id": "e",
        "request_content_type": kind,
        "response_content_type": answer,
        **meta,
    }
    return Frame(
        Kind.RECORD, flags, 7, 1, 2, 3, 4, len(request), len(response), status, told, request,
        response,
    )  # fmt: skip


def applied(given: Frame, *rules: Rule, keys: Keys = KEYS) -> Frame:
    (found,) = Redactor(rules, keys).frames([given])
    return found


def rule(field: str, action: str = "drop", **more: Any) -> Rule:
    return Rule("flights", field, action, **more)


def document(given: object, *rules: Rule) -> Any:
    return json.loads(applied(frame(json.dumps(given).encode()), *rules).request)


# --- actions ---


def test_a_field_that_is_dropped_goes_and_one_that_is_nulled_stays_empty() -> None:
    assert document({"a": 1, "b": 2, "c": 3}, rule("/a"), rule("/b", "null")) == {"b": None, "c": 3}


def test_in_a_list_the_place_of_a_dropped_value_stays_for_those_behind_it() -> None:
    assert document({"instances": [[1, 2, 3]]}, rule("/instances/*/1")) == {
        "instances": [[1, None, 3]]
    }


def test_a_hash_is_hmac_sha256_under_the_newest_key_and_names_it() -> None:
    expected = hmac.new(b"a_second_key_of_good_length", b"N14228", hashlib.sha256).hexdigest()

    assert document({"tail": "N14228"}, rule("/tail", "hash")) == {"tail": f"k2:{expected}"}


def test_hmac_agrees_with_rfc_4231() -> None:
    # Test case 2 of RFC 4231.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert Key("t", b"Jefe").hash("what do ya want for nothing?") == f"t:{expected}"


def test_a_rule_may_name_an_older_key() -> None:
    found = document({"tail": "x"}, rule("/tail", "hash", key="k1"))

    assert found["tail"].startswith("k1:")


def test_equal_values_have_equal_hashes_in_json_and_csv() -> None:
    in_json = document({"n": 42}, rule("/n", "hash"))["n"]

    in_csv = applied(frame(b"42,1", kind="text/csv"), rule("column:0", "hash")).request

    assert in_csv == f"{in_json},1".encode()


@pytest.mark.parametrize("body", [b"42,1\n", b'"42",1\r\n', b"42,1\n43,1"])
@pytest.mark.parametrize(
    "action",
    [{"action": "hash"}, {"action": "mask", "keep": 2}, {"action": "bucket", "width": 10.0}],
)
def test_a_byte_order_mark_is_no_part_of_the_first_cell(
    body: bytes, action: dict[str, Any]
) -> None:
    marked, plain = (
        applied(frame(start + body, kind="text/csv"), rule("column:0", **action)).request
        for start in (b"\xef\xbb\xbf", b"")
    )

    assert marked == b"\xef\xbb\xbf" + plain
    assert b"42," not in plain.replace(b'"', b"")


@pytest.mark.parametrize("value", ["42", " 42", "42 \t", "\u00a042"])
def test_blanks_around_a_short_value_do_not_show_it(value: str) -> None:
    assert document({"a": value}, rule("/a", "mask", keep=2)) == {"a": "***"}


def test_a_mask_keeps_the_end_and_tells_no_length() -> None:
    card = rule("/card", "mask", keep=4)

    assert document({"card": "4111111111111111"}, card) == {"card": "***1111"}
    assert document({"card": "411111111"}, card) == {"card": "***1111"}


@pytest.mark.parametrize(
    "value", ["1111", "1", "", ["4111111111111111"], {"n": "4111111111111111"}]
)
def test_a_mask_keeps_nothing_of_what_is_too_short_or_no_text(value: object) -> None:
    assert document({"card": value}, rule("/card", "mask", keep=4)) == {"card": "***"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(17, 0), (18, 18), (64.9, 18), (65, 65), (1e300, 65), (-1, None), ("40", "18"), ("old", None),
     (True, None), ([40], None), (None, None), ("sNaN", None), ("1e999999999", None)],
)  # fmt: skip
def test_a_bucket_is_named_by_its_lower_edge(value: object, expected: object) -> None:
    assert document({"age": value}, rule("/age", "bucket", edges=(0, 18, 65))) == {"age": expected}


@pytest.mark.parametrize(
    ("width", "value", "expected"),
    [(10, 37, 30), (10, -3, -10), (0.1, 0.37, 0.3), (2.5, 7.4, 5), (10, "37", "30")],
)
def test_buckets_of_a_width_begin_at_its_multiples(
    width: float, value: object, expected: object
) -> None:
    assert document({"x": value}, rule("/x", "bucket", width=width)) == {"x": expected}


def test_a_bucket_of_texts_is_their_beginning() -> None:
    assert document({"zip": "10115"}, rule("/zip", "bucket", keep=2)) == {"zip": "10"}


def test_what_is_missing_stays_missing() -> None:
    every = [
        rule(f"/{a}", a, **m) for a, m in (("hash", {}), ("mask", {}), ("bucket", {"width": 5}))
    ]

    assert document({"hash": None, "mask": 1, "bucket": None}, *every) == {
        "hash": None, "mask": "***", "bucket": None,
    }  # fmt: skip


# --- places ---


def test_pointers_reach_every_element_and_names_with_signs() -> None:
    given = {"instances": [{"a/b": 1, "~": 2, "-": 3}, {"a/b": 4}], "list": [[1, 2], [3, 4]]}

    found = document(
        given, rule("/instances/*/a~1b"), rule("/instances/-/~0"), rule("/list/*/1", "null")
    )

    assert found == {"instances": [{"-": 3}, {}], "list": [[1, None], [3, None]]}


def test_a_star_is_every_member_of_an_object_too() -> None:
    assert document({"people": {"x": {"n": 1}, "y": {"n": 2}}}, rule("/people/*/n", "null")) == {
        "people": {"x": {"n": None}, "y": {"n": None}}
    }


def test_json_lines_are_changed_line_by_line() -> None:
    given = frame(b'{"a":1,"b":2}\n\n{"a":3}\r\n', kind="application/jsonlines")

    assert applied(given, rule("/a", "null")).request == b'{"a":null,"b":2}\n{"a":null}\n'


def test_of_csv_only_the_addressed_cells_change() -> None:
    given = b'1, x ,"a ""b"", c",\xc3\xa9\r\n2,,"",z\r\n'

    found = applied(frame(given, kind="text/csv; charset=utf-8"), rule("column:2", "mask"))

    assert found.request == b'1, x ,***,\xc3\xa9\r\n2,,"",z\r\n'


def test_what_needs_quotes_in_csv_gets_them() -> None:
    given = frame(b'"Smith, ""J""",1\n', kind="text/csv")

    assert applied(given, rule("column:0", "bucket", keep=9)).request == b'"Smith, ""J",1\n'


def test_columns_can_be_named_by_the_rule() -> None:
    named = rule("column:age", "bucket", width=10, columns=("id", "age"))

    assert applied(frame(b"a,37\nb,41", kind="text/csv"), named).request == b"a,30\nb,40"


def test_headers_are_redacted_by_their_name_on_either_side() -> None:
    given = frame(b"{}", inference_id="person-7", custom_attributes="ssn=1")

    found = applied(
        given, rule("header:inference_id", "mask", keep=1),
        rule("header:X-Amzn-SageMaker-Custom-Attributes"),
    )  # fmt: skip

    assert found.meta["inference_id"] == "***7"
    assert "custom_attributes" not in found.meta
    assert (found.request, found.flags) == (b"{}", Flag.REDACTED)


def test_headers_without_a_column_are_redacted_in_their_line() -> None:
    lines = "accept:text/csv\nx-request-id:person-7\nx-user:ann:7"
    rules = [rule("header:X-Request-Id", "mask", keep=1), rule("header:x-user")]

    found = applied(frame(headers=lines), *rules)
    alone = applied(frame(headers="x-user:ann"), *rules)
    failed = applied(frame(b"{", headers=lines), rule("/a"), *rules)

    assert found.meta["headers"] == "accept:text/csv\nx-request-id:***7"
    assert "headers" not in alone.meta
    assert failed.meta["headers"] == "accept:text/csv"
    assert failed.flags == Flag.REDACTION_FAILED


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b'{"a":1,"b":2}', mtime=0), "gzip"),
        (zlib.compress(b'{"a":1,"b":2}'), "deflate"),
    ],
)
def test_a_packed_body_is_unpacked_changed_and_packed_again(packed: bytes, encoding: str) -> None:
    found = applied(frame(packed, request_encoding=encoding), rule("/a"))

    assert gzip.decompress(found.request) == b'{"b":2}'
    assert found.meta["request_encoding"] == "gzip"
    assert found.request_bytes == len(packed)


def test_a_small_body_that_unpacks_to_a_large_one_stays_small() -> None:
    # A batch holds thousands of them; a megabyte of each would be more than a host has.
    bomb = gzip.compress(b'{"ssn":"1","pad":"' + b" " * 1_000_000 + b'"}')

    found = applied(frame(bomb, request_encoding="gzip"), rule("/ssn"))

    assert found.flags == Flag.REDACTED
    assert len(found.request) < 16_000


def test_an_encoding_that_changes_nothing_is_left_away_with_the_old_bytes() -> None:
    found = applied(frame(b'{"a":1}', request_encoding="identity"), rule("/a"))

    assert (found.request, "request_encoding" in found.meta) == (b"{}", False)


def test_a_whole_body_goes_whatever_it_is() -> None:
    given = frame(b"\x93NUMPY\x00", b'{"p":1}', kind="application/x-npy")

    found = applied(given, rule("", "drop", side="request"))

    assert (found.request, found.response) == (b"", b'{"p":1}')
    assert found.flags == Flag.REDACTED


def test_rules_for_all_endpoints_hold_beside_an_endpoints_own() -> None:
    cleaner = Redactor([Rule("*", "/a", "drop"), Rule("Flights", "/b", "drop")])
    other = frame(b'{"a":1,"b":2}')._replace(meta={"endpoint": "other"})

    found = cleaner.frames([frame(b'{"a":1,"b":2,"c":3}'), other])

    assert [one.request for one in found] == [b'{"c":3}', b'{"b":2}']
    assert cleaner.endpoints == {"*", "flights"}
    assert cleaner.covers("anything")


def test_an_endpoint_without_rules_and_a_gap_pass_as_they_are() -> None:
    cleaner = Redactor([Rule("private", "/a", "drop")])
    gap = frame()._replace(kind=Kind.GAP, meta={"endpoint": "private"})
    given = [frame(b'{"a":1}'), gap]

    assert cleaner.frames(given) == given
    assert not cleaner.covers("flights")
    assert cleaner.covers("PRIVATE")


def test_the_same_frame_gives_the_same_bytes_each_time() -> None:
    rules = [rule("/a", "hash"), rule("/b", "mask", keep=2)]
    given = frame(b'{"b":"12345","a":[1,{"z":1,"y":2}],"u":"\\u00e9\\ud800"}')

    assert applied(given, *rules) == applied(given, *rules)


# --- fail closed ---

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
     (Flag.BODY_SHED, "both")],
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


def test_a_failure_is_told_once_and_names_the_mend(caplog: pytest.LogCaptureFixture) -> None:
    cleaner = Redactor([rule("/ssn")])

    with caplog.at_level(logging.WARNING):
        cleaner.frames([frame(b'{"x":"secret"}')] * 3)

    assert caplog.text.count("redaction failed") == 1
    assert "optional = true" in caplog.text
    assert "secret" not in caplog.text
    assert cleaner.counters["redaction_failed"] == 3


def test_the_table_says_why_a_body_is_not_there() -> None:
    signature = Signature(features=(Column("a", "feature_a", "string"),))
    failed = applied(frame(b'{"a":1', kind=JSON), rule("/a"))

    found = decode(Records.of([(str(uuid.UUID(int=7)), failed)]), signature)

    assert found.errors == ["request: left out, for it could not be redacted"]


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


# --- bad rules and keys ---


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"endpoint": "../x"}, "is no name"),
        ({"action": "hide"}, 'action "hide" is unknown; expected one of "drop"'),
        ({"side": "left"}, 'side "left" is unknown'),
        ({"field": "ssn"}, "expected a JSON Pointer"),
        ({"field": "/a~2"}, "expected ~0 for ~"),
        ({"field": "/a" * 33}, "at most 32"),
        ({"field": "column:age"}, "expected columns = "),
        ({"field": "column:age", "columns": ("a", "b")}, "expected one of columns"),
        ({"field": "column:2", "columns": ("a", "b")}, "count from 0"),
        ({"field": "column:a", "columns": ("a", "a")}, "each once"),
        ({"field": "column:-1"}, "neither a number nor declared"),
        ({"field": "header:endpoint"}, "no header that can be redacted"),
        ({"field": "header:Content-Type"}, "no header that can be redacted"),
        ({"field": "header:content-encoding"}, "no header that can be redacted"),
        ({"field": "header:X-Driftline-Event-Time"}, "no header that can be redacted"),
        ({"field": "header:inference_id", "side": "request"}, "leave it out"),
        ({"field": "", "action": "hash"}, 'expected "drop"'),
        ({"keep": 3}, "keep does nothing here"),
        ({"width": 3.0}, "width does nothing here"),
        ({"edges": (1.0,)}, "edges does nothing here"),
        ({"key": "k1"}, "key does nothing here"),
        ({"columns": ("a",)}, "columns does nothing here"),
        ({"action": "mask", "keep": -1}, "expected 0 or more"),
        ({"action": "bucket"}, "needs one of edges, width and keep"),
        ({"action": "bucket", "width": 1.0, "keep": 1}, "needs one of"),
        ({"action": "bucket", "edges": (2.0, 1.0)}, "do not ascend"),
        ({"action": "bucket", "edges": (1.0, float("nan"))}, "finite"),
        ({"action": "bucket", "width": -1.0}, "above 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_mend(
    given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=r"redaction of") as told:
        Rule(**{"endpoint": "flights", "field": "/a", "action": "drop", **given})

    assert sentence in str(told.value)
    assert str(told.value).count("\n") == 0


def test_a_hash_without_a_key_is_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="no key to hash with"):
        Redactor([rule("/a", "hash")])
    with pytest.raises(InputError, match='key "k9" is unknown; expected one of "k1", "k2"'):
        Redactor([rule("/a", "hash", key="k9")], KEYS)
