"""The plan of an apply: declared resources against stored ones. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Connection

from driftline.errors import ConflictError
from driftline.monitors.kind import OWN_METRICS, kind_named, metric_place
from driftline.monitors.report.datapoints import OWN_NAMES
from driftline.monitors.schedule import Schedule, windows_from
from driftline.serving.provisioning.definitions import channel_of
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import (
    ConfiguredEndpoint,
    ResolvedEndpoint,
    variants_and_shadows,
)
from driftline.serving.resources.model_specs import (
    SERIAL,
    SINGLE_MODEL,
    containers_of,
)
from driftline.serving.resources.resources import Resource, ResourceError, key_of
from driftline.serving.resources.scaling_specs import ScalingPolicySpec
from driftline.serving.resources.spec import Spec
from driftline.serving.resources.specs import (
    SECRET_FIELDS,
    AlarmSpec,
    ChannelSpec,
    Kind,
    MonitorSpec,
)
from driftline.serving.resources.store import Stored
from driftline.serving.scaling.policies import fitted, is_managed
from driftline.validation import nearest

Action = Literal["create", "update", "unchanged"]
Key = tuple[Kind, str]

_MAX_SHOWN = 60
# Any week would do: schedules repeat. It begins on a Monday.
_SOME_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_WINDOWS_COMPARED = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One declared resource, what is stored under its name, and what would change."""

    resource: Resource
    spec: Mapping[str, Any]
    before: Stored | None
    content: Mapping[str, str]
    fields: tuple[str, ...]  # Each change in a line.

    @property
    def key(self) -> Key:
        """The resource's kind and name, as declared."""
        return self.resource.kind, self.resource.name

    @property
    def action(self) -> Action:
        """What applying it does."""
        if self.before is None:
            return "create"
        return "update" if self.fields else "unchanged"

    @property
    def failed_before(self) -> str | None:
        """Why it failed when it was declared before, of what is tried again as it was."""
        before = self.before
        if before is None or before.phase != "Failed" or self.fields:
            return None
        return before.reason


class Wanted:
    """The resources as they would be: those that are declared count in place of those stored."""

    def __init__(self, connection: Connection, resources: Sequence[Resource]) -> None:
        self.connection = connection
        self.declared = {(one.kind, one.key): one for one in resources}

    def find(self, kind: Kind, name: str) -> tuple[str, Mapping[str, Any]] | None:
        """Return a resource's name, as it is spelled, and its spec; None if it does not exist."""
        if (one := self.declared.get((kind, key_of(kind, name)))) is not None:
            return one.name, one.spec.model_dump(mode="json")
        row = store.find(self.connection, kind, name)
        return None if row is None else (row.name, row.spec)

    def get(self, user: Resource, kind: Kind, name: str) -> tuple[str, Mapping[str, Any]]:
        """Return what a resource needs; ResourceError, with the nearest name, if it is missing."""
        if (found := self.find(kind, name)) is not None:
            return found
        names = [one.name for one in self.declared.values() if one.kind == kind]
        names += [row.name for row in store.list_kind(self.connection, kind)]
        near = nearest(name, names) or f"there is no {kind} yet"
        raise ResourceError(
            f'{user}: {kind} "{name}" does not exist; {near}; declare it, too, or name one that '
            "does"
        )


def apply_defaults(connection: Connection, resources: Sequence[Resource]) -> list[Resource]:
    """Fill in what alarms of a monitor leave out, and what the config of an endpoint says."""
    wanted = Wanted(connection, resources)

    def filled(resource: Resource) -> Spec:
        match resource.spec:
            case AlarmSpec(monitor=str() as monitor) as spec:
                return _filled(resource, spec, *wanted.get(resource, "Monitor", monitor))
            case ConfiguredEndpoint() as spec:
                config = wanted.get(resource, "EndpointConfig", spec.config)[1]
                return ResolvedEndpoint.of(spec, config)
            case ScalingPolicySpec() as spec:
                name, endpoint = wanted.get(resource, "Endpoint", spec.endpoint)
                if (named := endpoint.get("config")) is not None:
                    endpoint = {**wanted.get(resource, "EndpointConfig", named)[1], **endpoint}
                return fitted(str(resource), spec, name, endpoint)
        return resource.spec

    return [replace(one, spec=filled(one)) for one in resources]


def make_plan(
    connection: Connection,
    resources: Sequence[Resource],
    contents: Mapping[Key, Mapping[str, str]],
) -> list[Change]:
    """Compare declared resources with stored ones; ``contents``: digests of their files."""
    wanted = Wanted(connection, resources)
    changes = []
    for resource in resources:
        spec, before = _stored_spec(resource), store.find(connection, resource.kind, resource.name)
        if before is not None and before.name != resource.name:
            raise ConflictError(
                f'{resource}: "{before.name}" exists; names differ by more than case'
            )
        if resource.kind == "Alarm" and before is None and is_managed(connection, resource.name):
            raise ConflictError(
                f"{resource}: belongs to a ScalingPolicy; change the target of that instead"
            )
        _check(wanted, resource, spec)
        if before is not None and spec.get("type") == "webhook" and spec["secret"] is None:
            # Without a secret a channel keeps the one it has.
            spec = {**spec, "secret": before.spec.get("secret")}
        content = contents[resource.kind, resource.key]
        fields = () if before is None else _differences(before, resource, spec, content)
        if resource.kind == "EndpointConfig" and before is not None and before.spec != spec:
            raise ConflictError(
                f"{resource}: exists with other fields ({fields[0]}); an EndpointConfig does not "
                "change: declare one under another name, and name that in the Endpoint's config"
            )
        changes.append(Change(resource, spec, before, content, fields))
    return changes


def _check(wanted: Wanted, resource: Resource, spec: Mapping[str, Any]) -> None:
    given = resource.spec
    for kind, name in store.needs(resource.kind, spec):
        wanted.get(resource, kind, name)
    if isinstance(given, MonitorSpec):
        _check_variant(wanted, resource, given)
    elif resource.kind in ("Model", "Endpoint", "EndpointConfig"):
        _check_modes(wanted, str(resource), spec)
    if resource.kind == "Model" and spec["mode"] != SINGLE_MODEL:
        for row in store.list_kind(wanted.connection, "Model", "EndpointConfig", "Endpoint"):
            if (row.kind, key_of(row.kind, row.name)) not in wanted.declared:
                _check_modes(wanted, str(row), row.spec)


def _check_variant(wanted: Wanted, resource: Resource, spec: MonitorSpec) -> None:
    """Refuse a variant that the endpoint served here does not have."""
    endpoint = wanted.get(resource, "Endpoint", spec.endpoint)[1] if spec.endpoint else {}
    variants = [one["variant_name"] for one in variants_and_shadows(endpoint)]
    # An app of somebody else's may answer under any.
    if variants and spec.variant not in (None, *variants):
        raise ResourceError(
            f'{resource}: spec.variant "{spec.variant}"; endpoint "{spec.endpoint}" has '
            f"{', '.join(variants)}"
        )


def _check_modes(wanted: Wanted, user: str, spec: Mapping[str, Any]) -> None:
    """Refuse models that cannot be used in a form; of many, a queued request would name none."""
    used: list[tuple[str, str, tuple[str, ...]]] = [
        (f'container "{host}"', model, (SINGLE_MODEL,))
        for host, model in containers_of(spec).items()
    ]
    for variant in variants_and_shadows(spec):
        if "serverless_config" in variant:
            used.append(("serverless_config", variant["model_name"], (SINGLE_MODEL,)))
        elif spec["async_inference_config"]:
            used.append(("async_inference_config", variant["model_name"], (SINGLE_MODEL, SERIAL)))
    for field, model, modes in used:
        # One that is gone is missed where it is needed.
        name, found = wanted.find("Model", model) or (model, {"mode": modes[0]})
        if found["mode"] not in modes:
            raise ResourceError(
                f'{user}: {field} with Model "{name}" of mode {found["mode"]}; expected one of '
                f"mode {' or '.join(modes)}"
            )


def _filled(
    resource: Resource, spec: AlarmSpec, name: str, monitor: Mapping[str, Any]
) -> AlarmSpec:
    if spec.metrics is not None:
        raise ResourceError(f"{resource}: spec.monitor and spec.metrics; expected one of them")
    metric = spec.metric_name or "violations"
    own = OWN_METRICS if metric in OWN_NAMES else kind_named(monitor["kind"]).namespace
    namespace, place = metric_place(spec.namespace or own, name, monitor["endpoint"])
    filled: AlarmSpec = spec.model_copy(
        update={
            "monitor": name,
            "namespace": namespace,
            "metric_name": metric,
            "dimensions": {**place, **spec.dimensions},
            "period": spec.period or _window_s(resource, monitor),
        }
    )
    return filled


def _window_s(resource: Resource, monitor: Mapping[str, Any]) -> int:
    """Return the length of a monitor's windows in seconds, but where clocks are changed."""
    timetable = Schedule(monitor["schedule"], monitor["time_zone"])
    windows = islice(windows_from(timetable, _SOME_TIME), _WINDOWS_COMPARED)
    lengths = {round(window.length.total_seconds()) for window in windows}
    if len(lengths) != 1:
        raise ResourceError(
            f'{resource}: spec.monitor with schedule "{monitor["schedule"]}", whose windows '
            f"{'differ in length' if lengths else 'have no length'}; expected spec.period, in "
            "seconds"
        )
    return lengths.pop()


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


_CHANGED = {
    "digest": "the model's file holds other bytes",
    "fingerprint": "the reference data have changed",
    "script": "the preprocess script has changed",
}


def _differences(
    before: Stored, resource: Resource, spec: Mapping[str, Any], content: Mapping[str, str]
) -> tuple[str, ...]:
    old = {**_fields(before.spec), "owner": before.owner, "tags": dict(before.tags)}
    new = {**_fields(spec), "owner": resource.owner, "tags": dict(resource.tags)}
    lines = [
        f"{key}: {_shown_change(old.get(key), new.get(key))}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
    files = [one for one in _CHANGED if one in content and before.content.get(one) != content[one]]
    return (*lines, *(_CHANGED[one] for one in files))


def _fields(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {f"spec.{key}": value for key, value in spec.items()}


def _shown_change(old: object, new: object) -> str:
    if any(store.DIGEST in str(value) for value in (old, new)):
        return "changed"
    texts = (json.dumps(one, ensure_ascii=False, sort_keys=True) for one in (old, new))
    return " -> ".join(one if len(one) <= _MAX_SHOWN else f"{one[:_MAX_SHOWN]}…" for one in texts)
