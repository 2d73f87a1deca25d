"""Our own resources and lists, as functions of the wire ask for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from driftline.access.audit import record
from driftline.serving.aws.served import Given, Wire
from driftline.serving.operations import resources
from driftline.serving.operations.registry import Json
from driftline.serving.operations.resources import Collection
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources import echo, store
from driftline.serving.resources.specs import Kind

_COLLECTION_OF = {kind: collection for collection, kind in resources.KIND_OF.items()}
_TRIES = 10  # Each is another's change that succeeded, or a name that something else has.
Asked = ParamSpec("Asked")
Answered = TypeVar("Answered")


async def declared(wire: Wire, collection: Collection, name: str) -> Json | None:
    """Return a resource, its edition as "edition" and what clients of AWS said of it as "said".

    None where there is none of the name.
    """

    def read(services: Services, connection: Connection) -> Json | None:
        row = store.find(connection, resources.KIND_OF[collection], name)
        if row is None:
            return None
        shown = vars(resources.show(services, connection, row))
        said = echo.get(connection, row.kind, row.name)
        return {**shown, "edition": row.edition, "said": said}

    return await wire.asking.read(resources.get_resource, read, collection=collection, name=name)


def changed(resource: Json, **fields: object) -> Json:
    """Return a resource as it is declared, but for some fields of its spec; to be applied."""
    own = {key: resource[key] for key in ("kind", "name", "owner", "tags")}
    return {**own, "spec": {**resource["spec"], **fields}}


def as_read(resource: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the condition that a resource still is as `declared` returned it, or still is not."""
    return store.ABSENT if resource is None else frozenset([resource["edition"]])


async def apply_declared(wire: Wire, *declarations: Declaration) -> None:
    """Apply resources, and keep what was said of them, all or nothing."""
    await wire.asking.act(
        resources.apply, lambda services: resources.apply_declarations(services, declarations)
    )


def reads_again(
    function: Callable[Asked, Awaitable[Answered]],
) -> Callable[Asked, Awaitable[Answered]]:
    """Begin a function anew where a resource that it applies was changed after it had read it."""

    @wraps(function)
    async def call(*given: Asked.args, **named: Asked.kwargs) -> Answered:
        for _ in range(_TRIES - 1):
            with suppress(store.ChangedError):
                return await function(*given, **named)
        return await function(*given, **named)

    return call


async def delete_declared(wire: Wire, *deletions: Deletion) -> None:
    """Delete resources in order, all or nothing."""
    first = deletions[0]
    await wire.asking.act(
        resources.delete_resource,
        lambda services, **_: resources.delete_resources(services, *deletions),
        collection=_COLLECTION_OF[first.kind], name=first.name,
    )  # fmt: skip


@reads_again
async def amend(
    wire: Wire, collection: Collection, name: str, change: Callable[[Json], Mapping[str, object]]
) -> bool:
    """Change the fields of a resource that a function of its spec returns; False: there is none."""
    if (resource := await declared(wire, collection, name)) is None:
        return False
    if fields := change(resource["spec"]):
        await apply_declared(wire, Declaration(changed(resource, **fields), as_read(resource)))
    return True


async def change_said(
    wire: Wire, action: str, kind: str, names: Sequence[str],
    change: Callable[[Connection, str], bool | None],
) -> None:  # fmt: skip
    """Change what clients of AWS said of some names, all or nothing, and note it in the audit log.

    For whoever may apply, as an operator. A change that returns False had nothing to do.
    """

    def work() -> None:
        with wire.services.context.engine.begin() as connection:
            store.hold_all(connection)
            for name in names:
                if change(connection, name) is not False:
                    record(connection, action, f"{kind}/{name}", wire.now)

    await wire.asking.act(resources.apply, lambda _: asyncio.to_thread(work))


async def forget(wire: Wire, kind: Kind, name: str) -> None:
    """Forget what clients of AWS said of a resource that stays."""

    def remove() -> None:
        with wire.services.context.engine.begin() as connection:
            store.hold_all(connection)
            echo.remove(connection, kind, name)

    await asyncio.to_thread(remove)


def arn_of(wire: Wire, kind: str, name: str) -> str:
    """Return the ARN of what SageMaker's API calls a DataQualityJobDefinition, say."""
    return wire.arn("sagemaker", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower(), name)


async def every(wire: Wire, operation: Callable[..., Any], **asked: Any) -> list[Any]:  # noqa: ANN401
    """Return all items of a list of ours."""
    items: list[Any] = []
    token = None
    while True:
        page = await wire.ask(operation, **asked, limit=1000, next_token=token)
        items += page.items
        if (token := page.next_token) is None:
            return items


def page_of(wire: Wire, given: Given) -> str | None:
    """Return the token of our own list that a client's token holds."""
    place = wire.after(given, str)
    return None if place is None else str(place[0])


def token_for(wire: Wire, given: Given, token: str | None) -> str | None:
    """Return a client's token of the next page of our own list; None after the last."""
    return None if token is None else wire.token(given, (token,))
