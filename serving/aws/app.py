"""What AWS's clients ask for, on the port of everything else: an ASGI layer.

It takes the requests that are theirs and hands on the rest. Botocore's models are loaded when the
first such request comes.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, SQLAlchemyError

from driftline.access.principal import CURRENT
from driftline.access.signature import SignatureError
from driftline.capture.tap.asgi import REQUEST_ID_KEY
from driftline.database.disconnects import is_disconnect
from driftline.errors import DriftlineError, InputError, NotFoundError, UnavailableError
from driftline.loopback import App, Receive, Scope, Send
from driftline.serving.aws import areas  # noqa: F401 - registers all
from driftline.serving.aws.constraints import require_valid, unicode_ranges
from driftline.serving.aws.errors import invalid_code, token_code, wire_error
from driftline.serving.aws.models import operation_model, service_model
from driftline.serving.aws.reading import read_request
from driftline.serving.aws.routing import (
    CALL_ID,
    Asked,
    Protocol,
    asked_for,
    credential_of,
    form_of,
    headers_of,
    protocol_of,
)
from driftline.serving.aws.served import SERVED, BadTokenError, Given, Wire, WireError
from driftline.serving.aws.signing import require_service, signature_error
from driftline.serving.aws.writing import Reply, head_of, write_answer, write_error
from driftline.serving.http.responses import ClientGoneError, is_packing, read_body, unpacked
from driftline.serving.operations.asking import Asking
from driftline.serving.operations.services import Services

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

log = logging.getLogger(__name__)

# Of requests that are not signed, and of keys that are no account's number.
REGION, ACCOUNT = "us-east-1", "000000000000"
# What takes longer to read than a moment is read beside the loop that serves invocations.
_LONG_BYTES = 8 << 10
Headers = Mapping[str, str]
_LISTED = "docs/aws.md lists the operations of AWS that driftline serves"


class AwsWire:
    """Answers the clients of AWS, as whoever `CURRENT` says asks; ``s3`` answers S3's."""

    def __init__(self, services: Services, asking: Asking, app: App, s3: App | None = None) -> None:
        self._services, self._asking, self._app, self._s3 = services, asking, app, s3
        self._limit = services.context.settings.serving.max_request_bytes
        self._loaded: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of AWS's clients; hand on any other."""
        headers = headers_of(scope) if scope["type"] == "http" else {}
        protocol = protocol_of(scope, headers) if headers else None
        if protocol is None:
            await self._app(scope, receive, send)
        elif protocol == "rest-xml" and self._s3 is not None:
            await self._s3(scope, receive, send)
        else:
            request_id = scope.get(REQUEST_ID_KEY) or str(uuid.uuid4())
            head = head_of(protocol, request_id, headers.get("content-type", ""))
            try:
                body = await self._body(scope, receive, headers)
                reply = await self._answer(scope, protocol, headers, body, head)
            except ClientGoneError:
                return
            except DriftlineError as error:
                reply = write_error(protocol, None, _as_wire_error(error, "", protocol), head)
            await reply.send(send)

    async def _body(self, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> bytes:
        limit, timeout_s = self._limit, self._services.context.body_timeout_s
        body = await read_body(scope, receive, limit=limit, timeout_s=timeout_s)
        if is_packing(encoding := headers.get("content-encoding", "")):
            return await asyncio.to_thread(unpacked, body, encoding, limit)
        return body

    async def _answer(
        self, scope: Scope, protocol: Protocol, headers: Headers, body: bytes, head: Headers
    ) -> Reply:
        """Return the answer, or the error that there is instead."""
        service = ""
        try:
            form = form_of(scope, body) if protocol == "query" else {}
            asked = asked_for(scope, protocol, headers, form)
            await self._load(asked.service)
            service = asked.service
            require_service(scope, service)
            operation = _served(asked)
            reading = asked, operation.input_shape, headers, form, body
            is_long = len(body) > _LONG_BYTES
            given = await asyncio.to_thread(_read, *reading) if is_long else _read(*reading)
            answer = await SERVED[asked.key](self._wire(service, scope, headers), given)
            return write_answer(protocol, operation, answer, head)
        except Exception as error:  # noqa: BLE001 - the top of a request
            found = _as_wire_error(error, service, protocol)
            return write_error(protocol, service_model(service) if service else None, found, head)

    async def _load(self, service: str) -> None:
        if service not in self._loaded:
            await asyncio.gather(
                asyncio.to_thread(service_model, service), asyncio.to_thread(unicode_ranges)
            )
            self._loaded.add(service)

    def _wire(self, service: str, scope: Scope, headers: Mapping[str, str]) -> Wire:
        credential = credential_of(scope, headers)
        is_account = len(credential.key) == 12 and credential.key.isdigit()
        account = credential.key if is_account else ACCOUNT
        return Wire(
            self._services, self._asking, service, credential.region or REGION, account,
            headers.get(CALL_ID),
        )  # fmt: skip


def _read(asked: Asked, shape: Shape, headers: Headers, form: Headers, body: bytes) -> Given:
    given = read_request(asked, shape, headers, form, body)
    require_valid(shape, given, invalid_code(asked.service))
    return given


def _served(asked: Asked) -> OperationModel:
    """Return the model of an operation that is served; refuse any other."""
    operation = operation_model(asked.service, asked.operation)
    if operation is None:
        code = "InvalidAction" if asked.protocol == "query" else "UnknownOperationException"
        raise WireError(code, f'{asked.service} has no operation "{asked.operation[:80]}"')
    if asked.key not in SERVED:
        message = f"driftline does not serve {asked.operation}; {_LISTED}"
        raise WireError("NotImplemented", message, 501)
    return operation


def _as_wire_error(error: Exception, service: str, protocol: Protocol) -> WireError:
    match error:
        case WireError():
            return error
        case BadTokenError():
            return WireError(token_code(service), "NextToken is of no page of this list")
        case NotFoundError() if CURRENT.get().endpoints is not None:
            # To those who are for some endpoints it would name the nearest of others.
            error = NotFoundError("it does not exist")
        case DataError():
            error = InputError("a value cannot be stored or looked for")
        case SQLAlchemyError() if is_disconnect(error):
            error = UnavailableError("the database does not answer; the server's log says why")
    if isinstance(error, SignatureError):
        return signature_error(error, protocol)
    if isinstance(error, DriftlineError):
        found = wire_error(error, service, protocol)
        if (found.status or 0) >= 500:
            log.warning("status=%d service=%s error=%s", found.status, service, error)
        return found
    log.error("status=500 service=%s", service, exc_info=error)
    return WireError("InternalFailure", "the request failed; the server's log says why", 500)
