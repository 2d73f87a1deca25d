"""The operations as a table for the client and the command line, written by ``scripts/client``."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fastapi.params import Body, Path, Query
from pydantic import AwareDatetime

from driftline.app.client import operation_table
from driftline.serving.operations import areas  # noqa: F401 - registers all
from driftline.serving.operations.registry import (
    JSON,
    OPERATIONS,
    PAGE,
    PREFIX,
    Latest,
    Operation,
    Page,
    about,
    marker_of,
    plain,
)

FILES = (operation_table.FILE, operation_table.FILE.with_name("operation_calls.pyi"))
_KINDS = {str: "str", int: "int", float: "float", bool: "bool"}
_TYPES = {
    "time": "datetime",
    "day": "date | str",
    "list": "Sequence[str]",
    "pairs": "Mapping[str, str]",
    "json": "Any",
}


def written() -> tuple[str, str]:
    """Return the texts of both files."""
    found = [_row(one) for one in OPERATIONS.values() if _has_method(one)]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n", _stub(found)


def _has_method(operation: Operation) -> bool:
    """Whether the client's method can be made: bodies and answers that are no JSON are by hand."""
    is_elsewhere = not operation.path.startswith(PREFIX)
    return operation.media == (JSON,) and not (operation.takes or is_elsewhere)


def _row(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.id,
        "method": operation.method,
        "path": operation.path.replace(":path", ""),
        "is_paged": operation.paging is not None,
        "is_list": get_origin(operation.returns) in (list, Page),
        "parameters": [
            _parameter(operation, one)
            for name, one in operation.parameters.items()
            if isinstance(marker_of(one), Path | Query | Body)
            and not (operation.paging and name == "next_token")
        ],
        "command": operation.command,
        "columns": operation.columns,
        "about": inspect.cleandoc(operation.function.__doc__ or ""),
    }


def _parameter(operation: Operation, one: inspect.Parameter) -> dict[str, Any]:
    marker = marker_of(one)
    kind, choices = _kind(one.annotation)
    place = "path" if isinstance(marker, Path) else "field"
    found: dict[str, Any] = {
        "name": one.name,
        "in": "document" if isinstance(marker, Body) and not marker.embed else place,
        "kind": kind,
        "about": about(one.annotation),
    }
    if marker.alias:
        found["alias"] = marker.alias
    if choices:
        found["choices"] = choices
    if one.name == "limit" and operation.paging:
        found |= {"default": PAGE if operation.paging is Latest else None}
    elif one.default is not one.empty:
        found["default"] = plain(one.default)
    return found


def _kind(kind: Any) -> tuple[str, Sequence[object]]:  # noqa: ANN401 - a type
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, types.UnionType):
        (inner,) = [one for one in arguments if one is not types.NoneType]
        return _kind(inner)
    if origin is Literal:
        return "str", [*arguments]
    if kind is date:
        return "day", ()
    if kind in (AwareDatetime, datetime):
        return "time", ()
    if kind in _KINDS:
        return _KINDS[kind], ()
    if origin is not None and issubclass(origin, Mapping):
        return ("pairs", ()) if arguments == (str, str) else ("json", ())
    if origin is not None and issubclass(origin, Sequence):
        inner, choices = _kind(arguments[0])
        return ("list", choices) if inner == "str" else ("json", ())
    return "json", ()


def _stub(rows: Iterable[Mapping[str, Any]]) -> str:
    methods = "\n".join(map(_method, rows))
    return (
        "# Written by scripts/client: the methods that the table of operations makes.\n"
        "from collections.abc import Mapping, Sequence\n"
        "from datetime import date, datetime\n"
        "from typing import Any, Literal\n\n"
        "from driftline.app.client.connection import Json, ServerCalls\n\n"
        f"class OperationCalls(ServerCalls):\n{methods}"
    )


def _method(row: Mapping[str, Any]) -> str:
    needed = [one for one in row["parameters"] if "default" not in one]
    others = [one for one in row["parameters"] if "default" in one]
    named = [f"{one['name']}: {_type(one)} = ..." for one in others]
    parameters = [
        "self",
        *(f"{one['name']}: {_type(one)}" for one in needed),
        *(["*", *named] if named else []),
    ]
    answer = "list[Json]" if row["is_list"] else "Json"
    told = row["about"].partition("\nExample: ")[0].strip().replace("\n", "\n        ")
    text = f'"""{told}"""' if "\n" not in told else f'"""{told}\n        """'
    return f"    def {row['name']}({', '.join(parameters)}) -> {answer}:\n        {text}\n"


def _type(one: Mapping[str, Any]) -> str:
    text = _TYPES.get(one["kind"], one["kind"])
    if choices := one.get("choices"):
        words = f"Literal[{', '.join(repr(each) for each in choices)}]"
        text = f"Sequence[{words}]" if one["kind"] == "list" else words
    is_open = "default" in one and (one["default"] is None or one["name"] == "limit")
    return f"{text} | None" if is_open else text
