"""From a declared Monitor to the definition that schedulers run, once its baseline is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from driftline.baseline.store import find_version
from driftline.baseline.store import get as load_version
from driftline.capture.windows.window import ROW_IDS
from driftline.database.engine import read_connection
from driftline.monitors.definitions import put_definition
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.monitors.rules.fitting import require_columns, require_fit, require_types
from driftline.monitors.rules.ruleset import RuleSet
from driftline.serving.context import ServerContext
from driftline.serving.provisioning.definitions import monitor_of
from driftline.serving.provisioning.making import Finish, Made, Wanted
from driftline.serving.resources import store
from driftline.serving.resources.resources import Resource
from driftline.serving.resources.specs import Kind, MonitorSpec, baseline_and_pin
from driftline.serving.resources.store import Stored
from driftline.signature import Signature


def make_monitor(context: ServerContext, row: Stored, _is_wanted: Wanted) -> Finish:
    """Find the version of its baseline that a monitor uses, and store what schedulers run."""
    name, _ = baseline_and_pin(row.spec["baseline"])
    with read_connection(context.engine) as connection:
        used = store.get(connection, "Baseline", name)
    version = version_used(context.root, row.spec, used)

    def finish(connection: Connection, now: Stored) -> Made | None:
        baseline = store.get(connection, "Baseline", name)
        if baseline.made["version"] != used.made["version"]:
            return None
        require_captured(connection, now.spec)
        spec = MonitorSpec.model_validate(now.spec)
        found = monitor_of(Resource("Monitor", now.name, spec, now.owner, now.tags), spec)
        endpoint = found.endpoint and store.get(connection, "Endpoint", found.endpoint).name
        found = replace(found, endpoint=endpoint, baseline=baseline.name, baseline_version=version)
        put_definition(connection, found, context.now())
        return now.made

    return finish


def version_used(root: str, spec: Mapping[str, Any], baseline: Stored) -> str:
    """Return the version that a monitor uses; InputError where all its windows would fail by it."""
    kind, rules = kind_named(spec["kind"]), RuleSet.of(spec["rules"])
    version: str = baseline.made["version"]
    if (pin := baseline_and_pin(spec["baseline"])[1]) is not None:
        version = find_version(root, baseline.name, pin).version
    if kind.uses_labels or rules:
        loaded = load_version(root, baseline.name, version)
        require_answerable(loaded, kind)
        require_fit(rules, loaded)
    return version


def require_captured(connection: Connection, spec: Mapping[str, Any]) -> None:
    """Refuse a rule on a column or a type that captured rows do not have.

    What other tables hold is not known before they are read.
    """
    baseline, pin = baseline_and_pin(spec["baseline"])
    if not spec["rules"] or spec["source"] or pin is not None:
        return
    needed: tuple[tuple[Kind, str], ...] = (("Endpoint", spec["endpoint"]), ("Baseline", baseline))
    texts = [store.get(connection, *one).made.get("signature") or "" for one in needed]
    if not all(texts):
        return
    captured, known = (
        {column.name: column.type for column in Signature.from_json(text).columns} for text in texts
    )
    rules = RuleSet.of(spec["rules"])
    require_columns(rules, [*ROW_IDS, *captured, *known])
    require_types(rules, captured)
