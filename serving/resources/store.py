"""Rows of declared resources: read, write, delete; and what in them needs what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from driftline.database.locks import advisory_lock
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.resources.resources import ALARM_KINDS, key_of
from driftline.serving.resources.specs import (
    SECRET_FIELDS,
    EndpointConfigSpec,
    Kind,
    baseline_and_pin,
    containers_of,
    variants_and_shadows,
)
from driftline.serving.tables import installation, resources
from driftline.validation import nearest

# How the digest of a secret begins.
DIGEST = "blake2b:"


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as it is stored."""

    kind: Kind
    name: str
    owner: str | None
    tags: Mapping[str, str]
    spec: Mapping[str, Any]  # As declared, defaults filled in, secrets replaced.
    # What was made of it. Model: digest, file (relative to the storage root), description.
    # Baseline: fingerprint of the data, version. Endpoint: signature (JSON text), positive,
    # deployed (endpoints.py).
    made: Mapping[str, Any]
    generation: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def edition(self) -> str:
        """The etag of this state: no other state of the resource, or of its name, ever has it."""
        made_us = 0 if self.created_at is None else round(self.created_at.timestamp() * 1e6)
        return f"{made_us:x}.{self.generation}"

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values, in the form in which it is declared and more."""
        return {
            "kind": self.kind,
            "name": self.name,
            **self.declared(),
            "generation": self.generation,
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
        }

    def declared(self) -> dict[str, Any]:
        """Return what was declared under its name, without secrets and fields of a config."""
        hidden = set(SECRET_FIELDS)
        if self.kind == "Endpoint" and "config" in self.spec:
            hidden.update(EndpointConfigSpec.model_fields)
        spec = {key: value for key, value in self.spec.items() if key not in hidden}
        if isinstance(url := spec.get("url"), str):
            # Whoever sees the digest of a URL could try guesses of what is masked in it.
            spec["url"] = url.partition(f" {DIGEST}")[0]
        return {"owner": self.owner, "tags": dict(self.tags), "spec": spec}


def find(connection: Connection, kind: Kind, name: str) -> Stored | None:
    """Return a stored resource, or nothing."""
    row = connection.execute(
        select(resources).where(resources.c.kind == kind, resources.c.key == key_of(kind, name))
    ).one_or_none()
    return None if row is None else _read(row)


def get(connection: Connection, kind: Kind, name: str) -> Stored:
    """Return a stored resource; NotFoundError, with the nearest name, when there is none of it."""
    found = find(connection, kind, name)
    if found is None:
        near = nearest(name, (row.name for row in list_kind(connection, kind)))
        raise NotFoundError(
            f'{kind} "{name}" does not exist; {near or f"no {kind} has been applied yet"}'
        )
    return found


class ChangedError(ConflictError):
    """A resource is no longer what the caller has seen."""


def require_edition(
    connection: Connection, kind: Kind, name: str, known: frozenset[str] | None
) -> None:
    """Refuse to change a resource whose etag is not one of the caller's.

    With an empty set the resource must not exist yet.
    """
    if known is None:
        return
    found = find(connection, kind, name)
    if not known:
        if found is not None:
            raise ChangedError(f'{kind} "{name}" is there already; choose another name')
    elif found is None or found.edition not in known:
        now = "does not exist" if found is None else f"is of generation {found.generation}"
        raise ChangedError(f'{kind} "{name}" {now}, which is not what If-Match says; get it again')


def list_kind(connection: Connection, kind: Kind) -> list[Stored]:
    """Return all resources of a kind, by name."""
    return list_kinds(connection, kind)


def list_kinds(connection: Connection, *kinds: Kind) -> list[Stored]:
    """Return all resources of some kinds as they were at one moment, by name."""
    query = select(resources).where(resources.c.kind.in_(kinds)).order_by(resources.c.key)
    return [_read(row) for row in connection.execute(query)]


def list_page(
    connection: Connection,
    kind: Kind,
    *,
    prefix: str = "",
    owner: str | None = None,
    tags: Mapping[str, str] | None = None,
    after: Place | None = None,
    limit: int,
) -> list[Stored]:
    """Return some resources of a kind by name, as names are compared; behind a place (key).

    Those whose names begin so, of an owner, that have all of these tags.
    """
    table = resources.c
    query = select(resources).where(table.kind == kind, is_behind(after, [table.key]))
    if prefix:
        query = query.where(table.key.startswith(key_of(kind, prefix), autoescape=True))
    if owner is not None:
        query = query.where(table.owner == owner)
    query = query.order_by(table.key).execution_options(yield_per=limit)
    wanted = dict(tags or {}).items()
    with connection.execute(query) as rows:
        # LIKE knows no case in SQLite; tags stand inside of the row.
        fitting = (
            row
            for row in rows
            if row.key.startswith(key_of(kind, prefix)) and wanted <= dict(row.tags).items()
        )
        return [_read(row) for row in islice(fitting, limit)]


def hold_all(connection: Connection) -> None:
    """Keep all resources to this transaction: what needs what is checked, then changed."""
    advisory_lock(connection, "resources")


def put_row(connection: Connection, resource: Stored, now: datetime) -> None:
    """Store a resource; one of the same name is replaced and its generation counts up."""
    key = key_of(resource.kind, resource.name)
    values = {
        "name": resource.name,
        "owner": resource.owner,
        "tags": dict(resource.tags),
        "spec": dict(resource.spec),
        "made": dict(resource.made),
        "updated_at": now,
    }
    changed = connection.execute(
        update(resources)
        .where(resources.c.kind == resource.kind, resources.c.key == key)
        .values(**values, generation=resources.c.generation + 1)
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(resources).values(
                **values, kind=resource.kind, key=key, generation=1, created_at=now
            )
        )
    _count_change(connection, resource.kind)


def put_made(connection: Connection, resource: Stored) -> None:
    """Store what was made of a resource that is the same to all who use it: of its generation."""
    key = key_of(resource.kind, resource.name)
    connection.execute(
        update(resources)
        .where(resources.c.kind == resource.kind, resources.c.key == key)
        .values(made=dict(resource.made))
    )


def delete_row(connection: Connection, kind: Kind, name: str) -> None:
    """Remove a stored resource."""
    connection.execute(
        delete(resources).where(resources.c.kind == kind, resources.c.key == key_of(kind, name))
    )
    _count_change(connection, kind)


def changes(connection: Connection) -> int:
    """Return how often what is to be served has changed."""
    return int(connection.execute(select(installation.c.changes)).scalar_one())


def _count_change(connection: Connection, kind: Kind) -> None:
    if kind in ("Model", "Endpoint"):
        connection.execute(update(installation).values(changes=installation.c.changes + 1))


def needs(kind: Kind, spec: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    """Name what a resource cannot be without: kind and name of each."""
    found: list[tuple[Kind, Any]] = []
    if kind == "Baseline":
        found = [("Model", spec["model"])]
    elif kind == "Model":
        found = [("Model", name) for name in containers_of(spec).values()]
    elif kind == "Endpoint":
        found = [("Model", variant["model_name"]) for variant in variants_and_shadows(spec)]
        found += [("Baseline", spec["baseline"]), ("EndpointConfig", spec.get("config"))]
    elif kind == "EndpointConfig":
        found = [("Model", variant["model_name"]) for variant in variants_and_shadows(spec)]
    elif kind == "Monitor":
        found = [
            ("Endpoint", spec["endpoint"]),
            ("Baseline", baseline_and_pin(spec["baseline"])[0]),
            *(("Monitor", name) for name in spec["depends_on"]),
        ]
    elif kind in ALARM_KINDS:
        lists = ("alarm_actions", "ok_actions", "insufficient_data_actions")
        found = [("Channel", name) for key in lists for name in spec[key]]
    return [(other, name) for other, name in found if name is not None]


def _read(row: Row[tuple[Any, ...]]) -> Stored:
    return Stored(**{field.name: getattr(row, field.name) for field in fields(Stored)})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
