"""What becomes of records of endpoints that have rules."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import zlib
from typing import Any

import pytest

from driftline.capture.redaction.keys import Key
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Flag, Kind
from tests.capture.redaction.redaction_tools import applied, document, frame, rule

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


def test_a_mask_keeps_the_end_and_tells_no_length() -> None:
    card = rule("/card", "mask", keep=4)

    assert document({"card": "4111111111111111"}, card) == {"card": "***1111"}
    assert document({"card": "411111111"}, card) == {"card": "***1111"}


@pytest.mark.parametrize(
    "value", ["1111", "1", " ", ["4111111111111111"], {"n": "4111111111111111"}]
)
def test_a_mask_keeps_nothing_of_what_is_too_short_or_no_text(value: object) -> None:
    assert document({"card": value}, rule("/card", "mask", keep=4)) == {"card": "***"}


@pytest.mark.parametrize("missing", [None, "", float("nan")])
@pytest.mark.parametrize("action", ["hash", "mask", "null"])
def test_a_missing_value_is_null_after_any_action(missing: object, action: str) -> None:
    more = {"keep": 4} if action == "mask" else {}

    assert document({"card": missing}, rule("/card", action, **more)) == {"card": None}


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


def test_json_lines_are_changed_line_by_line() -> None:
    given = frame(b'{"a":1,"b":2}\n\n{"a":3}\r\n', kind="application/jsonlines")

    assert applied(given, rule("/a", "null")).request == b'{"a":null,"b":2}\n{"a":null}\n'


def test_of_csv_only_the_addressed_cells_change() -> None:
    given = b'1, x ,"a ""b"", c",\xc3\xa9\r\n2,,"",z\r\n'

    found = applied(frame(given, kind="text/csv; charset=utf-8"), rule("column:2", "mask"))

    assert found.request == b'1, x ,***,\xc3\xa9\r\n2,,"",z\r\n'


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
    assert all(map(cleaner.covers, ("flights", "others")))
    assert cleaner.covers("anything")


def test_an_endpoint_without_rules_and_a_gap_pass_as_they_are() -> None:
    cleaner = Redactor([Rule("private", "/a", "drop")])
    gap = frame()._replace(kind=Kind.GAP, meta={"endpoint": "private"})
    given = [frame(b'{"a":1}'), gap]

    assert cleaner.frames(given) == given
    assert not cleaner.covers("flights")
    assert cleaner.covers("PRIVATE")
