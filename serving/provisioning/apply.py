"""Applies and deletes declared resources, all or nothing; controllers bring them about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from driftline.access.audit import DELETE, record
from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import delete_alarm, hold_for_change, put_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import delete_channel, put_channel
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import expire_silence, put_silence
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, InputError
from driftline.monitors.definitions import definition_made_at, delete_definition
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.baselines import Promoted, promote_version
from driftline.serving.provisioning.controllers import Controllers
from driftline.serving.provisioning.definitions import Definition, definition_of
from driftline.serving.provisioning.files import look_at
from driftline.serving.provisioning.making import make_endpoint, make_monitor, obstacle
from driftline.serving.provisioning.plan import Action, Change, Key, apply_defaults, make_plan
from driftline.serving.provisioning.targets import require_targets
from driftline.serving.resources import echo, store
from driftline.serving.resources.resources import (
    ALARM_KINDS,
    Resource,
    ResourceError,
    parse_resources,
)
from driftline.serving.resources.specs import KINDS, Kind
from driftline.serving.resources.store import CONTROLLED, Stored
from driftline.serving.scaling.policies import declare

log = logging.getLogger(__name__)

Contents = Mapping[Key, Mapping[str, str]]
# What takes no long work; what of it does not fit is refused when it is applied, where that can be.
_MADE_AT_ONCE = {"Endpoint": make_endpoint, "Monitor": make_monitor}
_DELETE: Mapping[Kind, Callable[[Connection, str, datetime], object]] = {
    "Monitor": delete_definition,
    "Alarm": delete_alarm,
    "CompositeAlarm": delete_alarm,
    "Channel": delete_channel,
    "Silence": expire_silence,
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """A resource to apply: on what condition, and what a client of AWS said of it."""

    document: Mapping[str, Any]
    known: frozenset[str] | None = None  # The editions that it may have before; None: any.
    said: Mapping[str, Any] | None = None  # Members that are kept beside it (echo.py).

    @property
    def key(self) -> Key:
        """The resource's kind and name, of a document whose form is right."""
        return self.document["kind"], self.document["name"]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A resource to delete, and on what condition."""

    kind: Kind
    name: str
    known: frozenset[str] | None = None  # The editions that it may have; None: any.
    # Also a model of endpoints that are ready, which go on with what they have.
    in_use: bool = False
    if_free: bool = False  # It stays where others need it, and nothing is refused.
    if_there: bool = False  # None of the name is nothing to delete.


@dataclass(frozen=True)
class AppliedChange:
    """What applying does to one resource."""

    action: Action
    kind: Kind
    name: str
    fields: Sequence[str]
    failed_before: str | None  # Why, of what is tried again as it was.


@dataclass(frozen=True)
class PendingResource:
    """A resource that becomes ready, or fails."""

    kind: Kind
    name: str
    generation: int


@dataclass(frozen=True)
class Applied:
    """What was applied, or would be; and what becomes ready afterwards."""

    dry_run: bool
    changes: Sequence[AppliedChange]
    pending: Sequence[PendingResource]


class Applier:
    """Checks and stores what is declared, and has controllers bring it about."""

    def __init__(
        self, context: ServerContext, reconciler: EndpointReconciler, controllers: Controllers
    ) -> None:
        self._context, self._reconciler, self._controllers = context, reconciler, controllers

    async def apply(
        self,
        declarations: Sequence[Declaration],
        *,
        dry_run: bool,
    ) -> Applied:
        """Store declared resources, or only say what that would change.

        Returns the changes, and what becomes ready, or fails, after it was stored.
        """
        context = self._context
        parsed = parse_resources(one.document for one in declarations)
        resources = await asyncio.to_thread(self._filled, parsed)
        for resource in resources:
            _check(resource)
        allowed = context.settings.notify.allow_networks
        await require_targets(resources, context.commands, allowed)
        # A store that does not answer must hold up no transaction.
        contents = {(one.kind, one.key): await look_at(one, context) for one in resources}
        await asyncio.to_thread(self._require_fit, resources, contents)
        changes, pending = await asyncio.to_thread(
            self._store, resources, contents, declarations, dry_run=dry_run
        )
        if not dry_run:
            self._controllers.wake()
            if any(one.resource.kind == "Endpoint" for one in changes):
                await self._reconciler.refresh()  # Callers are told that it is on its way.
            for one in changes:
                log.info("%s action=%s", one.resource, one.action)
        return Applied(
            dry_run,
            [AppliedChange(one.action, *one.key, one.fields, one.failed_before) for one in changes],
            [PendingResource(row.kind, row.name, row.generation) for row in pending],
        )

    async def delete(self, *deletions: Deletion) -> None:
        """Delete declared resources in order; what was captured, fitted and executed stays."""
        await asyncio.to_thread(self._delete_all, deletions)
        self._controllers.wake()
        await self._reconciler.refresh()

    async def promote(self, name: str, wanted: str, before: str | None = None) -> Promoted:
        """Have all followers use a version; ``before``: the digest in use until then; None: any."""
        lease = self._controllers.lease()
        found = await asyncio.to_thread(promote_version, self._context, name, wanted, before, lease)
        self._controllers.wake()
        log.info("kind=Baseline name=%s action=promote version=%s", name, found.version)
        return found

    def _filled(self, resources: Sequence[Resource]) -> list[Resource]:
        with read_connection(self._context.engine) as connection:
            return apply_defaults(connection, resources)

    def _require_fit(self, resources: Sequence[Resource], contents: Contents) -> None:
        """Refuse what does not fit what is ready and stays as it is: make it, and take it back."""
        with read_connection(self._context.engine) as connection:
            plan = make_plan(connection, resources, contents)
            rows = [_row(one) for one in plan if one.action != "unchanged"]
            kinds = (KINDS.index(row.kind) for row in rows if row.kind in CONTROLLED)
            first = min(kinds, default=0)  # Each kind needs those before it.
            rows = [
                row
                for row in rows
                if KINDS.index(row.kind) == first
                and row.kind in _MADE_AT_ONCE
                and not obstacle(connection, row)
            ]
        for row in rows:
            try:
                finish = _MADE_AT_ONCE[row.kind](self._context, row)
                with self._context.engine.begin() as connection:
                    finish(connection, row)
                    connection.rollback()
            except InputError as error:
                raise ResourceError(f"{row}: {error}") from error

    def _store(
        self,
        resources: Sequence[Resource],
        contents: Contents,
        declarations: Sequence[Declaration],
        *,
        dry_run: bool,
    ) -> tuple[list[Change], list[Stored]]:
        """Write everything in one transaction, which a dry run takes back; return what changed."""
        now, lease = self._context.now(), self._controllers.lease()
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            changes = make_plan(connection, resources, contents)
            for declared in declarations:
                store.require_edition(connection, *declared.key, declared.known)
            changed = [one for one in changes if one.action != "unchanged"]
            alarms = [one.resource.name for one in changed if one.resource.kind in ALARM_KINDS]
            if alarms:  # In the order of locks that all who change several keep.
                hold_for_change(connection, alarms)
            for declared in declarations:
                if declared.said is not None:
                    echo.put(connection, *declared.key, declared.said)
            composites = []
            for one in changed:
                definition = self._put(connection, one, lease)
                if isinstance(definition, CompositeDefinition):
                    composites.append(definition)
            if composites:  # At once: their rules may name each other.
                url = self._context.dashboard_url
                put_composites(connection, composites, now, dashboard_url=url)
            for one in changes:
                row = one.before if one.action == "unchanged" else None
                if row is not None and _is_begun_again(connection, row):
                    store.begin_again(connection, row, lease)
            pending = [] if dry_run else _pending(connection, resources)
            if dry_run:
                connection.rollback()
        return changes, pending

    def _put(
        self, connection: Connection, change: Change, lease: Mapping[str, Any]
    ) -> Definition | None:
        """Write one resource's row, and hand it to the package that acts on it at once."""
        row, before, now = _row(change), change.before, self._context.now()
        definition = definition_of(change.resource)
        if row.kind in CONTROLLED:
            row = replace(row, phase="Pending", **lease)
        store.put_row(connection, row, now)
        if isinstance(definition, Channel):
            put_channel(connection, definition, now, vault=self._context.vault)
        elif isinstance(definition, AlarmDefinition):
            put_alarm(connection, definition, now)
        elif isinstance(definition, Silence):
            put_silence(connection, definition, now)
        elif row.kind == "ScalingPolicy":
            declare(connection, before, row, now)
        old = None if before is None else before.declared()
        verb, target = "create" if old is None else "update", f"{row.kind}/{row.name}"
        record(connection, verb, target, now, before=old, after=row.declared())
        return definition

    def _delete_all(self, deletions: Sequence[Deletion]) -> None:
        now = self._context.now()
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            alarms = [one.name for one in deletions if one.kind in ALARM_KINDS]
            if alarms:  # In the order of locks that all who change several keep.
                hold_for_change(connection, alarms)
            deleted = [one for one in deletions if _delete(connection, one, now)]
        for one in deleted:
            log.info("kind=%s name=%s action=delete", one.kind, one.name)


def _delete(connection: Connection, deletion: Deletion, now: datetime) -> bool:
    """Delete a resource; False: there is none, or it stays, because another needs it."""
    kind, name = deletion.kind, deletion.name
    if deletion.if_there and store.find(connection, kind, name) is None:
        return False
    store.require_edition(connection, kind, name, deletion.known)
    row = store.get(connection, kind, name)
    if kind == "Endpoint":  # With its policies, as SageMaker does.
        _delete_scaling(connection, row, now)
    elif kind == "ScalingPolicy":
        declare(connection, row, None, now)
    users = store.users_of(connection, kind, name)
    if deletion.in_use and kind == "Model":
        users = [one for one in users if not _is_independent(one)]
    if users and deletion.if_free:
        return False
    if users:
        raise ConflictError(f"{row} is needed by {users[0]}; delete or change that first")
    was_ready = kind != "Monitor" or definition_made_at(connection, row.name) is not None
    if was_ready and kind in _DELETE:
        _DELETE[kind](connection, row.name, now)
    store.delete_row(connection, kind, name)
    record(connection, DELETE, f"{kind}/{row.name}", now, before=row.declared())
    return True


def _is_independent(user: Stored) -> bool:
    """Whether it goes on without its models: an endpoint that is ready has all of them itself."""
    is_ready = user.kind == "Endpoint" and user.phase == "Ready"
    return is_ready or user.kind == "EndpointConfig"


def _delete_scaling(connection: Connection, endpoint: Stored, now: datetime) -> None:
    for row in store.users_of(connection, "Endpoint", endpoint.name):
        if row.kind == "ScalingPolicy":
            declare(connection, row, None, now)
            store.delete_row(connection, row.kind, row.name)
            record(connection, DELETE, f"{row.kind}/{row.name}", now, before=row.declared())


def _is_begun_again(connection: Connection, row: Stored) -> bool:
    """Whether what is declared as before is to be brought about once more."""
    if row.phase != "Ready":
        return row.phase == "Failed"
    # A baseline is made anew for a new model, though nothing of its own has changed.
    if row.kind != "Baseline" or not row.spec["model"]:
        return False
    model = store.get(connection, "Model", row.spec["model"])
    return model.is_unfinished or model.made.get("digest") != row.made["model_digest"]


def _pending(connection: Connection, resources: Sequence[Resource]) -> list[Stored]:
    """Return what waits for a controller after an apply, in the order in which it ends."""
    declared = [store.get(connection, one.kind, one.name) for one in resources]
    unfinished = [one for one in declared if one.is_unfinished]
    rows = [one for one in declared if one.kind == "Endpoint"] + unfinished
    rows += (user for one in unfinished for user in store.users_of(connection, one.kind, one.name))
    found = {(one.kind, one.name): one for one in rows if one.kind in CONTROLLED}
    return sorted(found.values(), key=lambda one: KINDS.index(one.kind))


def _row(change: Change) -> Stored:
    resource, before, who = change.resource, change.before, CURRENT.get()
    return Stored(
        resource.kind, resource.name, resource.owner, resource.tags, change.spec,
        made={} if before is None else before.made,  # What runs goes on.
        content=change.content, applied_by={"subject": who.subject, "via": who.via},
    )  # fmt: skip


def _check(resource: Resource) -> None:
    try:
        definition_of(resource)
    except ResourceError:
        raise
    except InputError as error:
        # The packages name what they refuse in their own way, or not at all.
        kind = "alarm" if resource.kind in ALARM_KINDS else resource.kind.lower()
        own = f'{kind} "{resource.name}": '
        raise ResourceError(f"{resource}: {str(error).removeprefix(own)}") from error
