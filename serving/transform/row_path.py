"""Paths by which a job selects values of a CSV row, such as ``$``, ``$[0,-1]`` or ``$[1:4]``.

SageMaker's JSONPath as far as rows have places. The prose of its guide calls the end of a slice
inclusive; the library that it names, and its table, exclude it, as we do.
"""

from __future__ import annotations

import re

from driftline.errors import InputError

_PLACE = r"(?:-?\d{1,9})?:(?:-?\d{1,9})?|-?\d{1,9}"
_PATH = re.compile(rf"\$(?:\[((?:{_PLACE})(?:,(?:{_PLACE}))*)\])?")


class PathError(InputError):
    """A path cannot be read, or names nothing in a record."""


class RowPath:
    """A path that was read; called with a row, it gives what the path chooses."""

    def __init__(self, text: str) -> None:
        self.text = text
        path = _PATH.fullmatch(text.replace(" ", ""))
        if path is None:
            raise PathError(f'filter "{text[:80]}"; expected such as $, $[0,2], $[1:4] or $[1:]')
        self._places = [_place(part) for part in path[1].split(",")] if path[1] else []

    @property
    def is_whole(self) -> bool:
        """Whether the whole row is chosen."""
        return not self._places

    def __call__(self, row: list[str]) -> list[str]:
        """Return the values that are chosen."""
        if self.is_whole:
            return row
        try:
            parts = (row[one] if isinstance(one, slice) else [row[one]] for one in self._places)
            return [value for part in parts for value in part]
        except IndexError:
            raise PathError(f'filter "{self.text}": the row has {len(row)} values') from None


def _place(part: str) -> int | slice:
    if ":" not in part:
        return int(part)
    return slice(*(int(end) if end else None for end in part.split(":")))
