"""What the tests of redaction share: a record, rules, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

from driftline.capture.redaction.keys import Keys, read_keys
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Frame, Kind

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
