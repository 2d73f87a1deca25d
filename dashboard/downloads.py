"""Downloads outside of Dash: files of rows, and the server's description of its API.

``/rows.csv`` and ``/rows.parquet`` are rows behind a violation, or those that meet conditions. A
layer outside of those that hold an answer in memory streams them, whatever their size. ``/docs``
and ``/openapi.json`` are the server's, to which no browser sends a token.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import get_args
from urllib.parse import parse_qs

import pyarrow as pa
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from driftline.access.logins import NOTE
from driftline.dashboard.address import Address
from driftline.dashboard.guard import SAFE_HEADERS, is_page, refused
from driftline.dashboard.pages.parts import lacking
from driftline.dashboard.queries.explained import selection
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.words import sentence
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, ForbiddenError, NotFoundError
from driftline.loopback import App, Receive, Scope, Send
from driftline.monitors.root_cause.export import MEDIA_TYPES, Form, written
from driftline.monitors.run.stored_report import StoredReport, read_report

log = logging.getLogger(__name__)

_FORMS: dict[str, Form] = {f"/rows.{form}": form for form in get_args(Form)}
_STATUS = ((ForbiddenError, 403), (NotFoundError, 404))
# Static: no script runs there, and nothing is loaded.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_INTERFACE = {"/docs": "text/html", "/openapi.json": "application/json"}


class Downloads:
    """Answers for files of rows and the server's interface; everything else is passed on."""

    def __init__(self, app: App, stores: Stores) -> None:
        self.app, self._stores = app, stores

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is asked for, or pass the call on."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "GET" else ""
        answer = self.app
        if path in _FORMS:
            answer = await self._rows(scope, _FORMS[path])
        elif path in _INTERFACE and self._stores.ask is not None:
            answer = await asyncio.to_thread(self._interface, path, self._stores.ask)
        await answer(scope, receive, send)

    def _interface(self, path: str, ask: Callable[[str], str]) -> Response:
        """Ask the server as the caller."""
        headers = {**SAFE_HEADERS, "content-security-policy": _POLICY}
        try:
            return Response(ask(path), 200, headers, _INTERFACE[path])
        except DriftlineError as error:
            return refused(403 if isinstance(error, ForbiddenError) else 503, str(error))

    async def _rows(self, scope: Scope, form: Form) -> Response:
        query = scope.get("query_string", b"").decode("latin-1")
        read = parse_qs(query, keep_blank_values=True)
        asked = {name: of[0] for name, of in read.items() if of[0] or name == "where"}
        why = lacking("analyst")
        try:
            action, status = f"GET {scope['path']}", 403 if why else None
            await asyncio.to_thread(NOTE.get(), action, query, status)
            if why:
                raise ForbiddenError(why)
            pieces = await asyncio.to_thread(self._open, asked, form)
            # What cannot be read is told by the status, before the first byte is out.
            first = await asyncio.to_thread(next, pieces, b"")
        except (DriftlineError, SQLAlchemyError, OSError, pa.ArrowException) as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
            if status == 503:
                log.exception("rows_unreadable monitor=%r", asked.get("monitor"))
            told = str(error) if isinstance(error, DriftlineError) else "a store cannot be read now"
            if is_page(scope):  # Somebody reads it in place of the file.
                return PlainTextResponse(sentence(told), status, SAFE_HEADERS)
            return refused(status, told)
        whole = "-".join(asked.get(part, "") for part in ("monitor", "window", "feature"))
        # Every header and file system takes these signs.
        name = re.sub("[^0-9A-Za-z_-]", "_", whole).strip("-")[:120] or "rows"
        headers = {
            **SAFE_HEADERS,
            "cache-control": "no-store",
            "content-type": MEDIA_TYPES[form],
            "content-disposition": f'attachment; filename="{name}.{form}"',
        }
        return StreamingResponse(chain([first], pieces), 200, headers)

    def _open(self, asked: dict[str, str], form: Form) -> Iterator[bytes]:
        stores = self._stores
        stores.storage.require(stores.engine, stores.now())
        line, run = stores.judged(asked.get("monitor", ""), asked.get("window"))
        if "where" in asked:
            view = selection(stores, line, run, Address("explain", where=asked["where"]))
            if view.why_not:
                raise NotFoundError(view.why_not)
            return written(stores.storage.selected_rows(line, run, view.conditions), form)
        feature = asked.get("feature")
        with read_connection(stores.engine) as connection:
            report = read_report(connection, run.id) or StoredReport()
        found = report.pointing(feature)
        if found is None or "preprocess" in report.details:
            of = f'"{feature}"' if feature else "any violation"
            raise NotFoundError(f"no rows are kept behind {of} in this window")
        return written(stores.storage.all_rows(line, run, found), form)
