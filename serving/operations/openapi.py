"""The OpenAPI document: FastAPI's own, with the invocations route, which FastAPI does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from driftline import __version__
from driftline.serving.bodies.media_types import MEDIA_TYPES
from driftline.serving.operations.answers import Predictions
from driftline.serving.operations.errors import errors_of

INVOCATIONS = "/endpoints/{name}/invocations"
_REF = "#/components/schemas/{model}"
_ABOUT = (
    "Monitoring of models in production: what was captured, judged, and whom it woke. "
    "Every error has one form, `Error`; times are RFC 3339 in UTC. Lists come in pages of `limit` "
    "items: `next_token` of an answer asks for the next page, and is null on the last. Each item "
    "comes once, whatever is added or deleted meanwhile."
)
_INVOKE = """Answer rows by the endpoint's model, and capture both.

`text/csv` (rows without header), `application/json` (`{"instances": […]}`, a list of rows, or one
row) or `application/jsonlines`. The header `x-amzn-RequestId` of the answer is the event's id.

Needs the role `invoke`.
"""


def document_of(api: FastAPI) -> dict[str, Any]:
    """Return an application's document."""
    found = get_openapi(
        title="driftline", version=__version__, description=_ABOUT, routes=api.routes
    )
    components = found["components"]
    answer = TypeAdapter(Predictions).json_schema(ref_template=_REF, mode="serialization")
    components["schemas"] |= answer.pop("$defs", {}) | {"Predictions": answer}
    found["paths"][INVOCATIONS] = {"post": _invocations()}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}, {}]
    for _, _, operation in operations_of(found):
        operation["responses"].pop("422", None)  # What is wrong is answered with 400.
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return found


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return the operations of a document: method, path, and what it says of them."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


def _invocations() -> dict[str, Any]:
    name = {
        "name": "name", "in": "path", "required": True, "schema": {"type": "string"},
        "description": "The endpoint's name.",
    }  # fmt: skip
    text = {"schema": {"type": "string"}}
    form = {"schema": {"$ref": _REF.format(model="Predictions")}}
    media = dict.fromkeys(MEDIA_TYPES.values(), text)
    errors = {
        str(status): {
            "description": one["description"],
            "content": {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}},
        }
        for status, one in errors_of(404, 406, 408, 413, 415, 424, 504).items()
    }
    return {
        "tags": ["predictions"],
        "operationId": "invoke",
        "summary": "Answer rows by the endpoint's model, and capture both",
        "description": _INVOKE,
        "parameters": [name],
        "requestBody": {"required": True, "content": media},
        "responses": {
            "200": {"description": "Predictions.", "content": media | {"application/json": form}},
            **errors,
        },
    }
