"""The table of operations: what each takes, and how it is asked; ``scripts/client`` writes it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Commands read the table to explain themselves, and need no HTTP for it.
    from driftline.app.client.connection import ServerCalls

FILE = Path(__file__).with_name("operations.json")
Row = Mapping[str, Any]


@cache
def operations() -> tuple[Row, ...]:
    """Return the rows of the table."""
    return tuple(json.loads(FILE.read_text("utf-8")))


def method_of(row: Row) -> Callable[..., Any]:
    """Return the method of an operation: needed parameters by place or name, others by name."""
    signature = signature_of(row)

    def call(self: ServerCalls, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as declared
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        return self.ask(row, bound.arguments)

    call.__name__, call.__qualname__ = row["name"], f"Client.{row['name']}"
    call.__doc__ = row["about"].partition("\nExample: ")[0].strip()
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def signature_of(row: Row) -> inspect.Signature:
    """Return the signature of an operation's method."""
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    rest = [
        inspect.Parameter(one["name"], inspect.Parameter.KEYWORD_ONLY, default=one["default"])
        if "default" in one
        else inspect.Parameter(one["name"], inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for one in sorted(row["parameters"], key=lambda one: "default" in one)
    ]
    return inspect.Signature([own, *rest])
