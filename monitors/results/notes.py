"""Notes on a check's numbers, for every display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline.monitors.results.violation import plural

NAMED = 3


def notes_of(details: Mapping[str, object]) -> tuple[str, ...]:
    """Return a report's notes: the details whose key ends in ``_note``, also those of plug-ins."""
    return tuple(
        text
        for key, text in details.items()
        if key.endswith("_note") and isinstance(text, str) and text
    )


def missing_note(missing: Sequence[str]) -> str:
    """Return a sentence on columns missing from the data; empty for none."""
    if not missing:
        return ""
    left = len(missing) - NAMED
    names = ", ".join(missing[:NAMED]) + (f" and {left} more" if left > 0 else "")
    return f"not looked at, as the data lack {plural(len(missing), 'column')}: {names}"
