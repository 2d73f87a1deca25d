"""What an apply would change: declared resources against stored ones. Changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection

from driftline.baseline.scripting import script_in
from driftline.errors import ConflictError, InputError
from driftline.serving import resource_store as store
from driftline.serving.artefacts import absolute, data_fingerprint, model_digest
from driftline.serving.model_files import ModelError, is_pickle, model_file
from driftline.serving.resource_store import Stored
from driftline.serving.resources import (
    BaselineSpec,
    Kind,
    ModelSpec,
    Resource,
    ResourceError,
    key_of,
    nearest,
)

__all__ = ["Action", "Plan", "Planned", "contents", "make_plan"]

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
    statuses: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> list[Planned]:
        """Give the planned resources of a kind."""
        return [entry for entry in self.planned if entry.resource.kind == kind]

    def as_dict(self) -> dict[str, object]:
        """Give the plan as plain JSON values: one change for each resource."""
        found: dict[str, object] = {
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
        if self.statuses:
            found["endpoints"] = dict(self.statuses)
        return found


def contents(
    resources: Sequence[Resource], *, trust_pickle: bool, scripts_dir: str = ""
) -> dict[Key, Mapping[str, str]]:
    """Look at the files that resources name and give their digests.

    Parameters
    ----------
    trust_pickle
        Whether the server's settings allow pickles.
    scripts_dir
        Folder of the record scripts that Baselines may name.

    Raises
    ------
    InputError
        When a file is not there, of no known format, or a pickle that is not trusted.
    """
    found: dict[Key, Mapping[str, str]] = {}
    for resource in resources:
        key = (resource.kind, resource.key)
        try:
            if isinstance(resource.spec, ModelSpec):
                file = _model_file(resource.spec, trust_pickle=trust_pickle)
                found[key] = {"digest": model_digest(file), "source": str(file)}
            elif isinstance(resource.spec, BaselineSpec):
                found[key] = {"fingerprint": data_fingerprint(resource.spec.data)}
                if resource.spec.preprocess is not None:
                    script = script_in(scripts_dir, resource.spec.preprocess).read_bytes()
                    digest = hashlib.blake2b(script, digest_size=16).hexdigest()
                    found[key] = {**found[key], "script": digest}
        except InputError as error:
            raise ResourceError(f"{resource}: {error}") from error
        # Paths come from documents: too long, with NUL or half a character, in a closed folder.
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ResourceError(f"{resource}: its path cannot be looked at ({reason})") from error
    return found


def make_plan(
    connection: Connection,
    resources: Sequence[Resource],
    found: Mapping[Key, Mapping[str, str]],
) -> Plan:
    """Compare declared resources with stored ones.

    Raises
    ------
    ResourceError
        When a resource needs one that is neither declared nor stored.
    ConflictError
        When another resource has the same name but for case.
    """
    declared = {(resource.kind, resource.key) for resource in resources}
    planned = []
    for resource in resources:
        spec = _stored_spec(resource)
        for kind, name in store.needs(resource.kind, spec):
            is_known = (kind, key_of(kind, name)) in declared
            if not is_known and store.find(connection, kind, name) is None:
                names = [one.name for one in resources if one.kind == kind]
                names += [row.name for row in store.list_kind(connection, kind)]
                near = nearest(name, names) or f"there is no {kind} yet"
                raise ResourceError(
                    f'{resource}: {kind} "{name}" does not exist; {near}; declare it, too, or '
                    "name one that does"
                )
        before = store.find(connection, resource.kind, resource.name)
        if before is not None and before.name != resource.name:
            raise ConflictError(
                f'{resource}: "{before.name}" exists; names differ by more than case'
            )
        content = found.get((resource.kind, resource.key), {})
        content = {key: value for key, value in content.items() if key != "source"}
        if before is not None and spec.get("secret") is None and "secret" in before.spec:
            # Without a secret a channel keeps the one it has.
            spec = {**spec, "secret": before.spec["secret"]}
        fields = () if before is None else _differences(before, resource, spec, content)
        planned.append(Planned(resource, spec, before, content, fields))
    return Plan(planned)


def _model_file(spec: ModelSpec, *, trust_pickle: bool) -> Path:
    file = model_file(absolute(spec.path, "path"))
    if is_pickle(file):
        if spec.trust_pickle is False:
            raise ModelError(f"{file.name} is a pickle and trust_pickle is false")
        if not trust_pickle:
            raise ModelError(
                f"{file.name} is a pickle, which can run any code when it is read; save the model "
                "with skops, or allow pickles by [serving] trust_pickle = true"
            )
    return file


def _stored_spec(resource: Resource) -> dict[str, Any]:
    """Give a spec as plain JSON values; of a secret only a digest, to see that it changes."""
    spec = resource.spec.model_dump(mode="json")
    if spec.get("secret") is not None:
        digest = hashlib.blake2b(spec["secret"].encode(), digest_size=16).hexdigest()
        spec["secret"] = f"blake2b:{digest}"
    return spec


def _differences(
    before: Stored, resource: Resource, spec: Mapping[str, Any], content: Mapping[str, str]
) -> tuple[str, ...]:
    """Say in one line each what changes."""
    # What was stored by an older version lacks what it did not know.
    known = {name: one.get_default() for name, one in type(resource.spec).model_fields.items()}
    known |= before.spec
    lines = [
        _line(f"spec.{key}", known.get(key), value)
        for key, value in spec.items()
        if known.get(key) != value
    ]
    for key, old, new in (
        ("owner", before.owner, resource.owner),
        ("tags", dict(before.tags), dict(resource.tags)),
    ):
        if old != new:
            lines.append(_line(key, old, new))
    changed = {
        "digest": "the model's file holds other bytes",
        "fingerprint": "the reference data have changed",
        "script": "the preprocess script has changed",
    }
    lines += [changed[key] for key, value in content.items() if before.made.get(key) != value]
    return tuple(lines)


def _line(field_name: str, old: object, new: object) -> str:
    if field_name == "spec.secret":
        return "spec.secret: changed"
    return f"{field_name}: {_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
