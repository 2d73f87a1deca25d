"""Where a monitor's rows are when no endpoint captures them: files or a query, and their labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from driftline.errors import InputError
from driftline.local_time import find_zone
from driftline.validation import nearest

LOOK_BACK_DAYS = 7.0
LONGEST_LOOK_BACK_DAYS = 366
TIMEOUT_S = 300.0
BOUNDS = ("start", "end")
_PLACE = ("path", "query", "connection")
_FIELDS = (*_PLACE, "timestamp", "id", "time_zone", "look_back_days", "labels")
_LABEL_FIELDS = (*_PLACE, "id", "label", "timestamp")
_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
# As SQLAlchemy reads a statement: `::` casts.
_BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


@dataclass(frozen=True, slots=True)
class Place:
    """Files by path or URI, or one SELECT on a connection that the settings name."""

    path: str = ""
    query: str = ""
    connection: str = ""

    def __str__(self) -> str:
        return self.path or f"query on {self.connection}"


@dataclass(frozen=True, slots=True)
class ExternalLabels:
    """Labels that are not in the rows' own table.

    ``label``: their column; None: it is named as in the reference. ``timestamp``: of several labels
    of one id, the newest by this column counts.
    """

    place: Place
    id: str
    label: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class ExternalSource:
    """A table of rows, as a monitor's definition declares it.

    ``timestamp``: column of the rows' event times; ``id``: column of their ids; ``time_zone``: of
    times that have no zone; ``look_back_days``: for how long after its end a window is judged again
    when rows of a query, or labels, have changed.
    """

    place: Place
    timestamp: str
    id: str | None = None
    time_zone: str = "UTC"
    look_back_days: float = LOOK_BACK_DAYS
    labels: ExternalLabels | None = None

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> ExternalSource:
        """Read a source from plain JSON values.

        Raises
        ------
        InputError
            For an unknown key, a value of another type, or a query that is no single SELECT
            between ``:start`` and ``:end``.
        """
        _known(declared, _FIELDS, "source")
        days = declared.get("look_back_days", LOOK_BACK_DAYS)
        is_number = isinstance(days, int | float) and not isinstance(days, bool)
        if not is_number or not 0 <= days <= LONGEST_LOOK_BACK_DAYS:
            raise InputError(
                f"source: look_back_days {days}; expected 0 to {LONGEST_LOOK_BACK_DAYS}"
            )
        zone = _text(declared, "time_zone", "source") or "UTC"
        if find_zone(zone) is None:
            raise InputError(
                f'source: time_zone "{zone}" is unknown; expected such as Europe/Berlin'
            )
        return cls(
            _place(declared, "source", BOUNDS),
            _required(declared, "timestamp", "source"),
            _text(declared, "id", "source"),
            zone,
            float(days),
            _labels(declared),
        )

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True)
class Access:
    """What reading may reach: URLs of databases by name, and the check of a path or URI."""

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
        """Refuse a source that names what is out of reach."""
        for place in (source.place, *((source.labels.place,) if source.labels else ())):
            if place.path:
                self.check(place.path)
            else:
                self.url(place.connection)


UNLIMITED = Access()


def _labels(declared: Mapping[str, Any]) -> ExternalLabels | None:
    labels, where = declared.get("labels"), "source.labels"
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        raise InputError(f"{where}: expected an object with path or query, and id")
    _known(labels, _LABEL_FIELDS, where)
    if not _text(declared, "id", "source"):
        raise InputError(f"{where} without source.id; expected the column whose ids labels have")
    return ExternalLabels(
        _place(labels, where, ()),
        _required(labels, "id", where),
        _text(labels, "label", where),
        _text(labels, "timestamp", where),
    )


def _place(declared: Mapping[str, Any], where: str, bounds: tuple[str, ...]) -> Place:
    path, query, connection = (_text(declared, name, where) or "" for name in _PLACE)
    if bool(path) == bool(query):
        raise InputError(f"{where}: expected path or query, one of them")
    if bool(query) != bool(connection):
        raise InputError(f"{where}: expected query and connection together, or none of them")
    if query:
        _check_query(query, where, bounds)
    return Place(path, query, connection)


def _check_query(query: str, where: str, bounds: tuple[str, ...]) -> None:
    if not _SELECT.match(query) or ";" in query.rstrip().removesuffix(";"):
        raise InputError(f"{where}: query; expected a single SELECT, without another statement")
    named = {*_BOUND.findall(query)}
    if missing := [name for name in bounds if name not in named]:
        raise InputError(
            f"{where}: query without :{missing[0]}; expected rows of one window, such as "
            "WHERE scored_at >= :start AND scored_at < :end"
        )
    if unknown := sorted(named - {*BOUNDS}):
        raise InputError(f"{where}: query with :{unknown[0]}; expected only :start and :end")


def _known(declared: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in declared:
        if name not in names:
            raise InputError(f'{where}: "{name}" is unknown; {nearest(name, names)}')


def _required(declared: Mapping[str, Any], name: str, where: str) -> str:
    found = _text(declared, name, where)
    if not found:
        raise InputError(f"{where}: {name} is missing; expected the name of a column")
    return found


def _text(declared: Mapping[str, Any], name: str, where: str) -> str | None:
    found = declared.get(name)
    if found is not None and not isinstance(found, str):
        raise InputError(f"{where}: {name} {found!r}; expected text")
    return found or None
