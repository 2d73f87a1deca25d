"""Requests that are signed with access keys: whose they are, and how AWS refuses the others."""

from __future__ import annotations

import asyncio
import uuid
from hashlib import sha256

from driftline.access.authentication import Authenticator, refuse_unknown
from driftline.access.principal import Principal
from driftline.access.signature import (
    CHAIN_KEY,
    CREDENTIAL_KEY,
    DIGEST,
    PRESIGNED,
    Credential,
    Signature,
    SignatureError,
    read_signature,
)
from driftline.capture.tap.asgi import BODY_CAME
from driftline.errors import DriftlineError
from driftline.loopback import Message, Receive, Scope, Send, refuse
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.routing import INVOCATION, S3, headers_of, protocol_of
from driftline.serving.aws.writing import head_of, write_error
from driftline.serving.http.responses import ClientGoneError, read_body, status_of

# What is longer is hashed beside the loop that serves invocations.
_LONG_BYTES = 256 << 10
_MISSING = "Missing Authentication Token: driftline access-key create NAME makes a key to sign by"
_UNKNOWN = "The security token included in the request is invalid."
_NO_SESSIONS = f"{_UNKNOWN} Access keys of driftline have none: unset AWS_SESSION_TOKEN"


class SignedRequests:
    """Reads and verifies requests that are signed with access keys."""

    def __init__(
        self, authenticator: Authenticator, *, limit: int, body_timeout_s: float, external_url: str
    ) -> None:
        self._authenticator = authenticator
        self._limit, self._body_timeout_s = limit, body_timeout_s
        # A proxy in front takes https, and only that.
        self._is_private = external_url.startswith("https:")

    async def admit(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Principal, Scope, Receive] | None:
        """Return whose a request is, and the request to hand on; None once it is refused."""
        try:
            return await self._admitted(scope, receive)
        except ClientGoneError:
            return None
        except DriftlineError as error:
            await _refuse(scope, receive, send, error)
            return None

    async def _admitted(self, scope: Scope, receive: Receive) -> tuple[Principal, Scope, Receive]:
        signature = read_signature(scope)
        credential = signature.credential
        signer = await self._authenticator.signer(credential.key_id)
        if signer is None or signature.token:
            raise SignatureError("unknown", _UNKNOWN if signer is None else _NO_SESSIONS)
        now = self._authenticator.now()
        signature.require_time(now)
        is_private = self._is_private or scope.get("scheme") == "https"
        signature.require_payload(is_private=is_private)
        asked = {**scope, CREDENTIAL_KEY: credential, "query_string": _unsigned(scope)}
        if INVOCATION.fullmatch(scope["path"]):
            require_service(asked, "sagemaker")
        if signature.payload:  # Before its body is read.
            signature.verify(signer.secret, signature.payload)
        if credential.service == S3 and signature.payload:
            # Of any size: S3 holds a body against its headers as it comes.
            asked[CHAIN_KEY] = signature.chain(signer.secret)
        else:
            limit, timeout_s = self._limit, self._body_timeout_s
            body = await read_body(scope, receive, limit=limit, timeout_s=timeout_s)
            given = signature, signer.secret, body
            is_long = len(body) > _LONG_BYTES
            await asyncio.to_thread(_require_body, *given) if is_long else _require_body(*given)
            receive = _replaying(body, receive)
            asked[BODY_CAME] = True
        if signer.expires_at is not None and signer.expires_at <= now:
            raise SignatureError("ended", "The security token included in the request is expired")
        return signer.principal, asked, receive


def _require_body(signature: Signature, secret: str, body: bytes) -> None:
    """Refuse a body that is not the one that was signed."""
    digest = sha256(body).hexdigest()
    if not signature.payload:
        signature.verify(secret, digest)
    elif DIGEST.fullmatch(signature.payload) and signature.payload != digest:
        raise SignatureError(
            "payload",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _unsigned(scope: Scope) -> bytes:
    """Return a query without what is about its signature, which nobody else shall see or refuse."""
    parts = scope["query_string"].split(b"&")
    kept = [one for one in parts if one.partition(b"=")[0].decode("latin-1") not in PRESIGNED]
    return b"&".join(kept)


def require_service(scope: Scope, service: str) -> None:
    """Refuse a request that was signed for another service than it asks."""
    credential: Credential | None = scope.get(CREDENTIAL_KEY)
    if credential is not None and credential.service != service:
        message = f"Credential should be scoped to correct service: '{service}'."
        raise SignatureError("mismatch", message)


async def refuse_unsigned(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request without a secret: AWS's clients in their words."""
    if protocol_of(scope, headers_of(scope)) is None:
        await refuse_unknown(scope, receive, send)
    else:
        await _refuse(scope, receive, send, SignatureError("missing", _MISSING))


async def _refuse(scope: Scope, receive: Receive, send: Send, error: DriftlineError) -> None:
    """Answer with an error as the client of a request reads it."""
    headers = headers_of(scope)
    protocol = protocol_of(scope, headers)
    found = wire_error(error, "", protocol)
    if protocol is not None:
        head = head_of(protocol, str(uuid.uuid4()), headers.get("content-type", ""))
        await write_error(protocol, None, found, head)(scope, receive, send)
    elif isinstance(error, SignatureError):
        extra = [(b"x-amzn-errortype", found.code.encode())]
        await refuse(send, found.status or 403, "forbidden", str(error), extra)
    else:
        status, code, extra = status_of(error)
        await refuse(send, status, code, str(error), extra)
