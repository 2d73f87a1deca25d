"""A baseline's version in use: moved to another with all that follow it, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from driftline.access.audit import PROMOTE, record
from driftline.access.principal import Principal
from driftline.baseline.store import Baseline, find_version
from driftline.baseline.store import get as load_version
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, InputError
from driftline.monitors.definitions import list_definitions, put_definition
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.specs import baseline_and_pin
from driftline.serving.resources.store import Stored


@dataclass(frozen=True)
class Promoted:
    """The digest of the version in use now, of the one before, and the monitors that follow."""

    baseline: str
    before: str
    version: str
    monitors: Sequence[str]


def promote_version(
    context: ServerContext, name: str, wanted: str, before: str | None, lease: Mapping[str, object]
) -> Promoted:
    """Have all followers of a baseline use a version of it; ``before``: if this one still is.

    Endpoints follow by the server of a lease.
    """
    root, now = context.root, context.now()
    with read_connection(context.engine) as connection:
        name = store.get_ready(connection, "Baseline", name).name
    version = find_version(root, name, wanted).version
    loaded = load_version(root, name, version)
    require_answerable_followers(context, name, loaded)
    with context.engine.begin() as connection:
        store.hold_all(connection)
        row = store.get_ready(connection, "Baseline", name)
        used, moved = row.made["version"], list[str]()
        if used != version:
            require_in_use(row, before or used)
            signature = loaded.signature.to_json()
            moved = move_version(connection, row, version, now, signature=signature)
            for user in store.users_of(connection, "Baseline", name):
                if user.kind == "Endpoint" and not user.is_unfinished:
                    store.begin_again(connection, user, lease)
    return Promoted(name, used, version, moved)


def use_version(
    connection: Connection, name: str, version: str, before: str, now: datetime
) -> list[str]:
    """Have a version of a baseline used if another one still is; return the monitors that follow.

    Begins by keeping all resources to the transaction.
    """
    store.hold_all(connection)
    row = store.get(connection, "Baseline", name)
    require_in_use(row, before)
    return move_version(connection, row, version, now)


def require_in_use(row: Stored, before: str) -> None:
    """Refuse to go on from a version of a baseline that is no longer the one in use."""
    if row.made.get("version") != before:
        raise ConflictError(
            f'baseline "{row.name}": version {row.made.get("version")} is in use, no longer '
            f"{before}; look at it and try again"
        )


def require_answerable_followers(context: ServerContext, name: str, version: Baseline) -> None:
    """Refuse a version with which all windows of a monitor would fail with a question.

    Monitors that are not ready are left to their own check. None is named: it may belong to an
    endpoint that the caller may not see.
    """
    key, following = key_of("Baseline", name), set[str]()
    with read_connection(context.engine) as connection:
        for row in store.list_kind(connection, "Monitor"):
            used, pin = baseline_and_pin(row.spec["baseline"])
            if row.phase == "Ready" and pin is None and key_of("Baseline", used) == key:
                following.add(row.spec["kind"])
    for kind in map(kind_named, sorted(following)):
        if not kind.uses_labels:
            continue
        try:
            require_answerable(version, kind)
        except InputError as error:
            raise InputError(f"{error}; a {kind.name} monitor follows the baseline") from error


def move_version(
    connection: Connection,
    row: Stored,
    version: str,
    now: datetime,
    *,
    signature: str | None = None,
    principal: Principal | None = None,
) -> list[str]:
    """Have another version of a baseline used; return the monitors that follow it.

    Do it in a transaction that holds all resources. ``signature``: where it is another one.
    """
    made = {**row.made, "version": version}
    store.put_made(connection, row, made if signature is None else made | {"signature": signature})
    before = row.made.get("version")
    record(
        connection, PROMOTE, f"Baseline/{row.name}", now, principal=principal,
        before=None if before is None else {"version": before}, after={"version": version},
    )  # fmt: skip
    moved = [
        one
        for one in list_definitions(connection)
        if one.baseline == row.name and not one.baseline_pinned
    ]
    for one in moved:
        put_definition(connection, replace(one, baseline_version=version), now)
    return [one.name for one in moved]
