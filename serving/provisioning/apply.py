"""Applies and deletes declared resources: all of a file is right and stored, or nothing of it is.

What needs no code of users is checked first. One transaction then stores what is declared, and
controllers bring it about (controllers.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

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
from driftline.baseline.store import find_version
from driftline.baseline.store import get as load_version
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, InputError
from driftline.monitors.definitions import definition_made_at, delete_definition
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.controllers import Controllers
from driftline.serving.provisioning.definitions import definition_of, fill_in
from driftline.serving.provisioning.endpoint_making import make_endpoint
from driftline.serving.provisioning.files import look_at
from driftline.serving.provisioning.monitor_making import Used, require_captured, version_used
from driftline.serving.provisioning.plan import (
    Key,
    Plan,
    Planned,
    known_targets,
    make_plan,
    pending_of,
)
from driftline.serving.provisioning.renewal import (
    move_version,
    require_answerable_followers,
    require_in_use,
)
from driftline.serving.provisioning.targets import ASKING_MAX, require_ways
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_not_captured_into
from driftline.serving.resources.resources import (
    ALARM_KINDS,
    Resource,
    ResourceError,
    key_of,
    parse_resources,
)
from driftline.serving.resources.specs import Kind, MonitorSpec, baseline_and_pin
from driftline.serving.resources.store import CONTROLLED, Stored

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Applier:
    """Checks and stores what is declared, and has controllers bring it about."""

    def __init__(
        self, context: ServerContext, reconciler: EndpointReconciler, controllers: Controllers
    ) -> None:
        self._context, self._reconciler, self._controllers = context, reconciler, controllers
        self._asking = asyncio.Semaphore(ASKING_MAX)

    async def apply(
        self,
        documents: Sequence[object],
        *,
        dry_run: bool,
        known: frozenset[str] | None = None,
    ) -> Plan:
        """Store declared resources, or return what that would change.

        ``known``: the editions that each resource may have before, none if it must be new; None:
        any.
        """
        context = self._context
        resources = await self._read(fill_in, parse_resources(documents))
        for resource in resources:
            _check(resource)
        await require_ways(
            resources,
            commands=context.commands,
            allow_networks=context.settings.notify.allow_networks,
            turns=self._asking,
            known=await self._read(known_targets, resources),
        )
        # A store that does not answer must hold up no transaction.
        found = {_key(one): await look_at(one, context) for one in resources}
        used = await self._read(self._versions_used, resources)
        if dry_run:
            plan = await self._read(self._planned, resources, found, used)
            return replace(plan, is_dry_run=True)
        plan = await asyncio.to_thread(self._store, resources, found, used, known)
        self._controllers.wake()
        if plan.of_kind("Endpoint"):
            await self._reconciler.refresh()  # Callers are told that it is on its way.
        for entry in plan.planned:
            log.info("kind=%s name=%s action=%s", *_key(entry.resource), entry.action)
        return plan

    async def delete(self, kind: Kind, name: str, known: frozenset[str] | None = None) -> None:
        """Delete a declared resource; what was captured, fitted and executed stays."""
        await asyncio.to_thread(self._delete, kind, name, known)
        self._controllers.wake()
        await self._reconciler.refresh()

    async def promote(self, name: str, wanted: str, before: str | None = None) -> dict[str, Any]:
        """Have all followers of a baseline use a version of it, be it an older one.

        ``before``: the digest that must be in use until then; None: any. Returns the baseline, the
        digests before and after, and the monitors that were moved.
        """
        found = await asyncio.to_thread(self._promote, name, wanted, before)
        self._controllers.wake()
        log.info("kind=Baseline name=%s action=promote version=%s", name, found["version"])
        return found

    async def _read(
        self, ask: Callable[Concatenate[Connection, P], T], *given: P.args, **named: P.kwargs
    ) -> T:
        """Ask the stored resources something in a thread, which changes nothing."""

        def read() -> T:
            with read_connection(self._context.engine) as connection:
                return ask(connection, *given, **named)

        return await asyncio.to_thread(read)

    def _versions_used(
        self, connection: Connection, resources: Sequence[Resource]
    ) -> dict[Key, Used]:
        """Look which versions of baselines that are ready monitors would use."""
        found = {}
        for one in resources:
            if isinstance(one.spec, MonitorSpec):
                name, _ = baseline_and_pin(one.spec.baseline)
                row = store.find(connection, "Baseline", name)
                if row is not None and row.made and row.phase == "Ready":
                    spec = one.spec.model_dump(mode="json")
                    found[_key(one)] = version_used(self._context.root, spec, row)
        return found

    def _planned(
        self,
        connection: Connection,
        resources: Sequence[Resource],
        found: Mapping[Key, Mapping[str, str]],
        used: Mapping[Key, Used],
    ) -> Plan:
        """Compare what is declared with what is stored, and check what is ready against it."""
        plan = make_plan(connection, resources, found)
        changing = {_key(one.resource) for one in plan.planned if one.action != "unchanged"}
        for entry in plan.planned:
            resource, spec = entry.resource, entry.spec
            if _key(resource) not in changing or not _is_settled(
                connection, store.needs(resource.kind, spec), changing
            ):
                continue  # A controller looks once it is known what it is to be checked against.
            try:
                if resource.kind == "Endpoint":
                    before = {} if entry.before is None else entry.before.made
                    make_endpoint(connection, resource.name, spec, before, self._context.now())
                elif resource.kind == "Monitor":
                    problem = used[_key(resource)].problem if _key(resource) in used else None
                    if problem is not None:
                        raise problem
                    require_captured(connection, spec)
            except InputError as error:
                raise ResourceError(f"{resource}: {error}") from error
        return plan

    def _store(
        self,
        resources: Sequence[Resource],
        found: Mapping[Key, Mapping[str, str]],
        used: Mapping[Key, Used],
        known: frozenset[str] | None,
    ) -> Plan:
        """Write everything in one transaction."""
        now, lease = self._context.now(), self._controllers.lease()
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            plan = self._planned(connection, resources, found, used)
            for resource in resources:
                store.require_edition(connection, resource.kind, resource.name, known)
            _hold_alarms(connection, plan)
            for entry in plan.planned:
                if entry.action != "unchanged":
                    self._put(connection, entry, lease)
                elif entry.before is not None and _is_begun_again(connection, entry.before):
                    store.begin_again(connection, entry.before, lease)
            composites = [
                definition
                for entry in plan.of_kind("CompositeAlarm")
                if entry.action != "unchanged"
                and isinstance(definition := definition_of(entry.resource), CompositeDefinition)
            ]
            if composites:  # At once: their rules may name each other.
                url = self._context.dashboard_url
                put_composites(connection, composites, now, dashboard_url=url)
            return replace(plan, pending=pending_of(connection, plan))

    def _put(self, connection: Connection, entry: Planned, lease: Mapping[str, Any]) -> None:
        """Write one resource's row, and hand it to the package that acts on it at once."""
        resource, before, who = entry.resource, entry.before, CURRENT.get()
        row = Stored(
            resource.kind, resource.name, resource.owner, resource.tags, entry.spec,
            made={} if before is None else before.made,
            content=entry.content,
            applied_by={"subject": who.subject, "via": who.via},
        )  # fmt: skip
        if resource.kind in CONTROLLED:
            row = replace(row, phase="Pending", **lease)
        now, definition = self._context.now(), definition_of(resource)
        store.put_row(connection, row, now)
        if isinstance(definition, Channel):
            put_channel(connection, definition, now, vault=self._context.vault)
        elif isinstance(definition, AlarmDefinition):
            put_alarm(connection, definition, now)
        elif isinstance(definition, Silence):
            put_silence(connection, definition, now)
        old = None if before is None else before.declared()
        verb, target = "create" if old is None else "update", f"{row.kind}/{row.name}"
        record(connection, verb, target, now, before=old, after=row.declared())

    def _promote(self, name: str, wanted: str, expected: str | None) -> dict[str, Any]:
        root, now = self._context.root, self._context.now()
        with read_connection(self._context.engine) as connection:
            name = store.get_ready(connection, "Baseline", name).name
        version = find_version(root, name, wanted).version
        loaded = load_version(root, name, version)
        require_answerable_followers(self._context, name, loaded)
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            row = store.get_ready(connection, "Baseline", name)
            before, moved = row.made["version"], []
            if before != version:
                if expected is not None:
                    require_in_use(row, expected)
                signature = loaded.signature.to_json()
                moved = move_version(connection, row, version, now, signature=signature)
                for user in store.users_of(connection, "Baseline", name):
                    if user.kind == "Endpoint" and not user.is_unfinished:
                        store.begin_again(connection, user, self._controllers.lease())
        return {"baseline": name, "before": before, "version": version, "monitors": moved}

    def _delete(self, kind: Kind, name: str, known: frozenset[str] | None) -> None:
        now = self._context.now()
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            store.require_edition(connection, kind, name, known)
            row = store.get(connection, kind, name)
            if users := store.users_of(connection, kind, name):
                raise ConflictError(f"{row} is needed by {users[0]}; delete or change that first")
            if kind == "Endpoint":
                require_not_captured_into(connection, row.name)
            elif kind == "Monitor":
                if definition_made_at(connection, row.name) is not None:  # It became ready once.
                    delete_definition(connection, row.name, now)
            elif kind in ALARM_KINDS:
                delete_alarm(connection, row.name, now)
            elif kind == "Channel":
                delete_channel(connection, row.name, now)
            elif kind == "Silence":
                expire_silence(connection, row.name, now)
            store.delete_row(connection, kind, name)
            record(connection, DELETE, f"{kind}/{row.name}", now, before=row.declared())
        if kind == "Model":
            self._reconciler.outdate([row.made.get("file", "")])
        log.info("kind=%s name=%s action=delete", kind, row.name)


def _is_settled(
    connection: Connection, needed: Sequence[tuple[Kind, str]], changing: Set[Key]
) -> bool:
    """Whether all that is needed is ready and stays as it is, and what that needs in its turn."""
    for kind, name in needed:
        if kind == "Monitor":
            continue
        row = store.find(connection, kind, name)
        if row is None or row.phase != "Ready" or (kind, key_of(kind, name)) in changing:
            return False
        if not _is_settled(connection, store.needs(kind, row.spec), changing):
            return False
    return True


def _is_begun_again(connection: Connection, row: Stored) -> bool:
    """Whether what is declared as before is to be brought about once more."""
    if row.phase != "Ready":
        return row.phase == "Failed"
    # A baseline is made anew for a new model, though nothing of its own has changed.
    if row.kind != "Baseline" or not row.spec["model"]:
        return False
    model = store.get(connection, "Model", row.spec["model"])
    return model.is_unfinished or model.made.get("digest") != row.made["model_digest"]


def _hold_alarms(connection: Connection, plan: Plan) -> None:
    """Take the locks of all alarms that change in the order that all who change several keep."""
    entries = [entry for kind in ALARM_KINDS for entry in plan.of_kind(kind)]
    if names := [entry.resource.name for entry in entries if entry.action != "unchanged"]:
        hold_for_change(connection, names)


def _key(resource: Resource) -> Key:
    return resource.kind, resource.key


def _check(resource: Resource) -> None:
    """Let each package check its resources before anything is stored."""
    try:
        definition_of(resource)
    except ResourceError:
        raise
    except InputError as error:
        # The rooms name what they refuse in their own way, or not at all.
        kind = "alarm" if resource.kind in ALARM_KINDS else resource.kind.lower()
        own = f'{kind} "{resource.name}": '
        raise ResourceError(f"{resource}: {str(error).removeprefix(own)}") from error
