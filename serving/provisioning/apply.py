"""Applies and deletes declared resources: all or nothing, the same twice changes nothing.

First everything is checked and compared, then files are made, then one transaction stores all of
it, then the endpoints are brought in line. An error at any step leaves rows and files as they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from driftline.access.audit import DELETE, record
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import delete_alarm, hold_for_change, put_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import delete_channel, put_channel
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import expire_silence, put_silence
from driftline.baseline.scripting import script_in
from driftline.baseline.store import find_version
from driftline.baseline.store import get as load_version
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, InputError, UnavailableError
from driftline.monitors.definitions import (
    MonitorDefinition,
    delete_definition,
    put_definition,
)
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.monitors.rules.fitting import require_fit
from driftline.monitors.rules.reach import scripts_named
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.run.commands import command_in
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.definitions import definition_of, fill_in, require_order
from driftline.serving.provisioning.plan import (
    Key,
    Plan,
    Planned,
    content_of,
    known_targets,
    make_plan,
)
from driftline.serving.provisioning.provisioner import Made, Provisioner, stored_endpoint
from driftline.serving.provisioning.renewal import (
    note_promotion,
    require_answerable_followers,
    require_captured,
    require_in_use,
)
from driftline.serving.provisioning.targets import ASKING_MAX, require_ways
from driftline.serving.provisioning.turns import Turns, within
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import (
    note_deployed,
    require_not_captured_into,
)
from driftline.serving.resources.resources import (
    ALARM_KINDS,
    Resource,
    ResourceError,
    key_of,
    parse_resources,
)
from driftline.serving.resources.specs import (
    KINDS,
    BaselineSpec,
    Kind,
    MonitorSpec,
    baseline_and_pin,
)
from driftline.serving.resources.store import Stored
from driftline.settings.schema import Scheduler

log = logging.getLogger(__name__)

# A gigabyte takes seconds, a bucket that does not answer takes for ever.
_LOOK_S = 120.0
# Changes whose models are loaded and baselines fitted at once: each takes memory, and a thread.
_MAKING_MAX = 4

P = ParamSpec("P")
T = TypeVar("T")


class Applier:
    """Applies and deletes, of each resource one change at a time, and has the pools follow."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler) -> None:
        self._context = context
        self._reconciler = reconciler
        self._turns = Turns()
        self._making = asyncio.Semaphore(_MAKING_MAX)
        self._lock = asyncio.Lock()  # Of storing a change, and of having the pools follow.
        self._asking = asyncio.Semaphore(ASKING_MAX)

    @property
    def busy_s(self) -> float:
        """For how many seconds one change has been under way, while others of the same wait."""
        return self._turns.busy_s

    async def apply(
        self,
        documents: Sequence[object],
        *,
        dry_run: bool,
        known: frozenset[str] | None = None,
    ) -> Plan:
        """Apply declared resources, or return what that would change.

        Returns when the endpoints that changed are in service, or have failed. ``known``: the
        editions that each resource may have before, none if it must be new; None: any.
        """
        resources = await self._read(fill_in, parse_resources(documents))
        for resource in resources:
            _check(resource)
            _check_scripts(resource, self._context.settings.scheduler)
        await require_ways(
            resources,
            commands=self._context.commands,
            allow_networks=self._context.settings.notify.allow_networks,
            turns=self._asking,
            known=await self._read(known_targets, resources),
        )
        # Before it is anybody's turn: a store that does not answer must hold up nobody else.
        found = {_key(one): await self._content(one) for one in resources}
        if dry_run:
            plan = await self._read(make_plan, resources, found)
            await self._read(self._require_runnable, plan)
            return replace(plan, is_dry_run=True)
        async with self._turns.of(_made_of(resources)):
            plan, begun = await self._change(resources, found, known)
        named = {entry.resource.name.casefold() for entry in plan.of_kind("Endpoint")}
        await self._reconciler.settled(begun | named)
        for entry in plan.planned:
            log.info(
                "kind=%s name=%s action=%s", entry.resource.kind, entry.resource.name, entry.action
            )
        return plan

    async def _change(
        self,
        resources: Sequence[Resource],
        found: Mapping[Key, Mapping[str, str]],
        known: frozenset[str] | None,
    ) -> tuple[Plan, Set[str]]:
        """Make and store declared resources; return the plan, and endpoints that start anew."""
        plan = await self._read(make_plan, resources, found)
        provisioner = Provisioner(self._context, self._reconciler.hold)
        is_stored = False
        try:
            is_long = plan.of_kind("Model") or plan.of_kind("Baseline")
            async with self._making if is_long else nullcontext():
                made = {
                    _key(entry.resource): await provisioner.make(
                        entry, found.get(_key(entry.resource), {}).get("source")
                    )
                    for entry in plan.planned
                }
            async with self._lock:
                # On what others stored since; which version was in use, the first one knows.
                fresh = await self._read(make_plan, resources, found)
                pairs = zip(plan.planned, fresh.planned, strict=True)
                plan = Plan([old if old.resource.kind == "Baseline" else new for old, new in pairs])
                with self._reconciler.changing():
                    await asyncio.to_thread(self._store, plan, made, known)
                    is_stored = True
                    self._reconciler.outdate(
                        entry.before.made.get("file", "")
                        for entry in plan.of_kind("Model")
                        if entry.before is not None
                    )
                    return plan, await self._reconciler.refresh(loaded=provisioner.loaded)
        finally:
            if not is_stored:
                await asyncio.to_thread(provisioner.undo)
            await provisioner.close()
            await asyncio.to_thread(self._reconciler.release, provisioner.held)

    async def delete(self, kind: Kind, name: str, known: frozenset[str] | None = None) -> None:
        """Delete a declared resource; what was captured, fitted and executed stays."""
        async with self._turns.of({(kind, key_of(kind, name))}), self._lock:
            with self._reconciler.changing():
                await asyncio.to_thread(self._delete, kind, name, known)
                begun = await self._reconciler.refresh()
        await self._reconciler.settled(begun)

    async def _content(self, resource: Resource) -> Mapping[str, str]:
        """Look at the files that a resource names, for a limited time."""
        context = self._context
        look = partial(
            content_of, resource, context.reach,
            trust_pickle=context.settings.serving.trust_pickle,
            trust_commands=context.settings.serving.trust_commands,
            scripts_dir=context.settings.scheduler.scripts_dir, access=context.access,
        )  # fmt: skip
        try:
            return await within(_LOOK_S, look)
        except TimeoutError as error:
            raise UnavailableError(
                f"{resource}: its files could not be looked at within {_LOOK_S:.0f} s; see that "
                "their disk or bucket answers"
            ) from error

    async def _read(
        self, ask: Callable[Concatenate[Connection, P], T], *given: P.args, **named: P.kwargs
    ) -> T:
        """Ask the stored resources something in a thread, which changes nothing."""

        def read() -> T:
            with read_connection(self._context.engine) as connection:
                return ask(connection, *given, **named)

        return await asyncio.to_thread(read)

    def _store(self, plan: Plan, made: Mapping[Key, Made], known: frozenset[str] | None) -> None:
        """Write everything in one transaction."""
        pins = self._pins(plan)
        self._require_answerable(plan, made, pins)
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            for entry in plan.planned:
                resource = entry.resource
                store.require_edition(connection, resource.kind, resource.name, known)
            for entry in plan.of_kind("Baseline"):
                _require_same_version(connection, entry)
            _hold_alarms(connection, plan)
            for entry in plan.planned:
                resource = entry.resource
                if resource.kind != "Endpoint":
                    self._put(connection, entry, made[_key(resource)], pins)
                else:
                    name, spec = resource.name, entry.spec
                    found = stored_endpoint(connection, name, spec, entry.before)
                    self._put(connection, entry, found, pins)
            for entry in plan.of_kind("Monitor"):
                require_captured(connection, entry)
            self._put_composites(connection, plan)
            self._settle(connection, plan, made)
            if plan.of_kind("Model") or plan.of_kind("Endpoint"):
                note_deployed(connection, self._context.now())
            if any(entry.spec["depends_on"] for entry in plan.of_kind("Monitor")):
                require_order(connection)  # Another server may have changed some since the plan.

    def _require_runnable(self, connection: Connection, plan: Plan) -> None:
        """Refuse monitors as `_store` does, but for those on what is yet to be made."""
        changing = {_key(one.resource) for one in plan.planned if one.action != "unchanged"}
        if any(kind == "Model" for kind, _ in changing):
            return  # Its endpoints may take and answer other columns then.

        def is_ready(entry: Planned) -> bool:
            needed = {
                (kind, key_of(kind, name)) for kind, name in store.needs("Monitor", entry.spec)
            }
            return not any(kind != "Monitor" for kind, _ in needed & changing)

        judged = Plan([entry for entry in plan.of_kind("Monitor") if is_ready(entry)])
        self._require_answerable(judged, {}, self._pins(judged))
        for entry in judged.planned:
            require_captured(connection, entry)

    def _require_answerable(
        self, plan: Plan, made: Mapping[Key, Made], pins: Mapping[str, str]
    ) -> None:
        """Refuse monitors all of whose windows would fail with a question on their baseline."""
        for entry in plan.of_kind("Monitor"):
            kind, rules = kind_named(entry.spec["kind"]), RuleSet.of(entry.spec["rules"])
            named, _ = baseline_and_pin(entry.spec["baseline"])
            name, before = self._stored_baseline(plan, named)
            used = made.get(("Baseline", key_of("Baseline", name)), before)
            version = used.get("version")
            is_judged = entry.action == "unchanged" and version == before.get("version")
            if not (kind.uses_labels or rules) or is_judged:
                continue
            version = pins.get(entry.resource.key, version)
            try:
                baseline = load_version(self._context.root, name, version)
                require_answerable(baseline, kind)
                require_fit(rules, baseline)
            except InputError as error:
                raise ResourceError(f"{entry.resource}: {error}") from error
        declared = {entry.resource.key for entry in plan.of_kind("Monitor")}
        for entry in plan.of_kind("Baseline"):
            version = made[_key(entry.resource)]["version"]
            if entry.before is not None and version != entry.before.made.get("version"):
                require_answerable_followers(self._context, entry.resource.name, version, declared)

    def _pins(self, plan: Plan) -> dict[str, str]:
        """Return the versions that monitors are pinned to, by the key of the monitor."""
        found = {}
        for entry in plan.of_kind("Monitor"):
            name, pin = baseline_and_pin(entry.spec["baseline"])
            if pin is not None:
                spelled, _ = self._stored_baseline(plan, name)
                version = find_version(self._context.root, spelled, pin)
                found[entry.resource.key] = version.version
        return found

    def _stored_baseline(self, plan: Plan, name: str) -> tuple[str, Made]:
        """Return a baseline's name as it is stored, whatever its case, and what was made of it."""
        known = [one.resource.name for one in plan.of_kind("Baseline")]
        with read_connection(self._context.engine) as connection:
            row = store.find(connection, "Baseline", name)
        known += [] if row is None else [row.name]
        spelled = next((one for one in known if one.casefold() == name.casefold()), name)
        return spelled, {} if row is None else row.made

    async def promote(self, name: str, wanted: str, before: str | None = None) -> dict[str, Any]:
        """Have all followers of a baseline use a version of it, be it an older one.

        ``before``: the digest that must be in use until then; None: any. Returns the baseline, the
        digests before and after, and the monitors that were moved.
        """
        async with self._turns.of({("Baseline", key_of("Baseline", name))}), self._lock:
            with self._reconciler.changing():
                found = await asyncio.to_thread(self._promote, name, wanted, before)
                begun = await self._reconciler.refresh()
        await self._reconciler.settled(begun)
        log.info("kind=Baseline name=%s action=promote version=%s", name, found["version"])
        return found

    def _promote(self, name: str, wanted: str, expected: str | None) -> dict[str, Any]:
        root, now = self._context.root, self._context.now()
        with read_connection(self._context.engine) as connection:
            name = store.get(connection, "Baseline", name).name
        version = find_version(root, name, wanted).version
        signature = load_version(root, name, version).signature.to_json()
        require_answerable_followers(self._context, name, version)
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            row = store.get(connection, "Baseline", name)
            before = row.made["version"]
            moved = []
            if before != version:
                if expected is not None:
                    require_in_use(row, expected)
                made = {**row.made, "version": version, "signature": signature}
                store.put_row(connection, replace(row, made=made), now)
                note_promotion(connection, name, before, version, now)
                moved = self._follow(connection, {("Baseline", key_of("Baseline", name))}, set())
        return {"baseline": name, "before": before, "version": version, "monitors": moved}

    def _put_composites(self, connection: Connection, plan: Plan) -> None:
        """Hand all composite alarms on at once: their rules may name each other."""
        definitions = [
            definition
            for entry in plan.of_kind("CompositeAlarm")
            if entry.action != "unchanged"
            and isinstance(definition := definition_of(entry.resource), CompositeDefinition)
        ]
        if definitions:
            url = self._context.dashboard_url
            put_composites(connection, definitions, self._context.now(), dashboard_url=url)

    def _put(
        self, connection: Connection, entry: Planned, made: Made, pins: Mapping[str, str]
    ) -> None:
        """Write one resource's row if anything in it is new, and tell the room that acts on it."""
        resource = entry.resource
        row = Stored(resource.kind, resource.name, resource.owner, resource.tags, entry.spec, made)
        if entry.action != "unchanged" or (entry.before and entry.before.made != made):
            store.put_row(connection, row, self._context.now())
        used = None if entry.before is None else entry.before.made.get("version")
        if resource.kind == "Baseline" and used != made["version"]:
            note_promotion(connection, resource.name, used, made["version"], self._context.now())
        if entry.action != "unchanged":
            self._act(connection, resource, pins)
            before = None if entry.before is None else entry.before.declared()
            verb = "create" if before is None else "update"
            self._record(connection, verb, resource.kind, resource.name, before, row.declared())

    def _record(
        self,
        connection: Connection,
        verb: str,
        kind: Kind,
        name: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Note in the audit log who changes a resource, in the transaction that does."""
        now = self._context.now()
        record(connection, verb, f"{kind}/{name}", now, before=before, after=after)

    def _act(
        self, connection: Connection, resource: Resource, pins: Mapping[str, str] | None = None
    ) -> None:
        """Hand a resource to the room that acts on it; `pins` are versions by monitor."""
        now, definition = self._context.now(), definition_of(resource)
        if isinstance(definition, Channel):
            put_channel(connection, definition, now, vault=self._context.vault)
        elif isinstance(definition, AlarmDefinition):
            put_alarm(connection, definition, now)
        elif isinstance(definition, Silence):
            put_silence(connection, definition, now)
        elif isinstance(definition, MonitorDefinition):
            baseline = store.get(connection, "Baseline", definition.baseline)
            version = baseline.made["version"]
            if definition.baseline_pinned:
                version = (pins or {})[resource.key]
            endpoint = definition.endpoint
            if endpoint:
                endpoint = store.get(connection, "Endpoint", endpoint).name
            put_definition(
                connection,
                replace(
                    definition,
                    endpoint=endpoint,
                    baseline=baseline.name,
                    baseline_version=version,
                ),
                now,
            )

    def _settle(self, connection: Connection, plan: Plan, fresh: Mapping[Key, Made]) -> None:
        """Bring what was not declared now, but needs what was, in line with it."""
        declared = {_key(entry.resource) for entry in plan.planned}
        changed = {
            _key(entry.resource)
            for entry in plan.planned
            if entry.resource.kind in ("Model", "Baseline")
            # A baseline is made anew for a new model, though nothing of its own has changed.
            and (
                entry.before is None
                or entry.action != "unchanged"
                or entry.before.made != fresh[_key(entry.resource)]
            )
        }

        self._follow(connection, changed, declared)

    def _follow(self, connection: Connection, changed: Set[Key], declared: Set[Key]) -> list[str]:
        """Bring in line with what has changed what needs it; return the monitors among that."""
        for row in store.list_kind(connection, "Model"):  # Of containers that have changed.
            parts = {("Model", key_of("Model", one)) for _, one in store.needs("Model", row.spec)}
            if parts & changed:
                changed = changed | {("Model", key_of("Model", row.name))}

        def is_touched(row: Stored) -> bool:
            return any(
                (kind, key_of(kind, name)) in changed
                for kind, name in store.needs(row.kind, row.spec)
            )

        for row in filter(is_touched, store.list_kind(connection, "Endpoint")):
            if ("Endpoint", key_of("Endpoint", row.name)) not in declared:
                made = stored_endpoint(connection, row.name, row.spec, row)
                if made != row.made:
                    store.put_row(connection, replace(row, made=made), self._context.now())
        moved = []
        for row in filter(is_touched, store.list_kind(connection, "Monitor")):
            if baseline_and_pin(row.spec["baseline"])[1] is None:
                spec = MonitorSpec.model_validate(row.spec)
                self._act(connection, Resource("Monitor", row.name, spec, row.owner, row.tags))
                moved.append(row.name)
        return moved

    def _delete(self, kind: Kind, name: str, known: frozenset[str] | None) -> None:
        now = self._context.now()
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            store.require_edition(connection, kind, name, known)
            row = store.get(connection, kind, name)
            for other in KINDS:
                for user in store.list_kind(connection, other):
                    if (kind, key_of(kind, name)) in {
                        (needed, key_of(needed, named))
                        for needed, named in store.needs(other, user.spec)
                    }:
                        raise ConflictError(
                            f'{kind} "{row.name}" is needed by {other} "{user.name}"; '
                            "delete or change that first"
                        )
            if kind == "Endpoint":
                require_not_captured_into(connection, row.name)
            elif kind == "Monitor":
                delete_definition(connection, row.name, now)
            elif kind in ALARM_KINDS:
                delete_alarm(connection, row.name, now)
            elif kind == "Channel":
                delete_channel(connection, row.name, now)
            elif kind == "Silence":
                expire_silence(connection, row.name, now)
            store.delete_row(connection, kind, name)
            self._record(connection, DELETE, kind, row.name, row.declared(), None)
        if kind == "Model":
            self._reconciler.outdate([row.made.get("file", "")])
        log.info("kind=%s name=%s action=delete", kind, row.name)


def _require_same_version(connection: Connection, entry: Planned) -> None:
    """Refuse to take back a version when another has come into use since the plan was made."""
    row = store.find(connection, "Baseline", entry.resource.name)
    now, then = (None if one is None else one.made["version"] for one in (row, entry.before))
    if now != then:
        raise ConflictError(
            f"{entry.resource}: another version came into use while this was applied; apply again"
        )


def _hold_alarms(connection: Connection, plan: Plan) -> None:
    """Take the locks of all alarms that change in the order that all who change several keep."""
    entries = [entry for kind in ALARM_KINDS for entry in plan.of_kind(kind)]
    if names := [entry.resource.name for entry in entries if entry.action != "unchanged"]:
        hold_for_change(connection, names)


def _key(resource: Resource) -> Key:
    return resource.kind, resource.key


def _made_of(resources: Sequence[Resource]) -> set[Key]:
    """Return what is declared, and the models that its baselines are made with."""
    models = (one.spec.model for one in resources if isinstance(one.spec, BaselineSpec))
    used: set[Key] = {("Model", key_of("Model", model)) for model in models if model is not None}
    return {_key(one) for one in resources} | used


def _check(resource: Resource) -> None:
    """Let each package check its resources before anything is made."""
    try:
        definition_of(resource)
    except ResourceError:
        raise
    except InputError as error:
        # The rooms name what they refuse in their own way, or not at all.
        kind = "alarm" if resource.kind in ALARM_KINDS else resource.kind.lower()
        own = f'{kind} "{resource.name}": '
        raise ResourceError(f"{resource}: {str(error).removeprefix(own)}") from error


def _check_scripts(resource: Resource, folders: Scheduler) -> None:
    """Refuse scripts and commands that are not in the installation's folders."""
    named: tuple[str | None, ...] = ()
    if isinstance(resource.spec, MonitorSpec):
        named = (
            resource.spec.preprocess, resource.spec.postprocess,
            *scripts_named(resource.spec.rules or ()),
        )  # fmt: skip
    elif isinstance(resource.spec, BaselineSpec):
        named = (resource.spec.preprocess,)
    try:
        for name in named:
            if name is not None:
                script_in(folders.scripts_dir, name)
        if isinstance(resource.spec, MonitorSpec) and resource.spec.command is not None:
            command_in(folders.commands_dir, resource.spec.command)
    except InputError as error:
        raise ResourceError(f"{resource}: {error}") from error
