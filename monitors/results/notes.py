"""What there is to know of a check's numbers, for everything that shows them."""

from __future__ import annotations

from collections.abc import Mapping


def notes_of(details: Mapping[str, object]) -> tuple[str, ...]:
    """Return the sentences of a report's details: the texts whose key ends in ``_note``.

    By their ending, so that each kind's notes, of plug-ins too, are shown wherever reports are.
    """
    return tuple(
        text
        for key, text in details.items()
        if key.endswith("_note") and isinstance(text, str) and text
    )
