"""What AWS's clients ask for, on the port of everything else: an ASGI layer.

It takes the requests that are theirs and hands on the rest. Botocore's models are loaded when the
first such request comes.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING

from starlette.responses import Response

from driftline.access.signature import credential_of
from driftline.capture.tap.asgi import REQUEST_ID_KEY
from driftline.loopback import App, Receive, Scope, Send
from driftline.serving.aws import areas  # noqa: F401 - registers all
from driftline.serving.aws.constraints import checked
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.models import service_model
from driftline.serving.aws.reading import read_body as read_values
from driftline.serving.aws.routing import (
    CALL_ID,
    Asked,
    Headers,
    Protocol,
    asked_for,
    headers_of,
    not_served,
    protocol_of,
)
from driftline.serving.aws.served import SERVED, Given, Wire, WireError
from driftline.serving.aws.signing import require_service
from driftline.serving.aws.writing import head_of, write_answer, write_error
from driftline.serving.http.responses import ClientGoneError, is_packing, read_body, unpacked
from driftline.serving.operations.asking import Asking
from driftline.serving.operations.services import Services

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

# Of requests that are not signed, and of keys that are no account's number.
REGION, ACCOUNT = "us-east-1", "000000000000"
# What takes longer to read than a moment is read beside the loop that serves invocations.
_LONG_BYTES = 8 << 10


class AwsWire:
    """Answers the clients of AWS, as whoever `CURRENT` says asks; ``s3`` answers S3's."""

    def __init__(self, services: Services, asking: Asking, app: App, s3: App) -> None:
        self._services, self._asking, self._app, self._s3 = services, asking, app, s3
        self._limit = services.context.settings.serving.max_request_bytes
        self._loaded: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of AWS's clients; hand on any other."""
        headers = headers_of(scope) if scope["type"] == "http" else {}
        protocol = protocol_of(scope, headers) if headers else None
        if protocol is None:
            await self._app(scope, receive, send)
        elif protocol == "rest-xml":
            await self._s3(scope, receive, send)
        else:
            try:
                answer = await self._answer(scope, receive, protocol, headers)
            except ClientGoneError:
                return
            await answer(scope, receive, send)

    async def _answer(
        self, scope: Scope, receive: Receive, protocol: Protocol, headers: Headers
    ) -> Response:
        """Return the answer, or the error that there is instead."""
        request_id = scope.get(REQUEST_ID_KEY) or str(uuid.uuid4())
        head = head_of(protocol, request_id, headers.get("content-type", ""))
        service = ""
        try:
            body = await self._body(scope, receive, headers)
            asked = asked_for(scope, protocol, headers, body)
            if asked.service not in self._loaded:
                await asyncio.to_thread(service_model, asked.service)
                self._loaded.add(asked.service)
            service = asked.service
            operation = _served(asked)
            require_service(scope, operation.service_model.signing_name)
            is_long = len(body) > _LONG_BYTES
            reading = asked, operation.input_shape, body
            given = await asyncio.to_thread(_read, *reading) if is_long else _read(*reading)
            answer = await SERVED[asked.key](self._wire(scope, headers.get(CALL_ID)), given)
            return write_answer(protocol, operation, answer, head)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - the top of a request
            model = service_model(service) if service else None
            return write_error(protocol, model, wire_error(error, service, protocol), head)

    async def _body(self, scope: Scope, receive: Receive, headers: Headers) -> bytes:
        limit, timeout_s = self._limit, self._services.context.body_timeout_s
        body = await read_body(scope, receive, limit=limit, timeout_s=timeout_s)
        if is_packing(encoding := headers.get("content-encoding", "")):
            return await asyncio.to_thread(unpacked, body, encoding, limit)
        return body

    def _wire(self, scope: Scope, call: str | None) -> Wire:
        credential = credential_of(scope)
        region = REGION if credential is None else credential.region
        key = "" if credential is None else credential.key_id
        account = key if re.fullmatch(r"\d{12}", key, re.ASCII) else ACCOUNT
        return Wire(self._services, self._asking, region, account, call)


def _served(asked: Asked) -> OperationModel:
    """Return the model of an operation that is served; refuse any other."""
    model = service_model(asked.service)
    if asked.operation not in model.operation_names:
        code = "InvalidAction" if asked.protocol == "query" else "UnknownOperationException"
        raise WireError(code, f'{asked.service} has no operation "{asked.operation[:80]}"')
    if asked.key not in SERVED:
        raise not_served(asked.operation)
    return model.operation_model(asked.operation)


def _read(asked: Asked, shape: Shape | None, body: bytes) -> Given:
    return {} if shape is None else checked(shape, read_values(asked, shape, body))
