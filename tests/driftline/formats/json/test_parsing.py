"""Faults of JSON are told in words of the text, never as advice about Python."""

from __future__ import annotations

import pytest

from driftline.formats.json.parsing import fault_of, parse


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
