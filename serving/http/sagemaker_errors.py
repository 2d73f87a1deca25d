"""Errors of invocations as SageMaker's clients read them: boto3's ``Code`` and ``Message``.

botocore 1.44.5, parsers.py (RestJSONParser); service model sagemaker-runtime, 2017-05-13.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable
from urllib.parse import quote

from driftline.loopback import App, Message, Receive, Scope, Send

_PATH = re.compile(r"/endpoints/([^/]+)/(?:async-)?invocations(?:-response-stream)?")
_CODE = b"x-amzn-errortype"
_MODEL_ERROR = "ModelError"
_CODES = {
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    424: _MODEL_ERROR,
    429: "ThrottlingException",  # Which clients try again.
    503: "ServiceUnavailable",
    504: _MODEL_ERROR,
}
# Of the message that starts an answer: what the model's own code or server said (Reply.original).
_ORIGINAL = "driftline.original"


def with_original(send: Send, original: tuple[int, str]) -> Send:
    """Return what sends a refusal together with what the model itself had said."""

    async def told(message: Message) -> None:
        is_start = message["type"] == "http.response.start"
        await send({**message, _ORIGINAL: original} if is_start else message)

    return told


class SageMakerErrors:
    """ASGI layer that adds to errors of invocations what clients of SageMaker's runtime read."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on, and its answer, unless that is an error."""
        asked = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            return self.app(scope, receive, send)
        start: Message | None = None

        async def rewrite(message: Message) -> None:
            nonlocal start
            if start is None:
                start = message  # Its length is known with its body, which comes in one piece.
                return
            for part in _rewritten(start, message["body"], asked[1]):
                await send(part)

        def told(message: Message) -> Awaitable[None]:
            is_error = start is not None or message.get("status", 0) >= 400
            return (rewrite if is_error else send)(message)

        return self.app(scope, receive, told)


def _rewritten(start: Message, body: bytes, endpoint: str) -> tuple[Message, Message]:
    status = start["status"]
    code = _CODES.get(status, "ValidationError" if status < 500 else "InternalFailure")
    code = dict(start["headers"]).get(_CODE, code.encode()).decode()
    found = json.loads(body)
    found["Message"] = message = found["error"]["message"]
    if code == _MODEL_ERROR:
        # SageMaker's words for a model that raised, and for one that did not answer in time.
        original = start.pop(_ORIGINAL, (0 if status == 504 else 500, message))
        found["OriginalStatusCode"], found["OriginalMessage"] = original
        found["LogStreamArn"] = f"/api/v1/logs?endpoint={quote(endpoint, safe='')}"
    body = json.dumps(found).encode()
    headers = [one for one in start["headers"] if one[0] not in (b"content-length", _CODE)]
    headers += [(b"content-length", b"%d" % len(body)), (_CODE, code.encode())]
    return {**start, "headers": headers}, {"type": "http.response.body", "body": body}
