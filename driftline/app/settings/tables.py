"""Settings that are lists of tables: ``[[section.key]]`` in TOML, or JSON in the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from driftline.errors import InputError
from driftline.storage import nearest_of

T = TypeVar("T")
_KINDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_LISTS = {"tuple[str, ...]": ("str", "texts"), "tuple[float, ...]": ("float", "numbers")}


def read_tables(value: object, kind: type[T], where: str) -> list[T]:
    """Read tables as objects of a dataclass whose fields are texts, numbers, flags, or tuples.

    Parameters
    ----------
    value
        A list of tables, or the same as JSON.
    kind
        The dataclass; what it refuses itself is told as it tells it.
    where
        What messages begin with.

    Raises
    ------
    InputError
        For a value of another form, an unknown or missing key, or a value of the wrong kind.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error}); expected a list of objects") from error
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise InputError(f"{where}: expected a list of tables, [[…]] in TOML, objects in JSON")
    return [_read(entry, kind, f"{where}, table {n}") for n, entry in enumerate(value, 1)]


def set_fields(table: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the dataclasses
    """Give the fields of a table that do not have their default, as they may be shown."""
    return {
        field.name: getattr(table, field.name)
        for field in fields(table)
        if field.init and getattr(table, field.name) != field.default
    }


def _read(entry: Mapping[str, object], kind: type[T], where: str) -> T:
    known: dict[str, Field[Any]] = {
        field.name: field
        for field in fields(kind)  # type: ignore[arg-type] # a dataclass
        if field.init
    }
    for name in entry:
        if name not in known:
            raise InputError(f'{where}: "{name}" is unknown; {nearest_of(name, known)}')
    for name, field in known.items():
        if field.default is MISSING and name not in entry:
            raise InputError(f"{where}: {name} is missing")
    given = {
        name: _convert(value, str(known[name].type), f"{where}: {name}")
        for name, value in entry.items()
    }
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _convert(value: object, kind: str, where: str) -> object:
    """Take a value of the kind of its field; an integer will do for a number, nothing else."""
    if kind in _LISTS:
        one, many = _LISTS[kind]
        if not isinstance(value, list) or not all(_is(one, entry) for entry in value):
            raise InputError(f"{where} = {value!r}; expected a list of {many}")
        return tuple(value)
    if not _is(kind, value):
        raise InputError(f"{where} = {value!r}; expected {_KINDS[kind]}")
    return value


def _is(kind: str, value: object) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    return isinstance(value, {"str": str, "int": int, "float": int | float}[kind])
