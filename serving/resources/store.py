"""Rows of declared resources: read, write, delete; and what in them needs what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from driftline.alerts.alarms.actions import channel_of
from driftline.database.dialects import advisory_lock
from driftline.database.leases import Lease, Values
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.resources import echo
from driftline.serving.resources.endpoint_specs import EndpointConfigSpec, variants_and_shadows
from driftline.serving.resources.model_specs import containers_of
from driftline.serving.resources.resources import ALARM_KINDS, key_of
from driftline.serving.resources.specs import KINDS, SECRET_FIELDS, Kind, baseline_and_pin
from driftline.serving.tables import installation, resources
from driftline.validation import nearest

# How the digest of a secret begins.
DIGEST = "blake2b:"
# Of Pending and Failed the last ready one goes on.
Phase = Literal["Pending", "Ready", "Failed"]
# The kinds that controllers bring about; others are ready as soon as they are stored.
CONTROLLED: tuple[Kind, ...] = ("Model", "Baseline", "Endpoint", "Monitor")
# The columns that lists are sorted by, and their types.
Order = Literal["name", "created"]
ORDERS: Mapping[Order, tuple[tuple[str, ...], tuple[type, ...]]] = {
    "name": (("key",), (str,)),
    "created": (("created_at", "key"), (datetime, str)),
}
# The editions of what is not there.
ABSENT = frozenset[str]()
LEASE = Lease(resources.c.lease_owner, resources.c.lease_until, timedelta(seconds=15))
FREE = LEASE.released()
_FETCHED = 100  # Rows at once, of those that are to fit.


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as it is stored."""

    kind: Kind
    name: str
    owner: str | None
    tags: Mapping[str, str]
    spec: Mapping[str, Any]  # As declared, defaults filled in, secrets replaced.
    # What the last generation that became ready consists of; {}: none did. Its spec, and of a Model
    # digest, file (relative to the storage root) and description; of a Baseline the fingerprint of
    # the data, version and signature; of an Endpoint signature (JSON text), positive, what its
    # models are made of, deployed: which models its callers get, since when, and edition.
    made: Mapping[str, Any]
    content: Mapping[str, str] = field(default_factory=dict)
    phase: Phase = "Ready"
    reason: str | None = None
    observed_generation: int | None = None
    attempts: int = 0  # That failed in a row for a reason that may pass.
    applied_by: Mapping[str, Any] = field(default_factory=dict)
    lease_owner: str | None = None
    lease_until: datetime | None = None
    generation: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def edition(self) -> str:
        """The etag of this state: no other state of the resource, or of its name, ever has it."""
        made_us = 0 if self.created_at is None else round(self.created_at.timestamp() * 1e6)
        return f"{made_us:x}.{self.generation}"

    @property
    def running_edition(self) -> str:
        """The etag of the state that became ready last, of an Endpoint."""
        return str(self.made.get("edition", ""))

    @property
    def is_unfinished(self) -> bool:
        """Whether what is declared is neither ready nor failed."""
        return self.phase == "Pending"

    @property
    def running(self) -> Mapping[str, Any]:
        """The spec of a Model or an Endpoint that became ready last; {} if none did."""
        return dict(self.made.get("spec", {}))

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'

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


# Statements that are made once: to make one takes longer than to run it.
_SELECTED = select(*(resources.c[one.name] for one in fields(Stored)))
# What a list of states does not show need not be read from JSON.
_LEFT_OUT = ("tags", "spec", "content", "applied_by")
_STATES = select(
    *(null() if one.name in _LEFT_OUT else resources.c[one.name] for one in fields(Stored))
)
_FIND = _SELECTED.where(resources.c.kind == bindparam("kind"), resources.c.key == bindparam("key"))


def find(connection: Connection, kind: Kind, name: str) -> Stored | None:
    """Return a stored resource, or nothing."""
    row = connection.execute(_FIND, {"kind": kind, "key": key_of(kind, name)}).one_or_none()
    return None if row is None else Stored(*row)


def get(connection: Connection, kind: Kind, name: str) -> Stored:
    """Return a stored resource; NotFoundError, with the nearest name, when there is none of it."""
    found = find(connection, kind, name)
    if found is None:
        near = nearest(name, (row.name for row in list_kind(connection, kind)))
        raise NotFoundError(
            f'{kind} "{name}" does not exist; {near or f"no {kind} has been applied yet"}'
        )
    return found


def get_ready(connection: Connection, kind: Kind, name: str) -> Stored:
    """Return a stored resource of which some generation became ready; ConflictError otherwise."""
    found = get(connection, kind, name)
    if not found.made:
        raise not_ready(found)
    return found


def not_ready(row: Stored) -> ConflictError:
    """Return what a use of a resource is refused with of which no generation became ready."""
    return ConflictError(f"{row} is not ready yet: its phase is {row.phase}; its status says why")


class ChangedError(ConflictError):
    """A resource is no longer what the caller has seen."""


def require_edition(
    connection: Connection, kind: Kind, name: str, known: frozenset[str] | None
) -> None:
    """Refuse to change a resource whose etag is not one of the caller's; None: any."""
    if known is None:
        return
    found = find(connection, kind, name)
    if known == ABSENT:
        if found is not None:
            raise ChangedError(f'{kind} "{name}" exists, and If-None-Match says that none does')
    elif found is None or found.edition not in known:
        now = "does not exist" if found is None else f"is of generation {found.generation}"
        raise ChangedError(f'{kind} "{name}" {now}, which is not what If-Match says; get it again')


def list_kind(connection: Connection, *kinds: Kind) -> list[Stored]:
    """Return all resources of one kind, or of several as they were at one moment, by name."""
    query = _SELECTED.where(resources.c.kind.in_(kinds)).order_by(resources.c.key)
    return [Stored(*row) for row in connection.execute(query)]


def list_page(
    connection: Connection,
    kind: Kind,
    *where: ColumnElement[bool],
    fits: Callable[[Stored], bool] | None = None,
    order: Order = "name",
    descending: bool = False,
    after: Place | None = None,
    limit: int | None,
    whole: bool = True,
) -> list[Stored]:
    """Return the first resources of a kind, in an order and behind a place in it, that fit.

    ``where``: what the database can tell; ``fits``: all else; ``whole``: with what is declared.
    """
    query = _in_order(order, descending=descending, whole=whole).where(*where)
    if after is not None:
        columns = [resources.c[name] for name in ORDERS[order][0]]
        query = query.where(is_behind(after, columns, descending=descending))
    if fits is None:
        found = connection.execute(query.limit(limit), {"kind": kind})
        return [Stored(*row) for row in found]
    query = query.execution_options(yield_per=_FETCHED)
    with connection.execute(query, {"kind": kind}) as rows:
        return list(islice((one for row in rows if fits(one := Stored(*row))), limit))


@cache
def _in_order(order: Order, *, descending: bool, whole: bool) -> Select[Any]:
    columns = [resources.c[name] for name in ORDERS[order][0]]
    query = (_SELECTED if whole else _STATES).where(resources.c.kind == bindparam("kind"))
    return query.order_by(*(one.desc() if descending else one for one in columns))


def narrowed(
    *,
    start: str = "",
    part: str = "",
    owner: str | None = None,
    created: tuple[datetime | None, datetime | None] = (None, None),
    updated: tuple[datetime | None, datetime | None] = (None, None),
) -> list[ColumnElement[bool]]:
    """Return what `list_page` looks for: of keys, their start and a part; of times, from and to."""
    columns = resources.c
    found = [columns.key.startswith(start, autoescape=True)] if start else []
    found += [columns.key.contains(part, autoescape=True)] if part else []
    found += [] if owner is None else [columns.owner == owner]
    for column, (first, last) in ((columns.created_at, created), (columns.updated_at, updated)):
        found += [] if first is None else [column >= first]
        found += [] if last is None else [column < last]
    return found


def place_of(row: Stored, order: Order) -> Place:
    """Return where a resource stands in an order."""
    key = key_of(row.kind, row.name)
    return (key,) if row.created_at is None or order == "name" else (row.created_at, key)


def hold_all(connection: Connection) -> None:
    """Keep all resources to this transaction: what needs what is checked, then changed."""
    advisory_lock(connection, "resources")


def put_row(connection: Connection, resource: Stored, now: datetime) -> None:
    """Store what is declared; one of the same name is replaced and its generation counts up."""
    before = find(connection, resource.kind, resource.name)
    generation = 1 if before is None else before.generation + 1
    values = {one.name: getattr(resource, one.name) for one in fields(Stored)}
    values |= {key: dict(values[key]) for key in ("tags", "spec", "content", "made", "applied_by")}
    values |= {"generation": generation, "updated_at": now}
    values["created_at"] = now if before is None else before.created_at
    observed = None if before is None else before.observed_generation
    values["observed_generation"] = generation if resource.phase == "Ready" else observed
    if before is None:
        key = key_of(resource.kind, resource.name)
        connection.execute(insert(resources).values(**values, key=key))
        _count_change(connection, resource.kind, key)
    else:
        write(connection, resource, **values)


def write(connection: Connection, resource: Stored, **values: object) -> None:
    """Store how a resource fares, or what it consists of now."""
    key = key_of(resource.kind, resource.name)
    where = resources.c.kind == resource.kind, resources.c.key == key
    connection.execute(update(resources).where(*where).values(**values))
    if "made" in values:
        _count_change(connection, resource.kind, key)


def begin_again(connection: Connection, resource: Stored, lease: Values) -> None:
    """Have what is declared brought about once more, by the server of a lease."""
    write(connection, resource, phase="Pending", reason=None, attempts=0, **lease)


def list_unfinished(connection: Connection, owner: str, now: datetime) -> list[Stored]:
    """Return what a server brings about, and what it may take: those first that others need."""
    rows = [Stored(*row) for row in connection.execute(_SELECTED.where(_is_for(owner, now)))]
    return sorted(rows, key=lambda row: (KINDS.index(row.kind), bool(containers_of(row.spec))))


def claim(connection: Connection, owner: str, now: datetime) -> None:
    """Renew the lease of what a server brings about, and take what it may."""
    taken = update(resources).where(_is_for(owner, now))
    connection.execute(taken.values(**LEASE.taken(owner, now), phase="Pending"))


def _is_for(owner: str, now: datetime) -> ColumnElement[bool]:
    """Select what is unfinished and the server's, or nobody's, and what is due once more."""
    is_unfinished, until = resources.c.phase == "Pending", resources.c.lease_until
    is_free = LEASE.is_free(now) | LEASE.is_owned(owner)
    return (is_unfinished & is_free) | (~is_unfinished & (until <= now))


# Which kinds may need a kind (`needs`).
_USERS: Mapping[Kind, tuple[Kind, ...]] = {
    "Model": ("Model", "Baseline", "EndpointConfig", "Endpoint"),
    "Baseline": ("Endpoint", "Monitor"),
    "Endpoint": ("Monitor", "ScalingPolicy"),
    "Channel": ALARM_KINDS,
}


def users_of(connection: Connection, kind: Kind, name: str) -> list[Stored]:
    """Return what needs a resource, also through models of containers, as kinds need each other."""
    wanted, found = [(kind, key_of(kind, name))], dict[tuple[Kind, str], Stored]()
    while wanted:
        one = wanted.pop()
        for row in _naming(connection, *one):
            own = row.kind, key_of(row.kind, row.name)
            if own not in found and one in _needed(row):
                found[own] = row
                wanted += [own] if row.kind == "Model" else []
    return sorted(found.values(), key=lambda row: KINDS.index(row.kind))


def _naming(connection: Connection, kind: Kind, key: str) -> list[Stored]:
    """Return what may need a resource: rows of which the database says that they name it."""
    part = "" if kind == "Channel" else key  # An ARN may name a channel by underscores.
    texts = (func.lower(cast(column, Text)) for column in (resources.c.spec, resources.c.made))
    names_it = or_(*(text.contains(part, autoescape=True) for text in texts))
    query = _SELECTED.where(resources.c.kind.in_(_USERS.get(kind, ())), names_it)
    return [Stored(*row) for row in connection.execute(query.order_by(resources.c.key))]


def _needed(row: Stored) -> set[tuple[Kind, str]]:
    specs = [row.spec, row.running] if row.running else [row.spec]
    return {(kind, key_of(kind, name)) for spec in specs for kind, name in needs(row.kind, spec)}


def delete_row(connection: Connection, kind: Kind, name: str) -> None:
    """Remove a stored resource."""
    connection.execute(
        delete(resources).where(resources.c.kind == kind, resources.c.key == key_of(kind, name))
    )
    echo.remove(connection, kind, name)
    _count_change(connection, kind, key_of(kind, name))


def changes(connection: Connection) -> int:
    """Return how often what is to be served has changed."""
    return int(connection.execute(select(installation.c.changes)).scalar_one())


def list_changed(connection: Connection, since: int) -> tuple[list[Stored], set[str]]:
    """Return the endpoints that have changed since a count of changes, and the keys of all."""
    is_endpoint = resources.c.kind == "Endpoint"
    found = connection.execute(_SELECTED.where(is_endpoint, resources.c.changes > since))
    rows = [Stored(*row) for row in found]
    return rows, {*connection.scalars(select(resources.c.key).where(is_endpoint))}


def _count_change(connection: Connection, kind: Kind, key: str) -> None:
    """Have servers look at an endpoint: what is to be served stands in endpoints alone."""
    if kind == "Endpoint":
        connection.execute(update(installation).values(changes=installation.c.changes + 1))
        where = resources.c.kind == kind, resources.c.key == key
        count = select(installation.c.changes).scalar_subquery()
        connection.execute(update(resources).where(*where).values(changes=count))


def needs(kind: Kind, spec: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    """Name what a resource cannot be without: kind and name of each."""
    found: list[tuple[Kind, Any]] = []
    if kind == "Baseline":
        found = [("Model", spec["model"])]
    elif kind == "Model":
        found = [("Model", name) for name in containers_of(spec).values()]
    elif kind in ("Endpoint", "EndpointConfig"):
        # What its config says stands in the endpoint itself: the config may go.
        found = [("Model", variant["model_name"]) for variant in variants_and_shadows(spec)]
        found += [("Baseline", spec.get("baseline"))]
    elif kind == "Monitor":
        found = [
            ("Endpoint", spec["endpoint"]),
            ("Baseline", baseline_and_pin(spec["baseline"])[0]),
        ]
    elif kind in ALARM_KINDS:
        lists = ("alarm_actions", "ok_actions", "insufficient_data_actions")
        found = [("Channel", channel_of(name)) for key in lists for name in spec[key]]
    elif kind == "ScalingPolicy":
        found = [("Endpoint", spec["endpoint"])]
    return [(other, name) for other, name in found if name is not None]
