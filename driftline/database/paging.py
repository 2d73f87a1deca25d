"""Pages of lists: each item comes once, whatever is added or deleted meanwhile.

A page begins after the last item of the page before, by the values of the list's order, which
identify items. Offsets would shift.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, ColumnElement, literal, true, tuple_

from driftline.errors import InputError

Place = tuple[str | int | datetime, ...]

# The greatest whole number that databases take.
_INTEGER_MAX = (1 << 63) - 1


def is_behind(
    place: Place | None, columns: Sequence[Column[object]], *, descending: bool = False
) -> ColumnElement[bool]:
    """Select the rows behind a place in the order of these columns; all, where it is None."""
    if place is None:
        return true()
    here = tuple_(*columns)
    there = tuple_(
        *(literal(value, column.type) for value, column in zip(place, columns, strict=True))
    )
    return here < there if descending else here > there


def token_of(place: Place) -> str:
    """Write a place as a token."""
    plain = [one.isoformat() if isinstance(one, datetime) else one for one in place]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(token: str | None, *kinds: type) -> Place | None:
    """Read the position from a page token, by the types of its values."""
    if token is None:
        return None
    try:
        text = token + "=" * (-len(token) % 4)
        given = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        return tuple(_read(one, kind) for one, kind in zip(given, kinds, strict=True))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise InputError(
            f'next_token "{token[:80]}"; expected that of the page before of the same list'
        ) from None


def _read(value: object, kind: type) -> str | int | datetime:
    """Read one value; what no database takes is refused here."""
    if kind is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        moment.utctimetuple()  # Refuses what is no time of UTC's years 1 to 9999.
        if moment.tzinfo is not None:
            return moment
    elif kind is int and type(value) is int and 0 <= value <= _INTEGER_MAX:
        return value
    elif kind is str and isinstance(value, str) and "\0" not in value:
        value.encode()  # Refuses half of a surrogate pair.
        return value
    raise ValueError(value)
