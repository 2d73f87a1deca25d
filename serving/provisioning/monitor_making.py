"""From a declared Monitor to the definition that schedulers run, once its baseline is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from driftline.baseline.store import find_version
from driftline.baseline.store import get as load_version
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.monitors.rules.fitting import require_columns, require_fit, require_types
from driftline.monitors.rules.ruleset import RuleSet
from driftline.serving.provisioning.definitions import definition_of
from driftline.serving.resources import store
from driftline.serving.resources.resources import Resource
from driftline.serving.resources.specs import Kind, MonitorSpec, baseline_and_pin
from driftline.serving.resources.store import Stored
from driftline.signature import Signature


@dataclass(frozen=True, slots=True)
class Used:
    """The version of a baseline that a monitor would use, and why its windows would all fail."""

    in_use: str  # The version of those that follow.
    version: str
    problem: InputError | None


def version_used(root: str, spec: Mapping[str, Any], baseline: Stored) -> Used:
    """Find the version that a monitor would use, and look whether it can judge by it."""
    kind, rules = kind_named(spec["kind"]), RuleSet.of(spec["rules"])
    in_use = version = baseline.made["version"]
    try:
        if (pin := baseline_and_pin(spec["baseline"])[1]) is not None:
            version = find_version(root, baseline.name, pin).version
        if kind.uses_labels or rules:
            loaded = load_version(root, baseline.name, version)
            require_answerable(loaded, kind)
            require_fit(rules, loaded)
    except InputError as error:
        return Used(in_use, version, error)
    return Used(in_use, version, None)


def require_captured(connection: Connection, spec: Mapping[str, Any]) -> None:
    """Refuse a rule on a column or a type that captured rows do not have.

    What other tables hold is not known before they are read.
    """
    baseline, pin = baseline_and_pin(spec["baseline"])
    if not spec["rules"] or spec["source"] or pin is not None:
        return
    needed: tuple[tuple[Kind, str], ...] = (
        ("Endpoint", spec["endpoint"]), ("Baseline", baseline)
    )  # fmt: skip
    texts = [store.get(connection, *one).made.get("signature") or "" for one in needed]
    if not all(texts):
        return
    captured, known = (
        {column.name: column.type for column in Signature.from_json(text).columns} for text in texts
    )
    rules = RuleSet.of(spec["rules"])
    require_columns(rules, [*ROW_IDS, *captured, *known])
    require_types(rules, captured)


def put_monitor(
    connection: Connection, row: Stored, baseline: Stored, version: str, now: datetime
) -> None:
    """Store what schedulers run of a declared monitor."""
    spec = MonitorSpec.model_validate(row.spec)
    definition = definition_of(Resource("Monitor", row.name, spec, row.owner, row.tags))
    assert isinstance(definition, MonitorDefinition)
    endpoint = definition.endpoint
    if endpoint:
        endpoint = store.get(connection, "Endpoint", endpoint).name
    named = replace(definition, endpoint=endpoint, baseline=baseline.name, baseline_version=version)
    put_definition(connection, named, now)
