"""The subset of JSONPath by which a job selects the model's input and the output to keep.

``$``, ``.name``, ``.*``, ``['a','b']``, ``[0,2]``, ``[-1]``, ``[1:4]``, ``[0,5:]``. The prose of
SageMaker's guide calls the end of a slice inclusive; the library that it names, and its table,
exclude it, as we do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from driftline.errors import InputError

_MAX_LENGTH = 63  # SageMaker's.
_EXPECTED = "expected such as $, $.name, $['a','b'], $[0,2], $[1:4] or $[1:]"
_NAME = r"'[^']*'|\"[^\"]*\""
_PLACE = r"(?:-?\d{1,9})?\s*:\s*(?:-?\d{1,9})?|-?\d{1,9}"
_ONE = re.compile(f"{_NAME}|{_PLACE}")
_STEP = re.compile(
    rf"\.(?P<child>[A-Za-z_][\w-]*)|(?P<all>\.\*|\[\s*\*\s*\])"
    rf"|\[\s*(?P<names>(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*)\s*\]"
    rf"|\[\s*(?P<places>(?:{_PLACE})(?:\s*,\s*(?:{_PLACE}))*)\s*\]"
)
# Names, or places; of neither all are chosen.
Step = tuple[str, ...] | tuple[int | slice, ...]


class PathError(InputError):
    """A path cannot be read, or names nothing in a record."""


class JsonPath:
    """A path that was read; called with a record, it gives what the path chooses."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MAX_LENGTH or not text.startswith("$"):
            raise PathError(f'JSONPath "{text[:80]}"; {_EXPECTED}, at most {_MAX_LENGTH} letters')
        self._steps: list[Step] = []
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
                self._steps.append(tuple(map(_place, _ONE.findall(step["places"] or ""))))
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
        found = record
        for step in self._steps:
            found = self._take(found, step)
        return found

    def _take(self, found: object, step: Step) -> object:
        if not step and isinstance(found, Mapping):
            return list(found.values())
        if step and isinstance(step[0], str):
            if not isinstance(found, Mapping) or (lacking := set(step) - set(found)):
                name = step[0] if not isinstance(found, Mapping) else min(map(str, lacking))
                raise PathError(f'JSONPath "{self.text}": the record has no "{name}"')
            # Several names keep them, as in the library that SageMaker's guide names.
            return found[step[0]] if len(step) == 1 else {name: found[name] for name in step}
        if not isinstance(found, list):
            raise PathError(f'JSONPath "{self.text}": the record is no list there')
        chosen: list[object] = []
        for one in step or (slice(None),):
            try:
                chosen += found[one] if isinstance(one, slice) else [found[int(one)]]
            except IndexError:
                raise PathError(
                    f'JSONPath "{self.text}": the record has {len(found)} values, none at [{one}]'
                ) from None
        return chosen[0] if len(step) == 1 and isinstance(step[0], int) else chosen


def _place(part: str) -> int | slice:
    if ":" not in part:
        return int(part)
    return slice(*(int(end) if end.strip() else None for end in part.split(":")))
