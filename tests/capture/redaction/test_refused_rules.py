"""Rules and keys that make no sense are refused at the start."""

from __future__ import annotations

from typing import Any

import pytest

from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.errors import InputError
from tests.capture.redaction.redaction_tools import KEYS, rule


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
