"""Our own resources and lists, as functions of the wire ask for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from driftline.errors import NotFoundError
from driftline.serving.aws.served import Given, Wire
from driftline.serving.operations import resources
from driftline.serving.operations.registry import Json


async def declared(wire: Wire, collection: str, name: str) -> Json | None:
    """Return a resource, with its ETag as "etag"; None where there is none of the name."""
    try:
        found = await wire.ask(resources.get_resource, collection=collection, name=name)
    except NotFoundError:
        return None
    return {**json.loads(found.body), "etag": found.headers["etag"]}


async def delete_declared(wire: Wire, collection: str, name: str) -> None:
    """Delete a resource, if there is one of the name."""
    with suppress(NotFoundError):
        await wire.ask(resources.delete_resource, collection=collection, name=name)


async def every(wire: Wire, operation: Callable[..., Any], **asked: Any) -> list[Any]:  # noqa: ANN401
    """Return all items of a list of ours."""
    found: list[Any] = []
    token = None
    while True:
        page = await wire.ask(operation, **asked, limit=1000, next_token=token)
        found += page.items
        if (token := page.next_token) is None:
            return found


def page_of(wire: Wire, given: Given) -> str | None:
    """Return the token of our own list that a client's token holds."""
    place = wire.after(given, str)
    return None if place is None else str(place[0])


def token_for(wire: Wire, given: Given, token: str | None) -> str | None:
    """Return a client's token of the next page of our own list; None after the last."""
    return None if token is None else wire.token(given, (token,))
