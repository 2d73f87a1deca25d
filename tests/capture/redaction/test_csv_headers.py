"""CSV with a first line of names: rules by name follow it; what is uncertain goes no further."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.capture.redaction.keys import read_keys
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Flag, Frame, Kind

KEYS = read_keys("k:0123456789abcdef")
NAMES = ("km", "stops", "carrier", "express", "note")
VALUES = {"km": "7.5", "stops": "2", "carrier": "UA", "express": "True", "note": "XSECRETX"}


def applied(body: str, *rules: Rule, response: bytes = b"1") -> Frame:
    told = {
        "endpoint": "e",
        "request_content_type": "text/csv",
        "response_content_type": "text/csv",
    }
    content = body.encode()
    given_frame = Frame(
        Kind.RECORD, 0, 1, 1, 1, 1, 1, len(content), 1, 200, told, content, response
    )
    (found,) = Redactor(rules, KEYS).frames([given_frame])
    return found


def note(action: str = "mask", field: str = "column:note", **more: Any) -> Rule:
    return Rule("e", field, action, **{"side": "request", "columns": NAMES, **more})


def assert_nothing_is_left(found: Frame) -> None:
    assert (found.request, found.response) == (b"", b"")
    assert found.flags == Flag.REDACTION_FAILED


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("note,km,stops,carrier,express\nXSECRETX,7.5,2,UA,True",
         "note,km,stops,carrier,express\n***,7.5,2,UA,True"),
        ("km,stops,note,carrier,express\n7.5,2,XSECRETX,UA,True\n8,1,XSECRETX,AA,False\n",
         "km,stops,note,carrier,express\n7.5,2,***,UA,True\n8,1,***,AA,False\n"),
        ("km,stops,carrier,express,note\n7.5,2,UA,True,XSECRETX",
         "km,stops,carrier,express,note\n7.5,2,UA,True,***"),
        ('\ufeff\r\n"note",km,stops,"carrier",express\r\n\r\n"XSECRETX",7.5,2,UA,True\r\n',
         '\ufeff\r\n"note",km,stops,"carrier",express\r\n\r\n***,7.5,2,UA,True\r\n'),
    ],
)  # fmt: skip
def test_a_rule_by_name_follows_the_header_and_leaves_its_cells(body: str, expected: str) -> None:
    found = applied(body, note())

    assert found.request.decode() == expected
    assert found.flags == Flag.REDACTED


@pytest.mark.parametrize(
    "header",
    ["Note,km,stops,carrier,express", " note ,km,stops,carrier,express",
     "\ufeff\ufeffnote,km,stops,carrier,express", "NOTE,KM,STOPS,CARRIER,EXPRESS",
     "note,kilometres,stops,line,fast", "remark,kilometres,halts,line,fast",
     "note,note,stops,carrier,express", "stops,0,1,2,note"],
)  # fmt: skip
def test_a_header_that_cannot_be_settled_leaves_neither_body(header: str) -> None:
    assert_nothing_is_left(applied(f"{header}\nXSECRETX,7.5,2,UA,True", note()))


@pytest.mark.parametrize(
    "body",
    [
        "id,note,km,stops,carrier,express\n9,XSECRETX,7.5,2,UA,True",
        "note,km,stops,carrier,express\nXSECRETX,7.5,2,UA,True,1",
        "note,km\nXSECRETX,7.5",
    ],
)
@pytest.mark.parametrize("side", ["request", "both"])
def test_a_header_of_other_columns_leaves_neither_body(body: str, side: str) -> None:
    assert_nothing_is_left(applied(body, note(side=side)))


def test_a_rule_by_number_does_not_follow_a_header() -> None:
    by_number = note(field="column:4")

    swapped = applied("note,km,stops,carrier,express\nXSECRETX,7.5,2,UA,True", by_number)
    in_order = applied(f"{','.join(NAMES)}\n7.5,2,UA,True,XSECRETX", by_number)

    assert_nothing_is_left(swapped)
    assert in_order.request.decode() == f"{','.join(NAMES)}\n7.5,2,UA,True,***"


@pytest.mark.parametrize(
    "body",
    ["note,km,carrier\nXSECRETX,7.5,UA", "carrier,note\nUA,XSECRETX", ",note,km\n0,XSECRETX,1"],
)
def test_a_rule_by_number_without_columns_refuses_what_may_be_a_header(body: str) -> None:
    assert_nothing_is_left(applied(body, note(field="column:0", columns=())))


def test_numbers_that_are_called_as_columns_are_may_be_a_row() -> None:
    found = applied("1,0\n5,XSECRETX", note(field="column:1", columns=("0", "1")))

    assert_nothing_is_left(found)


def test_rules_that_do_not_agree_on_the_header_leave_neither_body() -> None:
    digits = ("a", "0")
    rules = [note(field="column:a", columns=digits), note(field="column:1", columns=())]

    assert_nothing_is_left(applied("0,a\n1,XSECRETX", *rules))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("7.5,2,express,True,XSECRETX\n8,1,AA,False,x", "7.5,2,express,True,***\n8,1,AA,False,***"),
        ("7.5,2,UA,True,note", "7.5,2,UA,True,***"),
        ("a,b,c,d,XSECRETX\ne,f,g,h,i", "a,b,c,d,***\ne,f,g,h,***"),
    ],
)
def test_rows_that_are_no_header_are_read_by_position(body: str, expected: str) -> None:
    assert applied(body, note()).request.decode() == expected


def test_rows_of_words_and_numbers_need_no_columns() -> None:
    by_number = note(field="column:0", columns=())

    assert applied("Ann,3\nBob,4\n", by_number).request == b"***,3\n***,4\n"
    assert applied("Ann\nBob\n", by_number).request == b"***\n***\n"


@settings(suppress_health_check=list(HealthCheck))
@given(
    st.permutations(NAMES),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\ufeff", "\n", "\ufeff\ufeff"]),
    st.sampled_from([str, str.upper, str.title, " {} ".format, "x_{}".format]),
    st.lists(st.sampled_from(["row", "index", "short"]), min_size=1, max_size=3),
    st.sampled_from(["drop", "hash", "mask"]),
    st.sampled_from(["column:note", "column:4"]),
    st.booleans(),
)  # fmt: skip
def test_no_secret_survives_in_csv_with_a_header(
    order: list[str],
    quoting: Any,
    line_end: str,
    start: str,
    spelled: Any,
    kinds: list[str],
    action: str,
    field: str,
    has_columns: bool,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=line_end)
    writer.writerow([spelled(name) for name in order])
    for kind in kinds:
        row = [VALUES[name] for name in order]
        writer.writerow({"row": row, "index": ["0", *row], "short": row[:-1]}[kind])
    columns = NAMES if has_columns or field == "column:note" else ()

    for side in ("request", "both"):
        rule = note(action, field, columns=columns, side=side)
        found = applied(start + text.getvalue(), rule)

        assert b"XSECRETX" not in found.request
        if found.flags == Flag.REDACTED:
            left = found.request.decode().lstrip("\ufeff\n")
            header = next(csv.reader(io.StringIO(left, newline="")))
            assert header == order


@pytest.mark.parametrize("score", ["-nan", "+NaN", "1_000", "NA"])
def test_a_first_row_with_what_names_nothing_is_a_row(score: str) -> None:
    rule = note(field="column:name", columns=("name", "score"))

    found = applied(f"Smith,{score}\nJones,1.5\n", rule)

    assert found.request.decode() == f"***,{score}\n***,1.5\n"
