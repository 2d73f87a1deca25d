"""Our own resources and lists, as functions of the wire ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from driftline.errors import NotFoundError
from driftline.serving.aws.served import Given, Wire
from driftline.serving.operations import resources
from driftline.serving.operations.registry import Json
from driftline.serving.operations.resources import Collection
from driftline.serving.operations.services import Services
from driftline.serving.resources import echo, store


async def declared(wire: Wire, collection: Collection, name: str) -> Json | None:
    """Return a resource, its ETag as "etag" and what clients of AWS said of it as "said".

    None where there is none of the name.
    """

    def read(services: Services, connection: Connection) -> Json | None:
        row = store.find(connection, resources.KIND_OF[collection], name)
        if row is None:
            return None
        shown = vars(resources.show(services, connection, row))
        said = echo.get(connection, row.kind, row.name)
        return {**shown, "etag": f'"{row.edition}"', "said": said}

    return await wire.asking.read(resources.get_resource, read, collection=collection, name=name)


def changed(resource: Json, **fields: object) -> Json:
    """Return a resource as it is declared, but for some fields of its spec; to be applied."""
    own = {key: resource[key] for key in ("kind", "name", "owner", "tags")}
    return {**own, "spec": {**resource["spec"], **fields}}


async def delete_declared(wire: Wire, collection: Collection, name: str) -> None:
    """Delete a resource, if there is one of the name."""
    with suppress(NotFoundError):
        await wire.ask(resources.delete_resource, collection=collection, name=name)


async def amend(
    wire: Wire, collection: Collection, name: str, change: Callable[[Json], Mapping[str, object]]
) -> bool:
    """Change the fields of a resource that a function of its spec returns; False: there is none.

    Where somebody else changes it meanwhile it is read again, so that nothing is lost.
    """
    while (resource := await declared(wire, collection, name)) is not None:
        if not (fields := change(resource["spec"])):
            return True
        with suppress(store.ChangedError):
            known = resource["etag"]
            await wire.ask(resources.apply, resources=[changed(resource, **fields)], if_match=known)
            return True
    return False


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
