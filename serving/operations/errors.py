"""What operations answer when they fail: one form, with what each status means."""

from __future__ import annotations

from typing import Any

from driftline.serving.operations.answers import Error
from driftline.serving.operations.registry import Operation

_ABOUT = {
    304: "It is as that ETag says.",
    400: "A parameter or the body is wrong.",
    401: "No token, or none that is known.",
    403: "This caller may not do this.",
    404: "What is named does not exist.",
    406: "No accepted type can be written.",
    408: "The body came too slowly.",
    409: "Something that exists is in the way, or there is too little to decide by (`undecided`).",
    412: "It is not as If-Match or If-None-Match says.",
    413: "The body is too long.",
    415: "The body's type is not read.",
    424: "The model refused the rows.",
    429: "Too many; ask again later.",
    503: "Not now: a store does not answer.",
    504: "The model took too long.",
}
# Any operation may answer with them.
_ALWAYS = (400, 401, 403, 429, 503)


def responses_of(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Return the statuses of an operation's errors, as FastAPI documents them."""
    statuses = {*operation.errors}
    if operation.method in ("POST", "PUT", "PATCH"):
        statuses |= {408, 409, 413, 415}
    if "{" in operation.path:
        statuses.add(404)
    return errors_of(*statuses)


def errors_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return statuses of errors as FastAPI documents them."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": _ABOUT[status]} | ({} if status == 304 else {"model": Error})
        for status in sorted({*_ALWAYS, *statuses})
    }
    return found | {"default": {"description": "Any other error.", "model": Error}}
