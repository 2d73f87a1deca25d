"""The subset of JSONPath by which a job selects the model's input and the output to keep.

``$``, ``.name``, ``['a','b']``, ``[0,2]``, ``[-1]``, ``[1:4]``, ``[0,5:]``. The prose of
SageMaker's guide calls the end of a slice inclusive; the library that it names, and its table,
exclude it, as we do.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from driftline.errors import InputError

_MAX_LENGTH = 63  # SageMaker's.
_EXPECTED = "expected such as $, $.name, $['a','b'], $[0,2], $[1:4] or $[1:]"
_NAME = r"'[^']*'|\"[^\"]*\""
_PLACE = r"(?:-?\d{1,9})?\s*:\s*(?:-?\d{1,9})?|-?\d{1,9}"
_ONE = re.compile(f"{_NAME}|{_PLACE}")
_STEP = re.compile(
    r"\.(?P<child>[A-Za-z_][\w-]*)"
    rf"|\[\s*(?P<names>(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*)\s*\]"
    rf"|\[\s*(?P<places>(?:{_PLACE})(?:\s*,\s*(?:{_PLACE}))*)\s*\]"
)


class PathError(InputError):
    """A path cannot be read, or names nothing in a record."""


class JsonPath:
    """A path that was read; called with a record, it gives what the path chooses."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MAX_LENGTH or not text.startswith("$"):
            raise PathError(f'JSONPath "{text[:80]}"; {_EXPECTED}, at most {_MAX_LENGTH} letters')
        self._steps: list[tuple[Any, ...]] = []
        at = 1
        while at < len(text):
            step = _STEP.match(text, at)
            if step is None:
                raise PathError(f'JSONPath "{text}" at "{text[at:]}"; {_EXPECTED}')
            if step["child"]:
                self._steps.append((step["child"],))
            elif step["names"]:
                self._steps.append(tuple(one[1:-1] for one in _ONE.findall(step["names"])))
            else:
                self._steps.append(tuple(map(_place, _ONE.findall(step["places"]))))
            at = step.end()

    @property
    def is_whole(self) -> bool:
        """Whether the whole record is chosen."""
        return not self._steps

    @property
    def takes_positions(self) -> bool:
        """Whether the path fits a row of CSV: nothing, or one step of places."""
        return self.is_whole or (
            len(self._steps) == 1 and not any(isinstance(one, str) for one in self._steps[0])
        )

    def __call__(self, record: object) -> object:
        """Return what is chosen: one value, an object of several names, or a list of places."""
        for step in self._steps:
            record = self._take(record, step)
        return record

    def _take(self, found: Any, step: tuple[Any, ...]) -> object:  # noqa: ANN401 # Any value of JSON.
        are_names = isinstance(step[0], str)
        error = PathError(f'JSONPath "{self.text}": the record has no such value')
        if not isinstance(found, dict if are_names else list):
            raise error
        try:
            if are_names:
                # Several names keep them, as in the library that SageMaker's guide names.
                return found[step[0]] if len(step) == 1 else {name: found[name] for name in step}
            if len(step) == 1:
                return found[step[0]]
            parts = (found[one] if isinstance(one, slice) else [found[one]] for one in step)
            return list(chain.from_iterable(parts))
        except LookupError:
            raise error from None


def _place(part: str) -> int | slice:
    if ":" not in part:
        return int(part)
    return slice(*(int(end) if end.strip() else None for end in part.split(":")))
