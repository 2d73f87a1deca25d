"""The fleets of endpoints: which variants are to run, of one generation or of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from driftline.errors import InputError
from driftline.serving.resources import store
from driftline.serving.resources.deployment_specs import DeploymentConfig, Plan
from driftline.serving.resources.deployments import Deployment, active_deployment
from driftline.serving.resources.endpoints import DesiredVariant, Fleet, list_desired

# What RetainAllVariantProperties keeps of a variant: AWS's word, our field, and what is in force.
_RETAINED = (
    ("DesiredWeight", "initial_variant_weight", "weight"),
    ("DesiredInstanceCount", "initial_instance_count", "instance_count"),
)


def list_fleets(rows: Sequence[store.Stored]) -> dict[str, list[DesiredVariant]]:
    """Return what is to be served, new fleets too, by endpoint that runs, ignoring case."""
    return {
        row.name.casefold(): list_desired(row) if at is None else _of_two_fleets(row, at)
        for row in rows
        for at in (active_deployment(row),)
    }


def _of_two_fleets(row: store.Stored, at: Deployment) -> list[DesiredVariant]:
    label = row.running.get("config") or f"generation-{at.old_generation}"
    new_label = at.made["spec"].get("config") or f"generation-{at.generation}"
    # Of a new version of a model, both have one name: it is the new fleet's.
    label = "" if label == new_label else label
    old = Fleet(row.made.get("fleet", 0), 1 - at.share, label=label)
    new = Fleet(at.fleet, at.share, is_new=True, label=new_label)
    old_part, new_part = at.parts
    new_variants = list_desired(replace(row, made=at.made)) if new_part else []
    return [
        *(_part(one, old, old_part) for one in list_desired(row)),
        # A shadow begins when there is one fleet again.
        *(_part(one, new, new_part) for one in new_variants if not one.is_shadow),
    ]


def _part(variant: DesiredVariant, fleet: Fleet, part: float) -> DesiredVariant:
    """Return a variant of a fleet of which a part of the workers runs; the last one always does."""
    count = variant.instance_count
    if count is not None and not variant.is_shadow:
        count = max(1, math.ceil(round(count * part, 6)))
    return replace(variant, fleet=fleet, instance_count=count)


def plan_of(row: store.Stored) -> Plan:
    """Return how an endpoint is deployed; InputError where that does not fit its workers."""
    config, variants = row.running["deployment_config"], list_desired(row)
    workers = sum(one.instance_count or 1 for one in variants if not one.is_shadow)
    try:
        return DeploymentConfig.model_validate(config).plan(workers)
    except ValueError as error:
        raise InputError(f"deployment_config: {error}") from error


def retained(row: store.Stored) -> dict[str, Any]:
    """Return the spec of an endpoint, with what RetainAllVariantProperties keeps of what runs."""
    spec = dict(row.spec)
    if not row.made or not spec.get("retain_all_variant_properties"):
        return spec
    excluded, running = set(spec["exclude_retained_variant_properties"]), row.running
    current = {one.key[1]: one for one in list_desired(row)}
    if "DataCaptureConfig" not in excluded and "sampling_percentage" in running:
        spec["sampling_percentage"] = running["sampling_percentage"]
    variants, may_rest = [], spec.get("async_inference_config") is not None
    for variant in spec["production_variants"]:
        old, kept = current.get(variant["variant_name"].casefold()), {}
        for word, field, name in _RETAINED:
            if old is not None and word not in excluded and field in variant:  # Of counts, not all.
                kept[field] = getattr(old, name)
        # Provisioned concurrency is no such count, and only asynchronous variants may rest at 0.
        if old is not None and (old.serverless or (old.instance_count == 0 and not may_rest)):
            kept.pop("initial_instance_count", None)
        variants.append({**variant, **kept})
    return {**spec, "production_variants": variants}
