"""A baseline's version in use: moved to another with all that follow it, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from driftline.access.audit import PROMOTE, record
from driftline.access.principal import Principal
from driftline.baseline.store import Baseline
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


def require_in_use(row: Stored, before: str) -> None:
    """Refuse to go on from a version of a baseline that is no longer the one in use."""
    if row.made.get("version") != before:
        raise ConflictError(
            f'baseline "{row.name}": version {row.made.get("version")} is in use, no longer '
            f"{before}; look at it and try again"
        )


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


def require_answerable_followers(context: ServerContext, name: str, version: Baseline) -> None:
    """Refuse a version with which all windows of a monitor would fail with a question.

    Monitors that are not ready are left to their own check. None is named: it may belong to an
    endpoint that the caller may not see.
    """
    key = key_of("Baseline", name)
    with read_connection(context.engine) as connection:
        rows = store.list_kind(connection, "Monitor")
    following = {
        row.spec["kind"]
        for row in rows
        if row.phase == "Ready"
        and (used := baseline_and_pin(row.spec["baseline"]))[1] is None
        and key_of("Baseline", used[0]) == key
    }
    for kind in (kind_named(one) for one in sorted(following)):
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
