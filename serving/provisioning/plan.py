"""The plan of an apply: declared resources against stored ones. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pyarrow import fs
from sqlalchemy import Connection

from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.baseline.scripting import script_in
from driftline.errors import ConflictError, InputError
from driftline.formats.location import locate
from driftline.monitors.external.source import UNLIMITED, Access, ExternalSource
from driftline.monitors.rules.references import check_tables
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import find_model, require_trusted
from driftline.serving.hosting.multi_model.target_model import (
    checked_target_model,
    require_servable,
)
from driftline.serving.provisioning.containers import check_containers
from driftline.serving.provisioning.definitions import channel_of, require_order
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import absolute, data_fingerprint
from driftline.serving.resources.model_files import model_digest, model_files
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.resources import (
    ALARM_KINDS,
    Resource,
    ResourceError,
    key_of,
)
from driftline.serving.resources.specs import (
    DIRECT,
    MULTI_MODEL,
    SECRET_FIELDS,
    SERIAL,
    SINGLE_MODEL,
    TRANSFORM_VARIANT,
    BaselineSpec,
    CapturedData,
    ChannelSpec,
    CompositeAlarmSpec,
    EndpointConfigSpec,
    FileModel,
    Kind,
    MonitorSpec,
    MultiModel,
    ProgramModel,
    Spec,
    containers_of,
    variants_and_shadows,
)
from driftline.serving.resources.store import Stored
from driftline.storage import is_remote
from driftline.validation import nearest

Action = Literal["create", "update", "unchanged"]
Key = tuple[Kind, str]

_MAX_SHOWN = 60
# Of many models so many tell what most of them take and answer.
_EXAMPLES = 5


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

    @property
    def is_new_content(self) -> bool:
        """Whether the files it names hold other bytes than those that were stored."""
        return self.before is None or any(
            self.before.made.get(key) != value for key, value in self.content.items()
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one apply does, in the order of its doing."""

    planned: Sequence[Planned]
    is_dry_run: bool = False

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
        }


def content_of(
    resource: Resource,
    reach: Reach,
    *,
    trust_pickle: bool,
    trust_commands: bool = False,
    scripts_dir: str = "",
    access: Access = UNLIMITED,
) -> Mapping[str, str]:
    """Look at the files that a resource names and return their digests; empty where it has none."""
    found: dict[str, str] = {}
    try:
        if isinstance(resource.spec, MultiModel):
            found = _examples(resource.spec, reach, trust_pickle=trust_pickle)
        elif isinstance(resource.spec, FileModel | ProgramModel):
            if isinstance(resource.spec, ProgramModel):
                file = _command_model(resource.spec, reach, is_trusted=trust_commands)
            else:
                file = _model_file(resource.spec, reach, trust_pickle=trust_pickle)
            found = {"digest": model_digest(file), "source": str(file)}
        elif isinstance(resource.spec, BaselineSpec):
            found = {"fingerprint": _fingerprint(resource.spec, reach)}
            if resource.spec.preprocess is not None:
                script = script_in(scripts_dir, resource.spec.preprocess).read_bytes()
                found["script"] = hashlib.blake2b(script, digest_size=16).hexdigest()
        else:
            _check_reach(resource.spec, reach, access)
    except InputError as error:
        raise ResourceError(f"{resource}: {error}") from error
    # Paths come from documents: too long, with NUL or half a character, in a closed folder.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ResourceError(f"{resource}: its path cannot be looked at ({reason})") from error
    return found


def _check_reach(spec: Spec, reach: Reach, access: Access) -> None:
    """Refuse what a monitor may not read, and where an endpoint may not write."""
    if isinstance(spec, MonitorSpec):
        if spec.source is not None:
            access.check_source(ExternalSource.of(spec.source))
        check_tables(spec.rules or (), access.check)
    elif isinstance(spec, EndpointConfigSpec) and spec.async_inference_config:
        output = spec.async_inference_config.output_config
        for where in filter(None, (output.s3_output_path, output.s3_failure_path)):
            reach.check_output(where)


def _fingerprint(spec: BaselineSpec, reach: Reach) -> str:
    """Return a digest of the data; of rows that were captured, of whose and when."""
    if isinstance(spec.data, CapturedData):
        return hashlib.blake2b(spec.data.model_dump_json().encode(), digest_size=16).hexdigest()
    return data_fingerprint(spec.data, reach)


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
        content = {key: value for key, value in content.items() if key != "source"}
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


def _examples(spec: MultiModel, reach: Reach, *, trust_pickle: bool) -> dict[str, str]:
    """Return a digest of a prefix, and some models below it that could be served, by lines.

    The digest does not tell which these are: models come and go, and all have to answer alike.
    """
    prefix = spec.model_data_prefix
    reach.check_data(prefix)
    place = locate(prefix)
    if not is_remote(prefix) and place.kind != fs.FileType.Directory:
        raise InputError(f"model_data_prefix {prefix}: no such folder")
    infos = place.listing(recursive=True, allow_not_found=True)
    names = sorted(info.path[len(place.path) :].lstrip("/") for info in infos if info.is_file)
    if place.is_local:  # Links are not followed when a model is asked for, either.
        root = Path(place.path).resolve()
        names = [name for name in names if (root / name).resolve() == root / name]
    trusted = trust_pickle and spec.trust_pickle is not False
    servable = [name for name in names if _is_servable(name, trust_pickle=trusted)]
    # Of all folders below it: those of one may be unlike the rest.
    count = min(_EXAMPLES, len(servable))
    examples = "\n".join(servable[at * len(servable) // count] for at in range(count))
    digest = hashlib.blake2b(f"{prefix} {bool(examples)}".encode(), digest_size=16).hexdigest()
    return {"digest": digest, "source": examples}


def _is_servable(name: str, *, trust_pickle: bool) -> bool:
    try:
        require_servable(checked_target_model(name), trust_pickle=trust_pickle)
    except InputError:
        return False
    return True


def _command_model(spec: ProgramModel, reach: Reach, *, is_trusted: bool) -> Path:
    """Return what a command answers from: any file or folder."""
    if not is_trusted:
        raise ModelError(
            "command: this installation runs none; allow it by [serving] trust_commands = true, "
            "which lets whoever may apply resources run any program here"
        )
    path = absolute(spec.path, "path")
    reach.check(path)
    for file in model_files(path).values():
        reach.check(file)
    return path


def _model_file(spec: FileModel, reach: Reach, *, trust_pickle: bool) -> Path:
    path = absolute(spec.path, "path")
    reach.check(path)
    model = find_model(path)
    for file in model_files(model.path).values():
        reach.check(file)
    if model.format.runs_code and spec.trust_pickle is False:
        raise ModelError(f"{model.path.name} is {model.format.noun} and trust_pickle is false")
    require_trusted(model, trust_pickle=trust_pickle)
    return model.path


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
    lines = [
        line
        for key, value in spec.items()
        for line in _lines(f"spec.{key}", before.spec.get(key), value)
    ]
    lines += _lines("owner", before.owner, resource.owner)
    lines += _lines("tags", dict(before.tags), dict(resource.tags))
    changed = {
        "digest": "the model's file holds other bytes",
        "fingerprint": "the reference data have changed" + _candidate(resource.name, spec),
        "script": "the preprocess script has changed",
    }
    lines += [changed[key] for key, value in content.items() if before.made.get(key) != value]
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
