"""How much a body may hold, and how one that cannot be read is refused."""

from __future__ import annotations

# A row of the table is some hundred bytes, also where a body spends one byte on it.
MAX_ROWS = 1 << 18
# What an invocation may have unless the settings say more: a second of reading, or two.
MAX_REQUEST_ROWS = 100_000
# As Python objects values take some sixty bytes each, also where a body spends two on one.
MAX_VALUES = 2 << 20


class BodyError(ValueError):
    """A body cannot be read; the message is what the table keeps of it, never what it holds."""


class TooManyRowsError(BodyError):
    """A body has more rows than a request may have."""


def require_rows(count: int, most: int = MAX_ROWS) -> None:
    """Refuse a body of no rows, or of so many that the table would drown in them."""
    if count < 1:
        raise BodyError("no rows")
    if count > most:
        raise TooManyRowsError(f"{count} rows; expected at most {most} in a request")
