"""JSON documents: each field is spelled once, in its model.

Wrong input is refused with one sentence on one field: its name, its value and what was expected,
which is the field's ``description``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_pascal

from driftline.errors import InputError
from driftline.validation import expected, nearest

_SHOWN_MAX = 80


def iso(time: datetime) -> str:
    """Write a time as ISO 8601 in UTC with Z, with parts of a second only if there are any."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


# Times as they are written: with their offset, or with Z.
Time = Annotated[datetime, PlainSerializer(datetime.isoformat)]
TimeZ = Annotated[datetime, PlainSerializer(iso)]


_PLAIN = ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="constants")


class Output:
    """A dataclass that is written to JSON as its fields are annotated, and not read back."""

    __slots__ = ()
    __pydantic_config__ = _PLAIN

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")  # type: ignore[arg-type] # classes are hashable
        return found


@cache
def _adapter(kind: type[object]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Document(BaseModel):
    """A definition that people write; what is wrong with it is an `error` in one sentence.

    Null is as good as nothing.
    """

    model_config = _PLAIN | ConfigDict(extra="forbid", frozen=True, strict=True)
    error: ClassVar[type[InputError]] = InputError

    def __init__(self, /, **fields: object) -> None:
        try:
            known = type(self).__pydantic_fields__
            super().__init__(
                **{key: one for key, one in fields.items() if one is not None or key not in known}
            )
        except ValidationError as error:
            raise self.error(self.sentence(error, fields)) from None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read it from plain JSON values."""
        is_plain = {*map(type, given)} == {str}  # As JSON's always are.
        return cls(**given if is_plain else {str(key): value for key, value in given.items()})

    def changed(self, **fields: object) -> Self:
        """Return it with other values of some fields, checked as a whole."""
        return type(self)(**{**dict(self), **fields})

    @classmethod
    def sentence(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        """Return the problem of the first field, its value, and what was expected."""
        errors = error.errors(include_url=False)
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        kind, name = first["type"], str(first["loc"][0])
        if kind == "extra_forbidden":
            return f'unknown key "{name[:_SHOWN_MAX]}"; {nearest(name, sorted(cls.model_fields))}'
        if kind == "missing":
            return f'"{name}" is missing; expected it'
        about, value = cls.model_fields[name], given.get(name)
        shown = f'"{value}"' if kind == "literal_error" else f"{value!r:.80}"
        if about.repr is False:
            shown = "cannot be sent"
        return f"{name} {shown}; expected {about.description or expected(first)}"


def fields_of(
    given: object, known: Collection[str], where: str, error: type[InputError]
) -> dict[str, Any]:
    """Return the fields of an object that are not null, AWS's names in snake case."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise error(f"{where}: {given!r:.80}; expected an object")
    found = {snake(str(key)): value for key, value in given.items()}
    if unknown := sorted(set(found) - set(known)):
        raise error(
            f'{where}: unknown field "{unknown[0]}"; expected some of {", ".join(sorted(known))}'
        )
    return {key: value for key, value in found.items() if value is not None}


# Names that no rule gives, ours and AWS's.
_ODD = {
    "ok_actions": "OKActions",
    "max_payload_in_mb": "MaxPayloadInMB",
    "memory_size_in_mb": "MemorySizeInMB",
}
_OWN = {aws: own for own, aws in _ODD.items()}
# Objects whose keys people chose; AWS lists their pairs under these two names.
_PAIRS = {"dimensions": ("Name", "Value"), "tags": ("Key", "Value")}
# Objects whose keys are the same on both sides.
_FREE = frozenset({"environment", "extended_statistics"})


def from_aws(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write a document of AWS's in our form: names in snake case, dimensions and tags as objects.

    Null is as good as nothing.
    """
    return {
        name: _from_aws(name, value)
        for key, value in given.items()
        if value is not None
        for name in [snake(key)]
    }


def _from_aws(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON and times
    if name in _PAIRS and isinstance(value, Sequence):
        key, other = _PAIRS[name]
        found = {one[key]: one.get(other, "") for one in value}
        if len(found) != len(value):
            raise InputError(f"a name stands twice in {name}; expected it once")
        return found
    if isinstance(value, Mapping):
        return dict(value) if name in _FREE else from_aws(value)
    if isinstance(value, list | tuple):
        return [_from_aws("", one) for one in value]
    return value


def to_aws(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write a document of ours in AWS's form, without what is None; times stay times."""
    return {
        _ODD.get(key) or to_pascal(key): _to_aws(key, value)
        for key, value in given.items()
        if value is not None
    }


def _to_aws(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON, times and documents
    if isinstance(value, Document):
        return _to_aws(name, value.as_dict())
    if isinstance(value, Mapping):
        if name in _PAIRS:
            key, other = _PAIRS[name]
            return [{key: one, other: text} for one, text in value.items()]
        return dict(value) if name in _FREE else to_aws(value)
    if isinstance(value, list | tuple):
        return [_to_aws("", one) for one in value]
    return value


def snake(name: str) -> str:
    """Write a name of AWS's in snake case: ``MetricName`` as ``metric_name``; none is long."""
    return _OWN.get(name) or _snake(name) if len(name) <= _SHOWN_MAX else name


# Few names come again and again; what is kept of others is bounded by their length.
@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def time_of(given: object) -> datetime:
    """Read a time: ISO 8601, in UTC when it names no zone, or seconds since 1970; else ValueError.

    OverflowError and OSError, too: where the calendar ends.
    """
    if isinstance(given, int | float) and not isinstance(given, bool):
        return datetime.fromtimestamp(given, UTC)
    found = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
