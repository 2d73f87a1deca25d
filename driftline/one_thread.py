"""Small fits and predictions on one thread: waiting threads cost more than they gain."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # It ships no types.


def on_one_thread() -> AbstractContextManager[Any]:
    """Limit scikit-learn, which must be imported already, to one thread in a block."""
    found: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return found


@cache
def _libraries() -> Any:  # noqa: ANN401 - untyped
    return ThreadpoolController()
