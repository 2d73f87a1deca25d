"""Operations on declared resources: apply, list, get, delete."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sqlalchemy import Connection

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import get_any
from driftline.alerts.notify.channels import get_channel
from driftline.alerts.notify.silences import get_silence
from driftline.errors import InputError
from driftline.monitors.definitions import definition_made_at, get_definition
from driftline.serving.operations.authorization import require, withheld
from driftline.serving.operations.deployments import deployment_status
from driftline.serving.operations.registry import (
    Json,
    Page,
    Paging,
    Prefix,
    Tags,
    Time,
    operation,
    pairs_of,
    plain,
)
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.apply import Applied, Declaration, Deletion
from driftline.serving.resources import store
from driftline.serving.resources.deployments import active_deployment, last_deployment
from driftline.serving.resources.endpoint_specs import EndpointConfigSpec
from driftline.serving.resources.resources import ALARM_KINDS, key_of
from driftline.serving.resources.specs import KINDS, Kind
from driftline.serving.resources.store import Stored

Collection = Literal[
    "models", "baselines", "endpoint-configs", "endpoints", "channels", "monitors", "alarms",
    "composite-alarms", "silences", "scaling-policies",
]  # fmt: skip

# Collections stand in the order of kinds.
KIND_OF: dict[Collection, Kind] = dict(zip(get_args(Collection), KINDS, strict=True))

_INTERNAL = frozenset({"spec", "models", "edition", "fleet", "deployment", "overrides"})
_RUNNING = ("config", *EndpointConfigSpec.model_fields)
_TAG = re.compile(r'"([0-9a-f]{1,16}\.\d{1,18})"')

Tag = Annotated[
    str | None, Header(max_length=1000, description="An ETag that the resource came with.")
]
Absent = Annotated[Literal["*"] | None, Header(description="Only what is not there yet.")]
Since = Annotated[Time | None, "Begin here; included."]
Until = Annotated[Time | None, "End here; left out."]
Of = Annotated[Collection, "A kind of resource."]
Name = Annotated[str, "The resource's name."]


@dataclass(frozen=True)
class StoredResource:
    """A resource as declared; spec and status are of the form of its kind."""

    kind: Kind
    name: str
    owner: str | None
    tags: Mapping[str, str]
    spec: Mapping[str, Any]
    generation: int
    created_at: datetime | None
    updated_at: datetime | None
    status: Mapping[str, Any]


@operation("POST /apply", role="operator", notes_itself=True)
async def apply(
    services: Services,
    resources: Annotated[list[dict[str, Any]], "Resources as kind, name and spec."],
    dry_run: Annotated[bool, "Only say what would change."] = False,
    if_match: Tag = None,
    if_none_match: Absent = None,
) -> Applied:
    """Apply resources, all or nothing, and say what changed; twice the same changes nothing.

    What is declared is stored when this answers; models, baselines, endpoints and monitors become
    ready afterwards, or fail: `pending` names those, whose status tells. With the header If-Match,
    of one resource: only if it still is as the ETag says that it was; with If-None-Match "*": only
    if none of them exists. Silences alone are an operator's; all else needs an admin.
    """
    known = _editions(if_match) if if_none_match is None else store.ABSENT
    if known and len(resources) != 1:
        raise InputError(f"If-Match with {len(resources)} resources; expected one")
    declarations = [Declaration(one, known) for one in resources]
    return await apply_declarations(services, declarations, dry_run=dry_run)


async def apply_declarations(
    services: Services, declarations: Sequence[Declaration], *, dry_run: bool = False
) -> Applied:
    """Apply resources, each on a condition of its own, for whoever may."""
    if any(one.document.get("kind") != "Silence" for one in declarations):
        require("admin")
    return await services.applier.apply(declarations, dry_run=dry_run)


@operation("GET /{collection}", role="viewer")
def list_resources(
    services: Services,
    connection: Connection,
    page: Paging,
    collection: Of,
    prefix: Prefix = "",
    owner: Annotated[str | None, "Only of this owner."] = None,
    tag: Tags = (),
    contains: Annotated[str, Field(max_length=255, description="Only names with this in.")] = "",
    state: Annotated[str | None, "Only endpoints in this state."] = None,
    created_after: Since = None,
    created_before: Until = None,
    updated_after: Since = None,
    updated_before: Until = None,
    order: Annotated[store.Order, "What they are sorted by."] = "name",
    descending: Annotated[bool, "The last one first."] = False,
) -> Page[StoredResource]:
    """List the resources of a kind."""
    kind, wanted = KIND_OF[collection], pairs_of(tag).items()
    start, part = key_of(kind, prefix), key_of(kind, contains)
    has_followed = kind == "Endpoint" and services.reconciler.has_followed(connection)

    def fits(row: Stored) -> bool:
        key = key_of(kind, row.name)  # To SQLite's LIKE, cases are alike.
        return (
            key.startswith(start)
            and part in key
            and wanted <= dict(row.tags).items()
            and state in (None, endpoint_state(services, row, has_followed=has_followed))
        )

    where = store.narrowed(
        start=start, part=part, owner=owner, created=(created_after, created_before),
        updated=(updated_after, updated_before),
    )  # fmt: skip
    rows = store.list_page(
        connection, kind, *where, fits=fits if start or part or wanted or state else None,
        order=order, descending=descending, after=page.after(*store.ORDERS[order][1]),
        limit=page.count,
    )  # fmt: skip
    return page.of(
        rows,
        lambda row: store.place_of(row, order),
        lambda row: show(services, connection, row, has_followed=has_followed),
    )


# Names of alarms are free text, slashes and all.
@operation("GET /{collection}/{name:path}", role="viewer", of="name")
def get_resource(
    services: Services,
    connection: Connection,
    collection: Of,
    name: Name,
) -> Annotated[Response, StoredResource]:
    """Return one resource: as declared, and how it fares; its ETag is that of what is declared."""
    row = store.get(connection, KIND_OF[collection], name)
    shown = plain(show(services, connection, row))
    return JSONResponse(shown, headers={"etag": f'"{row.edition}"'})


@operation("DELETE /{collection}/{name:path}", role="operator", notes_itself=True)
async def delete_resource(
    services: Services,
    collection: Of,
    name: Name,
    if_match: Tag = None,
    in_use: Annotated[bool, "Also a model that endpoints answer by; they go on with it."] = False,
) -> None:
    """Delete one resource; refused while another needs it, or if it is not as If-Match says."""
    known = _editions(if_match)
    await delete_resources(services, Deletion(KIND_OF[collection], name, known, in_use=in_use))


async def delete_resources(services: Services, *deletions: Deletion) -> None:
    """Delete resources, all or nothing, for whoever may."""
    if any(one.kind != "Silence" for one in deletions):
        require("admin")
    await services.applier.delete(*deletions)


def _editions(tags: str | None) -> frozenset[str] | None:
    """Return the editions that ETags are of; how a resource fares hinders no change of it."""
    if tags is None:
        return None
    found = frozenset(_TAG.findall(tags))
    if not found:
        raise InputError(f'If-Match "{tags[:80]}"; expected an ETag that a resource came with')
    return found


def show(
    services: Services, connection: Connection, row: Stored, *, has_followed: bool | None = None
) -> StoredResource:
    """Return a resource as declared, with a status that says how it fares.

    ``has_followed``: the reconciler's answer, which is one for all rows of a page.
    """
    if has_followed is None and row.kind == "Endpoint":
        has_followed = services.reconciler.has_followed(connection)
    phase = {
        "phase": row.phase, "reason": withheld(row.reason),
        "observed_generation": row.observed_generation,
    }  # fmt: skip
    how = phase if row.kind in store.CONTROLLED else {}
    return StoredResource(
        kind=row.kind, name=row.name, **row.declared(), generation=row.generation,
        created_at=row.created_at, updated_at=row.updated_at,
        status={**how, **_status(services, connection, row, has_followed=bool(has_followed))},
    )  # fmt: skip


def _status(services: Services, connection: Connection, row: Stored, *, has_followed: bool) -> Json:
    if row.kind == "Endpoint":
        state = endpoint_state(services, row, has_followed=has_followed)
        return {**_endpoint_status(services, row, state), **_made(row)}
    if row.kind in ALARM_KINDS:
        record = get_any(connection, row.name).shown.as_dict()
        known = {*row.spec, "name", "kind"}
        found = {key: value for key, value in record.items() if key not in known}
        # Somebody may have switched them meanwhile.
        return found | {"actions_enabled": record["actions_enabled"]}
    if row.kind == "Channel":
        found = get_channel(connection, row.name).as_dict()
        return {key: value for key, value in found.items() if key not in row.spec}
    if row.kind == "Silence":
        now = services.context.now()
        silence = get_silence(connection, row.name)
        until = silence.silence.mutes_until(now) if silence.expired_at is None else None
        shown = silence.shown(now)
        return {"status": shown.status, "mutes_until": until, "expired_at": shown.expired_at}
    if row.kind == "Monitor":
        if definition_made_at(connection, row.name) is None:
            return {"version": None, "baseline_version": None, "baseline_pinned": None}
        definition = get_definition(connection, row.name)
        return {
            "version": definition.version,
            "baseline_version": definition.baseline_version,
            "baseline_pinned": definition.baseline_pinned,
        }
    return _made(row)


def _made(row: Stored) -> Json:
    """Return the artifacts of a resource; values of rows in them need the role analyst."""
    made = {key: one for key, one in row.made.items() if key not in _INTERNAL}
    is_analyst = CURRENT.get().may("analyst")
    if made.get("description") and not is_analyst:
        made["description"] = {**made["description"], "categories": None}
    if made.get("signature"):
        made["signature"] = json.loads(made["signature"])
        for feature in () if is_analyst else made["signature"]["features"]:
            feature.pop("levels", None)
    return made


def endpoint_state(services: Services, row: Stored, *, has_followed: bool) -> str | None:
    """Return the state of an endpoint in SageMaker's words; None of what is none."""
    if row.kind != "Endpoint":
        return None
    reconciler = services.reconciler
    if not row.made:
        return "Failed" if row.phase == "Failed" else "Creating"
    found = active_deployment(row)
    if found is not None and found.stage == "RollingBack":
        _, problem = reconciler.fleet(row.name, row.made["fleet"])
        return "RollingBack" if problem is None else "UpdateRollbackFailed"
    if row.is_unfinished or not has_followed:
        return "Creating" if reconciler.endpoint(row.name) is None else "Updating"
    return reconciler.state(row.name)


def _endpoint_status(services: Services, row: Stored, state: str | None) -> Json:
    reconciler, name, last = services.reconciler, row.name, last_deployment(row)
    path = None if state == "CapturedOnly" else f"/endpoints/{name}/invocations"
    return {
        "state": state,
        "reason": withheld(row.reason) or reconciler.problem(name),
        "invocations": path,
        "variants": [asdict(variant) for variant in reconciler.variants(name)],
        # Until a change is done, and where it failed, this is what was declared before.
        "running": {key: row.running[key] for key in _RUNNING if key in row.running},
        "deployment": None if last is None else deployment_status(last),
    }
