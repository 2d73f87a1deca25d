"""The subset of JSONPath by which a job selects the model's input and the output to keep.

``$``, ``.name``, ``.*``, ``['a','b']``, ``[0,2]``, ``[-1]``, ``[1:4]``, ``[0,5:]``. The prose of
SageMaker's guide calls the end of a slice inclusive; the library that it names, and its table,
exclude it, as we do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from driftline.errors import InputError

_MAX_LENGTH = 63  # SageMaker's.
_EXPECTED = "expected such as $, $.name, $['a','b'], $[0,2], $[1:4] or $[1:]"
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][\w-]*|\*)|\[(?P<inner>(?:'[^']*'|\"[^\"]*\"|[^\]'\"])*)\]"
)
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NAMES = re.compile(rf"(?:{_NAME.pattern})(?:\s*,\s*(?:{_NAME.pattern}))*")
_INDEX = r"-?\d{1,9}"
_PLACE = rf"\s*(?:{_INDEX}|(?:{_INDEX})?\s*:\s*(?:{_INDEX})?)\s*"
_PLACES = re.compile(rf"{_PLACE}(?:,{_PLACE})*")

Index = int | slice
Step = str | tuple[str, ...] | tuple[Index, ...]


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
            self._steps.append(step["name"] or _inner(text, step["inner"].strip()))
            at = step.end()

    @property
    def is_whole(self) -> bool:
        """Whether the whole record is chosen."""
        return not self._steps

    @property
    def takes_positions(self) -> bool:
        """Whether the path fits a row of CSV: nothing, or one step of places."""
        return self.is_whole or (
            len(self._steps) == 1
            and (self._steps[0] == "*" or not isinstance(self._steps[0], str))
            and not any(isinstance(one, str) for one in self._steps[0] if self._steps[0] != "*")
        )

    def __call__(self, record: object) -> object:
        """Return what is chosen: one value, an object of several names, or a list of places."""
        found = record
        for step in self._steps:
            found = self._take(found, step)
        return found

    def _take(self, found: object, step: Step) -> object:
        if step == "*":
            if isinstance(found, Mapping):
                return list(found.values())
            return list(self._listed(found))
        if isinstance(step, str):
            return self._named(found, step)
        if isinstance(step[0], str):
            # Several names keep them, as in the library that SageMaker's guide names.
            values = {str(name): self._named(found, str(name)) for name in step}
            return values[step[0]] if len(step) == 1 else values
        places = self._listed(found)
        chosen: list[object] = []
        for one in step:
            if isinstance(one, slice):
                chosen.extend(places[one])
            elif isinstance(one, int):
                if not -len(places) <= one < len(places):
                    raise PathError(
                        f'JSONPath "{self.text}": the record has {len(places)} values, none at '
                        f"[{one}]"
                    )
                chosen.append(places[one])
        return chosen[0] if len(step) == 1 and isinstance(step[0], int) else chosen

    def _named(self, found: object, name: str) -> object:
        if not isinstance(found, Mapping) or name not in found:
            raise PathError(f'JSONPath "{self.text}": the record has no "{name}"')
        return found[name]

    def _listed(self, found: object) -> Sequence[object]:
        if not isinstance(found, list | tuple):
            raise PathError(f'JSONPath "{self.text}": the record is no list there')
        return found


def _inner(text: str, inner: str) -> Step:
    """Read what stands in brackets: names, or places and slices."""
    if inner == "*":
        return "*"
    if _NAMES.fullmatch(inner):
        return tuple(one or other for one, other in _NAME.findall(inner))
    if _PLACES.fullmatch(inner):
        return tuple(map(_place, inner.split(",")))
    raise PathError(f'JSONPath "{text}" at "[{inner}]"; {_EXPECTED}')


def _place(part: str) -> Index:
    if ":" not in part:
        return int(part)
    return slice(*(int(end) if end.strip() else None for end in part.split(":")))
