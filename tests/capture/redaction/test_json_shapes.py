"""JSON whose fields stand elsewhere than a pointer by position tells goes no further."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Flag, Frame, Kind

S = "XSECRETX"
SPLIT = {"columns": ["km", "note"], "data": [[1, S], [2, S]]}


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "BYTES", "data": data}


def applied(content: bytes, *rules: Rule, kind: str = "application/json") -> Frame:
    told = {"endpoint": "e", "request_content_type": kind}
    given = Frame(Kind.RECORD, 0, 1, 1, 1, 1, 1, len(content), 1, 200, told, content, b"1")
    (found,) = Redactor(rules).frames([given])
    return found


def rule(field: str, **more: Any) -> Rule:
    return Rule("e", field, "drop", **{"side": "request", **more})


UNCERTAIN = [
    # Names beside the rows tell which column is which, not the place.
    ("/dataframe_split/data/*/0", {"dataframe_split": SPLIT}),
    ("/dataframe_split/data/0/0", {"dataframe_split": SPLIT}),
    ("/data/-/1", SPLIT),
    ("/inputs/0/data", {"inputs": [tensor("km", [1], [1]), tensor("note", [1], [S])]}),
    ("/inputs/0/data/*", {"inputs": [tensor("km", [1], [1]), tensor("note", [1], [S])]}),
    # Two rows, written flat.
    ("/inputs/0/data/1", {"inputs": [tensor("x", [2, 2], [1, S, 2, S])]}),
    ("/inputs/*/data/1", {"inputs": [tensor("x", [2, 2], [1, S, 2, S])]}),
    # Rows where the rule knows a row.
    ("/1", [[1, S], [2, S]]),
    ("/instances/1", {"instances": [[1, S], [2, S]]}),
    ("/features/1", {"features": [{"note": S}, {"note": S}]}),
    # A row inside of another one's place.
    ("/instances/*/note", {"instances": [{"note": S}, {"features": {"note": S}}]}),
    ("/instances/*/note", {"instances": [{"note": S}, {"data": {"features": {"note": S}}}]}),
]


@pytest.mark.parametrize(("field", "document"), UNCERTAIN)
def test_a_place_that_may_be_another_leaves_neither_body(field: str, document: object) -> None:
    found = applied(json.dumps(document).encode(), rule(field))

    assert (found.request, found.response, found.flags) == (b"", b"", Flag.REDACTION_FAILED)


@pytest.mark.parametrize(("field", "document"), UNCERTAIN[:10])
def test_a_place_that_may_be_another_is_refused_where_it_is_optional_or_names_are_dropped_first(
    field: str, document: object
) -> None:
    gone = [rule(one) for one in ("/columns", "/dataframe_split/columns", "/inputs/*/name")]

    found = applied(json.dumps(document).encode(), *gone, rule(field, optional=True))

    assert found.flags == Flag.REDACTION_FAILED


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("/dataframe_split/data", {"dataframe_split": SPLIT}),
        ("/dataframe_split/data/*/*", {"dataframe_split": SPLIT}),
        ("/data/*/1", {"columns": [0, 1], "data": [[1, S], [2, S]]}),
        ("/inputs/*/data", {"inputs": [tensor("km", [1], [1]), tensor("note", [1], [S])]}),
        ("/inputs/0/data/1", {"inputs": [tensor("x", [1, 2], [1, S])]}),
        ("/inputs/0/data/*/1", {"inputs": [tensor("x", [2, 2], [[1, S], [2, S]])]}),
        ("/features/1", {"features": [1, S]}),
        ("/instances/*/1", {"instances": [[1, S], [2, S]]}),
        ("/people/*/note", {"people": [{"note": S}, {"tags": ["a"], "n": 1}, {"tags": ["a"]}]}),
    ],
)
def test_a_place_that_is_certain_is_redacted(field: str, document: object) -> None:
    found = applied(json.dumps(document).encode(), rule(field))

    assert found.flags == Flag.REDACTED
    assert S.encode() not in found.request


def test_a_line_of_another_shape_than_those_beside_it_leaves_neither_body() -> None:
    lines = [{"note": S}, {"instances": [{"note": S}]}]
    content = "\n".join(map(json.dumps, lines)).encode()

    found = applied(content, rule("/note"), kind="application/jsonlines")

    assert (found.request, found.flags) == (b"", Flag.REDACTION_FAILED)
