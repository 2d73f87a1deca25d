"""Weights and workers of an endpoint's variants, changed without applying it again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from driftline.access.audit import record
from driftline.errors import ConflictError, InputError
from driftline.serving.operations.registry import Items, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import InstanceCount, variants_of
from driftline.serving.resources.variant_overrides import override, overrides_of

_REASON = "set by hand"


class VariantChange(BaseModel):
    """What a variant is to have; what is left out stays.

    Of a serverless variant the count is its provisioned concurrency.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant_name: str
    desired_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    desired_instance_count: InstanceCount | None = None


@dataclass(frozen=True)
class ChangedVariant:
    """What was set of a variant since its endpoint was applied."""

    variant_name: str
    desired_weight: float | None
    desired_instance_count: int | None


@operation("POST /endpoints/{name}/variants", role="admin", of="name", notes_itself=True)
async def change_variants(
    services: Services,
    name: Annotated[str, "The endpoint's name."],
    variants: Annotated[
        list[VariantChange], Field(min_length=1, max_length=10, description="What to change.")
    ],
) -> Items[ChangedVariant]:
    """Change weights and worker counts of variants, all at once, until the endpoint changes.

    As UpdateEndpointWeightsAndCapacities does. They hold until another generation of the endpoint
    is ready, and may be changed by scaling policies.
    """
    changed = await asyncio.to_thread(_change, services, name, variants)
    await services.reconciler.refresh()
    return Items(changed)


def _change(services: Services, name: str, changes: list[VariantChange]) -> list[ChangedVariant]:
    now = services.context.now()
    with services.context.engine.begin() as connection:
        store.hold_all(connection)
        endpoint = store.get_ready(connection, "Endpoint", name)
        if endpoint.is_unfinished:
            raise ConflictError(f"{endpoint} is being changed; wait until it is ready")
        variants = {one["variant_name"]: one for one in variants_of(endpoint.running)}
        _check(endpoint, variants, changes)
        before = _changed(endpoint, variants)
        for one in changes:
            override(
                connection, name, one.variant_name, reason=_REASON,
                weight=one.desired_weight, instance_count=one.desired_instance_count,
            )  # fmt: skip
        store.write(connection, endpoint, updated_at=now)
        after = _changed(store.get(connection, "Endpoint", name), variants)
        record(
            connection, "update", f"Endpoint/{endpoint.name}", now,
            before={"variants": [asdict(one) for one in before]},
            after={"variants": [asdict(one) for one in after]},
        )  # fmt: skip
    return after


def _check(
    endpoint: store.Stored, variants: Mapping[str, Mapping[str, Any]], changes: list[VariantChange]
) -> None:
    names = [one.variant_name for one in changes]
    if unknown := [one for one in names if one not in variants]:
        quoted = ", ".join(f'"{one[:63]}"' for one in unknown)
        there = ", ".join(variants) or "none"
        raise InputError(f"{endpoint} has no variant {quoted}; it has {there}")
    if len({*names}) < len(names):
        raise InputError(f"{endpoint}: a variant_name stands twice; expected each once")
    for one in changes:
        serverless = variants[one.variant_name].get("serverless_config")
        if serverless and (one.desired_instance_count or 0) > serverless["max_concurrency"]:
            raise InputError(
                f'{endpoint}: variant "{one.variant_name}" has a max_concurrency of '
                f"{serverless['max_concurrency']}; expected a desired_instance_count of at most it"
            )


def _changed(endpoint: store.Stored, names: Iterable[str]) -> list[ChangedVariant]:
    changes = {name: overrides_of(endpoint).get(name.casefold(), {}) for name in names}
    return [
        ChangedVariant(name, one.get("weight"), one.get("instance_count"))
        for name, one in changes.items()
    ]
