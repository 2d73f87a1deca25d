"""How times are written in answers: one spelling, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(time: datetime) -> str:
    """Write a time as ISO 8601 in UTC, with parts of a second only if there are any."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
