"""JSON bodies that no store could keep are refused before an operation reads them."""

from __future__ import annotations

import asyncio
import re

from fastapi import Request

from driftline.validation import require_finite, require_unicode

# Half of a surrogate pair, escaped or in bytes, and a number that may be above all floats: by its
# exponent, or by its digits.
_DOUBTFUL = [
    re.compile(rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"),
    re.compile(rb"\xed[\xa0-\xbf]"),
    re.compile(rb"e\+?[0-9]{3,}(?:[\s,}\]]|\Z)"),
    re.compile(rb"E\+?[0-9]{3,}(?:[\s,}\]]|\Z)"),
]
_TO_ZEROS, _LONG = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 200


async def require_plain_body(request: Request) -> None:
    """Refuse a JSON body with half of a surrogate pair, NaN or an infinity; for every route.

    Most bodies have no bytes that could be one: those are not walked, however large they are.
    """
    if request.scope["route"].body_field is None or not _is_doubtful(await request.body()):
        return
    try:
        body = await request.json()
    except (ValueError, RecursionError):  # The route's own reading says what is wrong.
        return
    # In a thread: what is large would hold up all other requests.
    await asyncio.to_thread(_require_plain, body)


def _is_doubtful(body: bytes) -> bool:
    """Whether a body may hold what JSON in Unicode cannot; one in UTF-16 or UTF-32 always may."""
    return (
        any(word in body for word in (b"\0", b"NaN", b"Infinity"))
        or any(one.search(body) for one in _DOUBTFUL)
        or _LONG in body.translate(_TO_ZEROS)
    )


def _require_plain(body: object) -> None:
    require_unicode(body, "body")
    require_finite(body, "body")
