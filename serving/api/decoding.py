"""Route by which requests that were stored raw are decoded."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from driftline.capture.line.upkeep import NAMES
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.redecoding import decode_again
from driftline.capture.tables.writer_name import WriterName
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import signature_of


def router(context: ServerContext) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["capture"])
    # Of two at once one would do its work twice.
    turn = threading.Lock()

    @routes.post("/endpoints/{name}/capture/decoding")
    def decode(name: str) -> dict[str, Any]:
        """Decode the requests that were stored raw by the signature that the endpoint has now.

        For what came before the endpoint was declared, or before its signature was mended. Asking
        again is safe; monitors judge the windows that have gained rows again.
        """
        with read_connection(context.engine) as connection:
            endpoint = store.get(connection, "Endpoint", name).name
        signature = signature_of(context.engine, endpoint)
        if signature is None:
            raise InputError(
                f'Endpoint "{endpoint}" has no signature to decode by; declare it with a baseline '
                "or a signature, then decode again"
            )
        with turn:
            names = WriterName(context.spool_dir / NAMES)
            try:
                dataset = Dataset(context.root, endpoint, writer=f"upkeep-{names.name}")
                return {"endpoint": endpoint, **asdict(decode_again(dataset, signature))}
            finally:
                names.close()

    return routes
