"""Models of several containers: what each may be, and whether memory holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from driftline.serving.hosting.usage import machine_memory_bytes
from driftline.serving.resources import store
from driftline.serving.resources.model_specs import SERIAL, SINGLE_MODEL, containers_of
from driftline.serving.resources.resources import Resource, ResourceError, key_of

Made = Mapping[str, Any]


def check_containers(
    connection: Connection,
    resource: Resource,
    spec: Mapping[str, Any],
    spec_of: Callable[[str], Mapping[str, Any]],
) -> None:
    """Refuse containers that are no single model each, or that exceed memory together."""
    if spec["mode"] != SINGLE_MODEL:
        _require_no_container(connection, resource, spec)
    limits: dict[str, int] = {}
    for hostname, name in containers_of(spec).items():
        one = spec_of(name)
        if (mode := one["mode"]) != SINGLE_MODEL:
            raise ResourceError(
                f'{resource}: container "{hostname}" is Model "{name}" of mode {mode}; expected '
                f"one of mode {SINGLE_MODEL}"
            )
        if one["memory_size_in_mb"] is not None:
            limits[hostname] = one["memory_size_in_mb"]
    most, whose = spec["memory_size_in_mb"], "memory_size_in_mb is"
    if most is None:
        most, whose = machine_memory_bytes() >> 20, "this machine has"
    if sum(limits.values()) > most:
        parts = " + ".join(f"{hostname} {size:,}" for hostname, size in limits.items())
        raise ResourceError(
            f"{resource}: its containers may use {sum(limits.values()):,} MiB together ({parts}), "
            f"{whose} {most:,} MiB; lower their memory_size_in_mb, or take containers out"
        )


def of_containers(variant: str, mode: str, parts: Mapping[str, Made]) -> Mapping[str, Made]:
    """Return what was made of a variant's containers, as `make_endpoint` takes it.

    Of a pipeline one model, which takes what the first container takes, and answers as the last.
    """
    if mode != SERIAL:
        return {f"{variant}/{hostname}": made for hostname, made in parts.items()}
    first, *_, last = (made["description"] for made in parts.values())
    taken = {key: first.get(key) for key in ("feature_names", "feature_count", "feature_types")}
    return {variant: {"description": {**last, **taken}}}


def _require_no_container(
    connection: Connection, resource: Resource, spec: Mapping[str, Any]
) -> None:
    for other in store.list_kind(connection, "Model"):
        named = {key_of("Model", one) for one in containers_of(other.spec).values()}
        if resource.key in named:
            raise ResourceError(
                f'{resource}: spec.mode {spec["mode"]}, while Model "{other.name}" has it as a '
                f"container; expected mode {SINGLE_MODEL}"
            )
