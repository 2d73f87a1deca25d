"""The plan of an apply: declared resources against stored ones. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection

from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.errors import ConflictError, InputError
from driftline.serving.hosting.multi_model.target_model import (
    checked_target_model,
)
from driftline.serving.provisioning.containers import check_containers
from driftline.serving.provisioning.definitions import channel_of, require_order
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import EndpointConfigSpec, variants_and_shadows
from driftline.serving.resources.model_specs import (
    DIRECT,
    MULTI_MODEL,
    SERIAL,
    SINGLE_MODEL,
    TRANSFORM_VARIANT,
    containers_of,
)
from driftline.serving.resources.resources import (
    ALARM_KINDS,
    Resource,
    ResourceError,
    key_of,
)
from driftline.serving.resources.specs import (
    KINDS,
    SECRET_FIELDS,
    BaselineSpec,
    ChannelSpec,
    CompositeAlarmSpec,
    Kind,
    MonitorSpec,
)
from driftline.serving.resources.store import Stored
from driftline.validation import nearest

Action = Literal["create", "update", "unchanged"]
Key = tuple[Kind, str]

_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Planned:
    """One declared resource, what is stored under its name, and what would change."""

    resource: Resource
    spec: Mapping[str, Any]
    before: Stored | None
    content: Mapping[str, str]
    fields: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        """What applying it does."""
        if self.before is None:
            return "create"
        return "update" if self.fields else "unchanged"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one apply does, in the order of its doing."""

    planned: Sequence[Planned]
    is_dry_run: bool = False
    # What becomes ready, or fails, after it was stored.
    pending: Sequence[Stored] = ()

    def of_kind(self, kind: Kind) -> list[Planned]:
        """Return the planned resources of a kind."""
        return [entry for entry in self.planned if entry.resource.kind == kind]

    def as_dict(self) -> dict[str, object]:
        """Return the plan as plain JSON values: one change for each resource."""
        return {
            "dry_run": self.is_dry_run,
            "changes": [
                {
                    "action": entry.action,
                    "kind": entry.resource.kind,
                    "name": entry.resource.name,
                    "fields": list(entry.fields),
                }
                for entry in self.planned
            ],
            "pending": [
                {"kind": row.kind, "name": row.name, "generation": row.generation}
                for row in self.pending
            ],
        }


def make_plan(
    connection: Connection,
    resources: Sequence[Resource],
    found: Mapping[Key, Mapping[str, str]],
) -> Plan:
    """Compare declared resources with stored ones."""
    declared = {(resource.kind, resource.key) for resource in resources}
    planned = []
    for resource in resources:
        spec = _stored_spec(resource)
        needed = store.needs(resource.kind, spec)
        if isinstance(resource.spec, BaselineSpec) and resource.spec.rolling is not None:
            # It must be there, though it may be deleted before the baseline, which it may need.
            needed.append(("Endpoint", resource.spec.rolling.endpoint))
        for kind, name in needed:
            is_known = (kind, key_of(kind, name)) in declared
            if not is_known and store.find(connection, kind, name) is None:
                names = [one.name for one in resources if one.kind == kind]
                names += [row.name for row in store.list_kind(connection, kind)]
                near = nearest(name, names) or f"there is no {kind} yet"
                if kind == "Channel" and name.startswith("arn:"):
                    near = "actions are names of Channels here, no ARNs"
                raise ResourceError(
                    f'{resource}: {kind} "{name}" does not exist; {near}; declare it, too, or '
                    "name one that does"
                )
        before = store.find(connection, resource.kind, resource.name)
        if before is not None and before.name != resource.name:
            raise ConflictError(
                f'{resource}: "{before.name}" exists; names differ by more than case'
            )
        _check(connection, resource, spec, resources, declared)
        content = found.get((resource.kind, resource.key), {})
        is_signed = resource.kind == "Channel" and spec["type"] == "webhook"
        if before is not None and is_signed and spec["secret"] is None:
            # Without a secret a channel keeps the one it has.
            spec = {**spec, "secret": before.spec.get("secret")}
        fields = () if before is None else _differences(before, resource, spec, content)
        if resource.kind == "EndpointConfig" and before is not None and before.spec != spec:
            raise ConflictError(
                f"{resource}: exists with other fields ({fields[0]}); an EndpointConfig does not "
                "change: declare one under another name, and name that in the Endpoint's config"
            )
        planned.append(Planned(resource, spec, before, content, fields))
    if any(isinstance(one.spec, MonitorSpec) and one.spec.depends_on for one in resources):
        require_order(connection, resources)
    return Plan(planned)


def pending_of(connection: Connection, plan: Plan) -> list[Stored]:
    """Return what waits for a controller after an apply, in the order in which it ends.

    Of what is declared, and of what follows it; all endpoints that are declared, whose workers may
    be starting.
    """
    found: dict[Key, Stored] = {}
    for entry in plan.planned:
        kind, name = entry.resource.kind, entry.resource.name
        row = store.get(connection, kind, name)
        if row.is_unfinished or kind == "Endpoint":
            users = store.users_of(connection, kind, name) if row.is_unfinished else []
            found |= {(one.kind, key_of(one.kind, one.name)): one for one in (row, *users)}
    followers = [one for one in found.values() if one.kind in store.CONTROLLED]
    return sorted(followers, key=lambda one: KINDS.index(one.kind))


def _check(
    connection: Connection,
    resource: Resource,
    spec: Mapping[str, Any],
    resources: Sequence[Resource],
    declared: Set[Key],
) -> None:
    """Refuse what does not fit other resources, declared or stored."""
    given = resource.spec
    if resource.kind in ALARM_KINDS:
        _check_alarm(connection, resource, declared)
    if resource.kind == "Model":
        read = partial(_spec_of, connection, "Model", declared=resources)
        check_containers(connection, resource, spec, read)
    if isinstance(given, MonitorSpec) and given.variant is not None:
        _check_variant(connection, resource, given, resources)
    if isinstance(given, MonitorSpec) and given.target_model is not None:
        _check_target_model(connection, resource, given, resources)
    if isinstance(given, EndpointConfigSpec):
        _check_modes(connection, resource, spec, resources)


def known_targets(connection: Connection, resources: Sequence[Resource]) -> frozenset[str]:
    """Return the keys of declared channels that are stored with the same type and URL."""
    found = set()
    for resource in resources:
        if isinstance(resource.spec, ChannelSpec):
            before = store.find(connection, resource.kind, resource.name)
            spec = _stored_spec(resource)
            if before is not None and all(
                before.spec.get(key) == spec[key] for key in ("type", "url")
            ):
                found.add(resource.key)
    return frozenset(found)


def _check_variant(
    connection: Connection, resource: Resource, spec: MonitorSpec, declared: Sequence[Resource]
) -> None:
    """Refuse a variant that the endpoint served here does not have."""
    endpoint = _spec_of(connection, "Endpoint", str(spec.endpoint), declared)
    names = [variant["variant_name"] for variant in variants_and_shadows(endpoint)]
    # An app of somebody else's may answer under any.
    if names and spec.variant not in (*names, TRANSFORM_VARIANT):
        raise ResourceError(
            f'{resource}: spec.variant "{spec.variant}"; endpoint "{spec.endpoint}" has '
            f"{', '.join(names)}"
        )


def _check_target_model(
    connection: Connection, resource: Resource, spec: MonitorSpec, declared: Sequence[Resource]
) -> None:
    """Refuse what names no model, or is of an endpoint that does not serve many."""
    name = str(spec.target_model)
    try:
        checked_target_model(name)
    except InputError as error:
        raise ResourceError(f"{resource}: spec.target_model: {error}") from error
    endpoint = _spec_of(connection, "Endpoint", str(spec.endpoint), declared)
    variants = variants_and_shadows(endpoint)
    models = [
        _spec_of(connection, "Model", variant["model_name"], declared)
        for variant in variants
        if spec.variant in (None, variant["variant_name"])
    ]
    hostnames = [one for model in models if model["mode"] == DIRECT for one in containers_of(model)]
    is_many = any(model["mode"] == MULTI_MODEL for model in models)
    if variants and not is_many and name not in hostnames:
        listed = (
            f"the containers {', '.join(hostnames)}"
            if hostnames
            else ("no Model of mode MultiModel or Direct")
        )
        raise ResourceError(
            f'{resource}: spec.target_model "{name[:80]}"; endpoint "{spec.endpoint}" has {listed}'
        )


def _check_modes(
    connection: Connection,
    resource: Resource,
    spec: Mapping[str, Any],
    declared: Sequence[Resource],
) -> None:
    """Refuse models that cannot be served in an endpoint's form.

    With many models, queued requests would not say which one they are for, and serverless workers
    would hold none for long.
    """
    is_queued = bool(spec["async_inference_config"])
    for variant in variants_and_shadows(spec):
        is_serverless = "serverless_config" in variant
        if not is_queued and not is_serverless:
            continue
        name = variant["model_name"]
        mode = _spec_of(connection, "Model", name, declared)["mode"]
        field, modes = "async_inference_config", [SINGLE_MODEL, SERIAL]
        if is_serverless:
            field, modes = "serverless_config", [SINGLE_MODEL]
        if mode not in modes:
            raise ResourceError(
                f'{resource}: spec.{field} with Model "{name}" of mode {mode}; '
                f"expected a Model of mode {' or '.join(modes)}, or no {field}"
            )


def _spec_of(
    connection: Connection, kind: Kind, name: str, declared: Sequence[Resource]
) -> Mapping[str, Any]:
    """Return the spec of a resource that is declared now, or was before."""
    key = key_of(kind, name)
    for one in declared:
        if (one.kind, one.key) == (kind, key):
            found: Mapping[str, Any] = one.spec.model_dump(mode="json")
            return found
    return store.get(connection, kind, name).spec


def _check_alarm(connection: Connection, resource: Resource, declared: Set[Key]) -> None:
    """Refuse names that an alarm of the other kind has, and rules on alarms that do not exist."""

    def is_known(kind: Kind, name: str) -> bool:
        return (kind, name) in declared or store.find(connection, kind, name) is not None

    for kind in ALARM_KINDS:
        if kind != resource.kind and is_known(kind, resource.name):
            raise ConflictError(
                f"{resource}: {_article(kind)} has this name; names of alarms are unique over all "
                "kinds"
            )
    if isinstance(resource.spec, CompositeAlarmSpec):

        def is_alarm(name: str) -> bool:
            return any(is_known(kind, name) for kind in ALARM_KINDS)

        names = Rule.parse(resource.spec.alarm_rule).names
        if missing := [one for one in names if not is_alarm(one)]:
            # CloudWatch's own sentence, then what mends it.
            raise ResourceError(
                f"{resource}: Could not save the composite alarm as alarms [{', '.join(missing)}] "
                "in the alarm rule do not exist; declare them, too, or name others"
            )
        suppressor = resource.spec.actions_suppressor
        if suppressor is not None and not is_alarm(alarm_name(suppressor)):
            raise ResourceError(
                f'{resource}: actions_suppressor "{suppressor[:_MAX_SHOWN]}" does not exist; '
                "expected the name or ARN of an alarm"
            )


def _article(kind: Kind) -> str:
    return "a composite alarm" if kind == "CompositeAlarm" else "a metric alarm"


def _stored_spec(resource: Resource) -> dict[str, Any]:
    """Return a spec as plain JSON values; of a secret only a digest, to see that it changes."""
    spec = resource.spec.model_dump(mode="json")
    if isinstance(resource.spec, ChannelSpec):
        channel = channel_of(resource.name, resource.spec)
        for key in SECRET_FIELDS:
            if spec[key] is not None:
                spec[key] = _digest(spec[key])
        if channel.shown_url != channel.url:
            spec["url"] = f"{channel.shown_url} {_digest(channel.url)}"
    return spec


def _digest(secret: str) -> str:
    return f"{store.DIGEST}{hashlib.blake2b(secret.encode(), digest_size=16).hexdigest()}"


def _differences(
    before: Stored, resource: Resource, spec: Mapping[str, Any], content: Mapping[str, str]
) -> tuple[str, ...]:
    """Return one line for each change."""
    lines = [*_lines("spec", before.spec, spec)]
    lines += _lines("owner", before.owner, resource.owner)
    lines += _lines("tags", dict(before.tags), dict(resource.tags))
    changed = {
        "digest": "the model's file holds other bytes",
        "fingerprint": "the reference data have changed" + _candidate(resource.name, spec),
        "script": "the preprocess script has changed",
    }
    lines += [
        said
        for key, said in changed.items()
        if key in content and before.content.get(key) != content[key]
    ]
    return tuple(lines)


def _candidate(name: str, spec: Mapping[str, Any]) -> str:
    """Return what becomes of changed data that nobody uses before they are promoted."""
    if spec.get("promote") != "manual":
        return ""
    return f" and make a candidate, which driftline baseline show {name} lists, to be promoted"


def _lines(place: str, old: object, new: object) -> Iterator[str]:
    """Yield a line for each value that differs, however deep it lies."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _lines(f"{place}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _lines(f"{place}[{index}]", one, other)
    else:
        yield _line(place, old, new)


def _line(field_name: str, old: object, new: object) -> str:
    if any(store.DIGEST in str(value) for value in (old, new)):
        return f"{field_name}: changed"
    return f"{field_name}: {_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
