"""What a terminal may be sent of texts that stand in data, scripts and documents."""

from __future__ import annotations

import re

# Control characters (C0 but for tab and the line's end, DEL, C1), the other line ends of Unicode
# and what turns the direction of writing: names and values may hold them to steer a terminal.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Put a mark in the place of each character that would steer a terminal, not be shown."""
    return _STEERING.sub("\ufffd", text)


def harmless_json(text: str) -> str:
    """Write such characters of a JSON text as escapes: the same values, and nothing steers."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
