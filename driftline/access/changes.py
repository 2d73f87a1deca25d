"""The changed fields of a change, for the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 60  # What is longer reads better as JSON.


def changed_fields(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[str]:
    """Return the fields that differ, one a line; none of what was deleted, being all of it."""
    if after is None:
        return
    old, new = (dict(_fields(side or {})) for side in (before, after))
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    for name in changed:
        was = f"{_short(old[name])} -> " if name in old else ""
        yield f"{name}: {was}{_short(new.get(name))}"


def _fields(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Return the fields of a document by their paths; those that hold nothing are left out."""
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            yield from _fields(entry, f"{above}{key}.")
        elif entry not in (None, "", []):
            yield f"{above}{key}", entry


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
