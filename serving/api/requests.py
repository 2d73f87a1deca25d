"""What the bodies and parameters of requests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from driftline.capture.windows.window import Window
from driftline.errors import InputError

# The greatest whole number that databases take.
ID_MAX = (1 << 63) - 1

Limit = Annotated[int, Query(ge=1, le=1000)]


class Fields(BaseModel):
    """A body, or parameters, of which every field is known."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Span(Fields):
    """A half-open span of time, or none."""

    start: Annotated[AwareDatetime | None, Field(alias="from")] = None
    end: Annotated[AwareDatetime | None, Field(alias="to")] = None

    @property
    def span(self) -> Window | None:
        """Both ends; None where neither end is given."""
        if (self.start is None) != (self.end is None):
            raise InputError("only one of from and to is given; expected both or none")
        if self.start is None or self.end is None:
            return None
        return Window(in_utc(self.start), in_utc(self.end))


def in_utc(moment: datetime) -> datetime:
    """Return a time in UTC, which it is in when it names no zone."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise InputError(
            f"time {moment.isoformat()}; expected one within the years 1 to 9999 in UTC"
        ) from None
