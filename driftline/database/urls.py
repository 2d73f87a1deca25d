"""Database URLs as text; standard library only, so that settings load without SQLAlchemy."""

from __future__ import annotations

import re

# From the first colon that begins no host to the last @, also where the rest is no URL.
PASSWORD = re.compile(r":(?!//).*@|(?<=password=)[^&]*")


def without_password(url: str) -> str:
    """Return a URL as it may be shown and logged."""
    return PASSWORD.sub(lambda found: ":***@" if found[0].endswith("@") else "***", url)
