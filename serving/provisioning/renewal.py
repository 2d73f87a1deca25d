"""A baseline's version in use: moved to another with all that follow it, in one transaction."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from driftline.access.audit import PROMOTE, record
from driftline.baseline.store import get as load_version
from driftline.capture.windows.window import ROW_IDS
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, InputError
from driftline.monitors.definitions import MonitorDefinition, list_definitions, put_definition
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.monitors.rules.fitting import require_columns, require_types
from driftline.monitors.rules.ruleset import RuleSet
from driftline.serving.context import ServerContext
from driftline.serving.provisioning.plan import Planned
from driftline.serving.resources import store
from driftline.serving.resources.resources import ResourceError, key_of
from driftline.serving.resources.specs import Kind, baseline_and_pin
from driftline.serving.resources.store import Stored
from driftline.signature import Signature


def refuse_pinned(definition: MonitorDefinition) -> None:
    """Refuse to make another version for a monitor that would not use it."""
    if definition.baseline_pinned:
        raise ConflictError(
            f'monitor "{definition.name}" is pinned to version {definition.baseline_version} of '
            f'baseline "{definition.baseline}"; declare baseline: {definition.baseline} to have it '
            "follow, or make a version with driftline baseline create"
        )


def note_promotion(
    connection: Connection, baseline: str, before: str | None, version: str, now: datetime
) -> None:
    """Note in the audit log that another version of a baseline is in use: its history."""
    old = None if before is None else {"version": before}
    record(connection, PROMOTE, f"Baseline/{baseline}", now, before=old, after={"version": version})


def require_in_use(row: Stored, before: str) -> None:
    """Refuse to go on from a version of a baseline that is no longer the one in use."""
    if row.made["version"] != before:
        raise ConflictError(
            f'baseline "{row.name}": version {row.made["version"]} is in use, no longer '
            f"{before}; look at it and try again"
        )


def require_answerable_followers(
    context: ServerContext, name: str, version: str, declared: Set[str] = frozenset()
) -> None:
    """Refuse a version with which all windows of a stored monitor would fail with a question.

    Monitors of `declared` keys are left to their declaration. Others are not named, as they may
    belong to an endpoint that the caller may not see.
    """
    key = key_of("Baseline", name)
    with read_connection(context.engine) as connection:
        rows = store.list_kind(connection, "Monitor")
    following = {
        row.spec["kind"]
        for row in rows
        if key_of("Monitor", row.name) not in declared
        and (used := baseline_and_pin(row.spec["baseline"]))[1] is None
        and key_of("Baseline", used[0]) == key
    }
    for kind in (kind_named(one) for one in sorted(following)):
        if not kind.uses_labels:
            continue
        try:
            require_answerable(load_version(context.root, name, version), kind)
        except InputError as error:
            raise ResourceError(
                f'Baseline "{name}", which a {kind.name} monitor follows: {error}'
            ) from error


def require_captured(connection: Connection, monitor: Planned) -> None:
    """Refuse a monitor with a rule on a column or a type that captured rows do not have.

    What other tables hold is not known before they are read.
    """
    spec = monitor.spec
    baseline, pin = baseline_and_pin(spec["baseline"])
    if not spec["rules"] or monitor.action == "unchanged" or spec["source"] or pin is not None:
        return
    needed: tuple[tuple[Kind, str], ...] = (
        ("Endpoint", spec["endpoint"]), ("Baseline", baseline)
    )  # fmt: skip
    texts: list[str] = [store.get(connection, *one).made.get("signature", "") for one in needed]
    if not all(texts):
        return
    captured, known = (
        {column.name: column.type for column in Signature.from_json(text).columns} for text in texts
    )
    try:
        rules = RuleSet.of(spec["rules"])
        require_columns(rules, [*ROW_IDS, *captured, *known])
        require_types(rules, captured)
    except InputError as error:
        raise ResourceError(f"{monitor.resource}: {error}") from error


def move_version(
    connection: Connection, baseline: str, before: str | None, version: str, now: datetime
) -> list[MonitorDefinition]:
    """Do it in a transaction that holds all resources; give the definitions as they were."""
    row = store.get(connection, "Baseline", baseline)
    if before is not None:
        require_in_use(row, before)
    store.put_row(connection, replace(row, made={**row.made, "version": version}), now)
    note_promotion(connection, row.name, row.made["version"], version, now)
    moved = [
        one
        for one in list_definitions(connection)
        if one.baseline == row.name
        and not one.baseline_pinned
        and one.baseline_version in (before, row.made["version"])
    ]
    for one in moved:
        put_definition(connection, replace(one, baseline_version=version), now)
    return moved
