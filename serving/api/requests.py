"""What the bodies and parameters of requests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from driftline.errors import InputError

Limit = Annotated[int, Query(ge=1, le=1000)]


class Fields(BaseModel):
    """A body, or parameters, of which every field is known."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def in_utc(moment: datetime) -> datetime:
    """Return a time in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InputError(
            f"time {moment.isoformat()}; expected one within the years 1 to 9999 in UTC"
        ) from None
