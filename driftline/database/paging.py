"""Pages that begin after the last item of the one before: offsets would shift as rows come."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, TypeAdapter
from pydantic_core import to_json
from sqlalchemy import ColumnElement, literal, true, tuple_

from driftline.errors import InputError

Place = tuple[str | int | datetime, ...]

# What databases take.
_FIELDS = {
    datetime: AwareDatetime,
    int: Annotated[int, Field(ge=0, lt=1 << 63)],
    str: Annotated[str, Field(pattern=r"^[^\x00]*$")],
}


def is_behind(
    place: Place | None, columns: Sequence[ColumnElement[Any]], *, descending: bool = False
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
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def place_of(token: str | None, *kinds: type) -> Place | None:
    """Read the position from a page token, by the types of its values."""
    if token is None:
        return None
    values: Any = tuple.__class_getitem__(tuple(_FIELDS[kind] for kind in kinds))
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found: Place = TypeAdapter(values).validate_json(text, strict=True)
        return tuple(one.astimezone(UTC) if isinstance(one, datetime) else one for one in found)
    except (ValueError, OverflowError):
        raise InputError(
            f'next_token "{token[:80]}"; expected that of the page before of the same list'
        ) from None
