"""Faults of JSON are told in words of the text, never as advice about Python."""

from __future__ import annotations

import json

import pytest

from driftline.formats.json.parsing import fault_of, has_long_number, parse


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"1" * 4301, "a whole number of more than 4,300 digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
    ids=["digits", "nested", "cut", "bytes"],
)
def test_faults(text: bytes, told: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as raised:
        parse(text, has_long=True)
    assert fault_of(raised.value) == told


@pytest.mark.parametrize(
    ("text", "is_long"),
    [
        (b"9223372036854775807", True),
        (b"[-9223372036854775809]", True),
        (b'{"a":1234567890123456789}', True),
        (b"999999999999999999", False),
        (b"0.1234567890123456789012", False),  # What a fraction rounds to is the same to all.
        (b"[1.0E-4,12345678901234567.5]", False),
    ],
)
def test_whole_numbers_that_may_be_rounded_are_found(text: bytes, is_long: bool) -> None:
    assert has_long_number(text) is is_long
    assert parse(text) == json.loads(text)
    assert type(parse(text)) is type(json.loads(text))
