"""Names, answers and errors of each operation, by method and path; `openapi.py` has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftline.serving.api import answers
from driftline.serving.bodies.media_types import MEDIA_TYPES

JSON = "application/json"
INVOCATIONS = "/endpoints/{name}/invocations"
# What comes of models: types that they do not read or write, rows that they refuse, too slow an
# answer.
_MODEL = (404, 406, 415, 424, 504)
_BODIES = (*MEDIA_TYPES.values(),)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its id for generated clients, the form of its answer, statuses of its own."""

    id: str
    answer: Any = None  # None: an empty answer, or bytes of the media types.
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = (JSON,)
    # Of a body that the route reads by itself: its form, or its media types.
    body: Any = None


OPERATIONS: Mapping[str, Operation] = {
    f"POST {INVOCATIONS}": Operation("invoke", answers.Predictions, _MODEL, _BODIES, _BODIES),
}
