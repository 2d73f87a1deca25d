"""Notes on a check's numbers, for every display."""

from __future__ import annotations

from collections.abc import Mapping


def notes_of(details: Mapping[str, object]) -> tuple[str, ...]:
    """Return a report's notes: the details whose key ends in ``_note``, also those of plug-ins."""
    return tuple(
        text
        for key, text in details.items()
        if key.endswith("_note") and isinstance(text, str) and text
    )
