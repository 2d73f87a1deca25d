"""The OpenAPI document: FastAPI's own, completed once, when it is first asked for.

Added are ids, summaries, the forms of answers and errors with every status, descriptions of
parameters, and examples, which `tests/serving/api_yard.py` records from a real server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from driftline import __version__
from driftline.serving.api.answers import Error
from driftline.serving.api.operations import INVOCATIONS, JSON, Operation
from driftline.serving.api.operations import OPERATIONS as ROUTES
from driftline.serving.authorization import ROLES
from driftline.serving.operations.registry import OPERATIONS as DECLARED

OPERATIONS = {
    **ROUTES,
    **{
        key: Operation(one.id, one.form, one.errors, one.media, one.takes or None)
        for key, one in DECLARED.items()
    },
}
EXAMPLES = Path(__file__).with_name("examples.json")
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
"""
# Of every status that is no success: its code word, what it means, and a sentence of it.
_ERRORS: Mapping[int, tuple[str, str, str]] = {
    400: ("bad_request", "A parameter or the body is wrong", "limit: 0; expected 1 or more"),
    401: ("unauthorized", "No token, or none that is known", "no token, or none that is valid"),
    403: (
        "forbidden",
        "This caller may not do this",
        '"ada" has viewer; this takes the role operator',
    ),
    404: ("not_found", "What is named does not exist", 'Monitor "qualty" does not exist'),
    406: ("not_acceptable", "No accepted type can be written", 'Accept is "image/png"'),
    408: ("too_slow", "The body came too slowly", "the body did not come within 60 s"),
    409: (
        "conflict",
        "Something that exists is in the way, or there is too little to decide by (`undecided`)",
        'Monitor "quality" needs it',
    ),
    412: (
        "changed",
        "It is not as If-Match or If-None-Match says",
        'Monitor "quality" is of generation 3',
    ),
    413: ("too_large", "The body is too long", "the body has more than 26214400 bytes, the limit"),
    415: ("unsupported_media_type", "The body's type is not read", 'Content-Type is "image/png"'),
    424: ("model_error", "The model refused the rows", "the model refused the rows: Input X"),
    429: ("throttled", "Too many; ask again later", '"ada" has used up its requests'),
    503: (
        "unavailable",
        "Not now: a store does not answer",
        "the database does not answer; the server's log says why",
    ),
    504: ("timed_out", "The model took too long", "no answer within 60 s"),
}
_OTHER = ("internal", "Any other error", "GET /api/v1/counts failed; the server's log says why")
_WITH_BODY = (408, 413, 415)
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
_ETAG = '"1-5f0c7b8a9d3e2f10"'
# By name: what a parameter is, and an example.
_PARAMETERS: Mapping[str, tuple[str, object]] = {
    "alarm": ("Only those of this alarm.", "orders"),
    "carrier": ("Only those that this message carries.", "msg_032AaBMGwLYdPu4XLJaGHV"),
    "channel": ("Only what goes to this channel.", "pager"),
    "children_of": ("Only alarms that this composite looks at.", "shop"),
    "collection": ("A kind of resource.", "monitors"),
    "detector_id": ("The detector's id.", "e5dabb63525651416363eeab23660404"),
    "dimension": ("NAME or NAME=VALUE; all that are given must be there.", ["Region=north"]),
    "endpoint": ("Only those of this endpoint.", "flights"),
    "execution_id": ("The execution's id.", "0f76e2b1-8922-5c4f-b791-d0ac324129e0"),
    "expect": ("What the logger sends of each inference.", "both"),
    "format": ("The form of the file.", "csv"),
    "from": ("Begin here; included.", "2026-01-12T00:00:00Z"),
    "hour": ("The start of the hour.", "2026-01-12T07:00:00Z"),
    "id": ("The column with the event id or inference id.", "id"),
    "identity": ("The mark's id.", 1),
    "if-match": ("The ETag that the resource came with.", _ETAG),
    "if-none-match": ("The ETag of an answer that is known; * where it must be new.", _ETAG),
    "inference_id": ("The inference id that the request was accepted with.", "customer-81"),
    "kind": ("Only alarms of this kind.", "metric"),
    "label": ("The column with the label.", "label"),
    "limit": ("So many at most.", 50),
    "message": ("Only attempts of this message.", "msg_032AaBMGwLYdPu4XLJaGHV"),
    "message_id": ("The message's id.", "msg_032AaBMGwLYdPu4XLJaGHV"),
    "metric_name": ("Only those of this metric.", "Orders"),
    "name": ("Only metrics of this name.", "Orders"),
    "name_contains": ("Only names with this text.", "march"),
    "namespace": ("Only metrics of this namespace.", "Shop"),
    "next_token": ("`next_token` of the page before, with the same filters.", None),
    "of": ("Of this server alone, of the installation alone, or all.", "all"),
    "owner": ("Only those of this owner.", "ada"),
    "order": ("Which come first.", "newest"),
    "parents_of": ("Only composites that look at this alarm.", "orders"),
    "prefix": ("Only names that begin so.", "ord"),
    "recently_active": ("Only metrics with data in the last three hours.", "PT3H"),
    "reference": ("The version that the other is compared with: number or digest.", "1"),
    "row_index": ("The column with the row's place in its request.", "row_index"),
    "since": ("Begin here; included.", "2026-01-12T00:00:00Z"),
    "start": ("Begin here; included.", "2026-01-12T00:00:00Z"),
    "end": ("End here; left out.", "2026-01-16T00:00:00Z"),
    "state": ("Only alarms in this state.", "ALARM"),
    "status": ("Only those in this status.", "open"),
    "subject": ("Only what this caller did.", "ada"),
    "tag": ("KEY=VALUE; several must all be there.", ["team=shop"]),
    "target": ("Only what was done to this.", "Monitor/quality"),
    "to": ("End here; left out.", "2026-01-16T00:00:00Z"),
    "type": ("Only items of this type.", "StateUpdate"),
    "until": ("End here; left out.", "2026-01-16T00:00:00Z"),
    "variant": ("The endpoint's variant.", "AllTraffic"),
    "verdict": ("Only those that say this.", "expected"),
    "version": ("A version, by its number or its digest.", "2"),
    "violation": ("The violation's place in the report, from 0.", 0),
    "x-amzn-sagemaker-filename": ("The end of the answer's file name.", "march.csv"),
    "x-amzn-sagemaker-inference-id": ("An id of your own for the request.", "customer-81"),
    "x-amzn-sagemaker-inputlocation": (
        "A file in place of a body, as path or URI.",
        "/var/lib/driftline/outputs/reports/march.csv",
    ),
    "x-amzn-sagemaker-invocationtimeoutseconds": ("Seconds that the model may take.", 900),
    "x-amzn-sagemaker-requestttlseconds": ("Seconds that the request may wait.", 21_600),
    "x-amzn-sagemaker-s3outputpathextension": ("Folders below the outputs.", "2026/march"),
}
_STATUS_OF = {
    "/deliveries": ("Only those in this status.", "delivered"),
    "/transform-jobs": ("Only those in this status.", "InProgress"),
    "/monitors/{name}/executions": ("Only those in these statuses.", ["Failed"]),
}


def document_of(api: FastAPI) -> dict[str, Any]:
    """Return an application's document, completed."""
    found = get_openapi(
        title="driftline", version=__version__, description=_ABOUT, routes=api.routes
    )
    found["paths"][INVOCATIONS] = {"post": _invocations()}
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    schemas, shared = _schemas()
    components = found["components"]
    kept = {key: one for key, one in components["schemas"].items() if "ValidationError" not in key}
    components["schemas"] = dict(sorted((kept | shared).items()))
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}, {}]
    components["responses"] = {
        str(status): _error(*about, status=status) for status, about in _ERRORS.items()
    } | {
        "default": _error(*_OTHER),
        "304": {"description": "It is as that ETag says."},
    }
    for method, path, operation in operations_of(found):
        key = f"{method} {path}"
        # A route that is in no table yet is told all the same; a test finds it.
        about = OPERATIONS.get(key, Operation(operation.get("operationId", "")))
        _complete(key, operation, about, schemas, examples.get(key, {}))
    return found


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return the operations of a document: method, path, and what it says of them."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


def answers_of(
    document: Mapping[str, Any], operation: Mapping[str, Any]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the answers of an operation by status, those that operations share looked up."""
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
    }


def _invocations() -> dict[str, Any]:
    """Describe the route that FastAPI does not know."""
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "tags": ["predictions"],
        "description": _INVOKE,
        "parameters": [name],
        "responses": {"200": {"description": "Successful Response"}},
    }


class _AnswerSchema(GenerateJsonSchema):
    """Answers have every field of a class, also those with a default."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ANN401 - pydantic's own
        """Whether a field is always there."""
        is_sent = self.mode == "serialization" and field["type"] == "dataclass-field"
        return is_sent or super().field_is_required(field, total)


def _schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of answers and bodies by operation, and what they share by name."""
    wanted: list[Any] = [("error", "serialization", TypeAdapter(Error))]
    for key, operation in OPERATIONS.items():
        if operation.answer is not None:
            wanted.append((key, "serialization", TypeAdapter(operation.answer)))
        if _has_form(operation):
            wanted.append((key, "validation", TypeAdapter(operation.body)))
    found, shared = TypeAdapter.json_schemas(
        wanted, ref_template=_REF, schema_generator=_AnswerSchema
    )
    return {f"{mode} {key}": schema for (key, mode), schema in found.items()}, shared["$defs"]


def _has_form(operation: Operation) -> bool:
    return operation.body is not None and not isinstance(operation.body, tuple)


def _complete(
    key: str,
    operation: dict[str, Any],
    about: Operation,
    schemas: Mapping[str, Any],
    example: Mapping[str, Any],
) -> None:
    """Complete one operation."""
    text = re.sub(r"``", "`", operation["description"])
    operation["operationId"] = about.id
    operation["summary"] = re.split(r"[.:;] |\.?\n|\.$", text, maxsplit=1)[0]
    role = DECLARED[key].role if key in DECLARED else ROLES.get(key, "invoke")
    needs = "Needs no role." if role == "anyone" else f"Needs the role `{role}`."
    operation["description"] = f"{text}\n\n{needs}"
    for parameter in operation.get("parameters", ()):
        _describe(key, parameter)
    if about.body is not None:
        media = about.body if isinstance(about.body, tuple) else (JSON,)
        form = schemas.get(f"validation {key}", {"type": "string"})
        operation["requestBody"] = {"required": True, "content": _content(media, form)}
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        if media == "*/*" and "request" in example:
            content["example"] = json.dumps(example["request"])
        elif media == example.get("request_type"):
            content["example"] = example["request"]
    success = next(iter(operation["responses"]))
    answer: dict[str, Any] = {"description": f"{operation['summary']}."}
    if success != "204":
        form = schemas.get(f"serialization {key}", {"type": "string"})
        answer["content"] = _content(about.media, form)
        if (written := example.get("answer_type")) in answer["content"]:
            answer["content"][written]["example"] = example["answer"]
    operation["responses"] = {success: answer} | {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in _statuses(key, operation, about)
    }
    if key == "GET /readyz":
        operation["responses"]["503"] = answer | {"description": "Not ready, and why."}


def _content(media: tuple[str, ...], form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of media types: of texts that are no JSON only that they are texts."""
    return {one: {"schema": form if one == JSON else {"type": "string"}} for one in media}


def _statuses(key: str, operation: Mapping[str, Any], about: Operation) -> list[object]:
    """Return the statuses of errors: those of what it has, and its own."""
    asks = operation.get("parameters") or "requestBody" in operation
    found = {401, 403, 409, 429, 503, *about.errors, *((400,) if asks else ())}
    if any(one["in"] == "path" for one in operation.get("parameters", ())):
        found.add(404)
    if "requestBody" in operation:
        found.update(_WITH_BODY)
    return [*sorted(found - {503} if key == "GET /healthz" else found), "default"]


def _describe(key: str, parameter: dict[str, Any]) -> None:
    name, method_path = parameter["name"], key.partition("/api/v1")[2]
    about, example = _PARAMETERS.get(name, ("", None))
    if name == "name" and parameter["in"] == "path":
        noun = key.partition("{name}")[0].rstrip("/").rpartition("/")[2].rstrip("s")
        about, example = f"The {noun}'s name.", _NAMES.get(noun, "quality")
    elif name == "status":
        about, example = _STATUS_OF.get(method_path, (about, example))
    parameter.setdefault("description", about)
    if '"date"' in json.dumps(parameter["schema"]):
        example = str(example)[:10]
    if example is not None:
        parameter["example"] = example
    parameter["schema"].pop("title", None)


_NAMES = {
    "endpoint": "flights", "baseline": "flights", "channel": "pager", "alarm": "orders",
    "silence": "roll-out", "transform-job": "march",
}  # fmt: skip


def _error(code: str, about: str, message: str, *, status: int = 500) -> dict[str, Any]:
    """Return the answer of one status."""
    example = {"error": {"code": code, "message": message}}
    schema = {"$ref": _REF.format(model="Error")}
    found = {"description": f"{about}.", "content": {JSON: {"schema": schema, "example": example}}}
    return found | ({"headers": _RETRY} if status in (429, 503) else {})
