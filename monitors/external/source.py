"""External sources: files or a query, and their labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from driftline.errors import InputError
from driftline.local_time import find_zone
from driftline.validation import nearest, told

LONGEST_LOOK_BACK_DAYS = 366
TIMEOUT_S = 300.0
BOUNDS = ("start", "end")
UNKNOWN = "extra_forbidden"  # As pydantic calls a key that is not declared.
_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
# As SQLAlchemy reads a statement: `::` casts.
_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class Place(BaseModel):
    """Files by path or URI, or one SELECT on a connection named in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = ""
    query: str = ""
    connection: str = ""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, declared: Any) -> Any:  # noqa: ANN401 - what somebody declared
        if not isinstance(declared, Mapping):
            return declared
        return {
            name: value
            for name, value in declared.items()
            if name not in cls.model_fields or value not in (None, "")
        }

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if bool(self.path) == bool(self.query):
            raise ValueError("expected path or query, one of them")
        if bool(self.query) != bool(self.connection):
            raise ValueError("expected query and connection together, or none of them")
        return self

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str) -> str:
        if not _SELECT.match(query):
            raise ValueError(f'"{query.strip()[:60]}" is no SELECT; expected one')
        if ";" in query.rstrip().removesuffix(";"):
            raise ValueError('a ";" within it, as between two statements; expected one SELECT')
        if unknown := sorted({*_BOUND.findall(query)} - {*BOUNDS}):
            raise ValueError(f"with :{unknown[0]}; expected only :start and :end")
        return query

    def __str__(self) -> str:
        return self.path or f"query on {self.connection}"


class ExternalLabels(Place):
    """Labels in a table of their own.

    ``label``: their column; None: named as in the reference. ``timestamp``: of several labels of
    one id, the newest by this column counts.
    """

    id: str
    label: str | None = None
    timestamp: str | None = None


class ExternalSource(Place):
    """A table of rows, as a monitor's definition declares it.

    ``timestamp``: column of the rows' event times; ``id``: column of their ids; ``time_zone``: of
    times without a zone; ``look_back_days``: for how long after its end a window is judged again
    when rows of a query, or labels, change.
    """

    timestamp: str
    id: str | None = None
    time_zone: str = "UTC"
    look_back_days: float = Field(7.0, ge=0, le=LONGEST_LOOK_BACK_DAYS)
    labels: ExternalLabels | None = None

    @field_validator("time_zone")
    @classmethod
    def _check_zone(cls, zone: str) -> str:
        if find_zone(zone) is None:
            raise ValueError(f'"{zone}" is unknown; expected such as Europe/Berlin')
        return zone

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if missing := [
            one for one in BOUNDS if self.query and one not in _BOUND.findall(self.query)
        ]:
            raise ValueError(
                f"query without :{missing[0]}; expected rows of one window, such as "
                "WHERE scored_at >= :start AND scored_at < :end"
            )
        if self.labels is not None and not self.id:
            raise ValueError("labels without source.id; expected the column whose ids labels have")
        return self

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> ExternalSource:
        """Read a source from plain JSON values; InputError for unknown keys or an unsafe query."""
        try:
            return cls.model_validate(dict(declared))
        except ValidationError as error:
            # A misspelt name before the one that is missing for it.
            first = min(error.errors(include_url=False), key=lambda one: one["type"] != UNKNOWN)
        *within, name = ("source", *first["loc"])
        if first["type"] == UNKNOWN:
            known = (ExternalLabels if "labels" in within else cls).model_fields
            where = ".".join(map(str, within))
            raise InputError(f'{where}: "{name}" is unknown; {nearest(str(name), known)}')
        raise InputError(told({**first, "loc": (*within, name)}))


@dataclass(frozen=True, slots=True)
class Access:
    """What a reader may reach: database URLs by name, and a check of paths and URIs."""

    connections: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    check: Callable[[str], None] = lambda _path: None
    timeout_s: float = TIMEOUT_S

    def url(self, connection: str) -> str:
        """Return the URL of a connection; it may hold a password."""
        found = self.connections.get(connection)
        if found is None:
            near = nearest(connection, self.connections) or "there is none yet"
            raise InputError(
                f'connection "{connection}" is not in [query] connections of the settings; {near}'
            )
        return found

    def check_source(self, source: ExternalSource) -> None:
        """Refuse a source outside of the allowed paths."""
        for place in (source, *((source.labels,) if source.labels else ())):
            if place.path:
                self.check(place.path)
            else:
                self.url(place.connection)


UNLIMITED = Access()
