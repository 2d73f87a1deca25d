"""One line of SageMaker's data capture: JSON text to a record, and back to the same bytes.

Standard library only: data sets (baseline) and captured records (capture) are read by this one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from driftline.errors import InputError
from driftline.formats.media_types import TEXT_FORMATS, media_type

Encoding = Literal["CSV", "JSON", "BASE64"]

_ENCODINGS: dict[str | None, Encoding] = {"csv": "CSV", "json": "JSON", "jsonlines": "JSON"}
# As endpoints write them; files of the SDK's tests have other orders, so a line keeps its own.
_ORDER = ("captureData", "eventMetadata", "eventVersion")
_INPUT, _OUTPUT = "endpointInput", "endpointOutput"


class LineError(InputError):
    """A line is no record of SageMaker's data capture; without its place."""


@dataclass(frozen=True, slots=True)
class Side:
    """The request or the response: the bytes as sent, their Content-Type, and their encoding.

    ``content_type`` None: the container named none.
    """

    content: bytes
    content_type: str | None
    encoding: Encoding

    @property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 is replaced."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class CaptureLine:
    """One captured request."""

    event_id: str
    # When it was answered, aware UTC, in whole seconds; None: the line does not say.
    time: datetime | None
    request: Side | None
    response: Side | None
    inference_id: str | None = None
    custom_attributes: tuple[str, ...] = ()
    # Of the line's keys.
    order: tuple[str, ...] = _ORDER
    # Whether letters beyond ASCII are written as escapes.
    is_ascii: bool = False


def encoding_of(content_type: str | None, content: bytes) -> Encoding:
    """Choose how a line has a body, by its media type; what is no UTF-8 can only be BASE64."""
    # SageMaker's SDK lists text/csv and application/json; the others are what its users add.
    name = TEXT_FORMATS.get(media_type(content_type or ""))
    found = _ENCODINGS.get(name, "BASE64")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "BASE64"
    return found


def read_line(text: str | bytes) -> CaptureLine:
    """Read one line."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not the error's own sentence where it may quote the line.
        told = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise LineError(f"no JSON ({told}); expected one object a line") from None
    return read_record(record, is_ascii=text.isascii())


def read_record(record: object, *, is_ascii: bool = False, needs_time: bool = True) -> CaptureLine:
    """Read a parsed line; keys of any order, also a record that ground truth was merged into.

    Without ``needs_time`` the time is left out, whatever it is.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("captureData"), Mapping):
        raise LineError(
            'no captureData; expected {"captureData": {"endpointInput": …, "endpointOutput": …}, '
            '"eventMetadata": {"eventId": "…", "inferenceTime": "…"}, "eventVersion": "0"}'
        )
    data, event = record["captureData"], record.get("eventMetadata")
    event = event if isinstance(event, Mapping) else {}
    request = _side(data.get(_INPUT), _INPUT)
    response = _side(data.get(_OUTPUT) or data.get("batchTransformOutput"), _OUTPUT)
    if request is None and response is None:
        raise LineError("captureData has neither endpointInput nor endpointOutput")
    attributes = event.get("customAttributes") or []
    known = {key: None for key in record if key in _ORDER} | dict.fromkeys(_ORDER)
    line = CaptureLine(
        event_id=_text(event.get("eventId"), "eventId") or "",
        time=_time(event.get("inferenceTime")) if needs_time else None,
        request=request,
        response=response,
        inference_id=_text(event.get("inferenceId"), "inferenceId"),
        custom_attributes=tuple(
            str(one) for one in (attributes if isinstance(attributes, list) else [attributes])
        ),
        order=tuple(known),
    )
    return replace(line, is_ascii=True) if is_ascii and not _is_plain(line) else line


def write_line(line: CaptureLine) -> str:
    """Write one line, without its line end, byte for byte as SageMaker's endpoints do.

    Compact JSON; keys in the order of AWS: sides as type, mode, data, encoding; the event as id,
    attributes, caller's id, time; the time in whole seconds.
    """
    sides = ((_INPUT, "INPUT", line.request), (_OUTPUT, "OUTPUT", line.response))
    event: dict[str, Any] = {"eventId": line.event_id}
    if line.custom_attributes:
        event["customAttributes"] = list(line.custom_attributes)
    if line.inference_id is not None:
        event["inferenceId"] = line.inference_id
    if line.time is not None:
        event["inferenceTime"] = f"{line.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    parts: dict[str, Any] = {
        "captureData": {
            name: {
                "observedContentType": side.content_type,
                "mode": mode,
                "data": _data(side),
                "encoding": side.encoding,
            }
            for name, mode, side in sides
            if side is not None
        },
        "eventMetadata": event,
        "eventVersion": "0",
    }
    ordered = {key: parts[key] for key in line.order}
    return json.dumps(ordered, ensure_ascii=line.is_ascii, separators=(",", ":"))


def _is_plain(line: CaptureLine) -> bool:
    """Whether no escape is needed to write a line in ASCII."""
    sides = (side for side in (line.request, line.response) if side and side.encoding != "BASE64")
    texts = (line.event_id, line.inference_id or "", *line.custom_attributes)
    return all(side.content.isascii() for side in sides) and all(map(str.isascii, texts))


def _side(side: object, name: str) -> Side | None:
    if side is None:
        return None
    if not isinstance(side, Mapping) or "data" not in side:
        raise LineError(f"{name} has no data; expected data and encoding")
    data, encoding = side["data"], side.get("encoding", "CSV")
    if isinstance(data, Mapping | list):
        # Written by hand: JSON as itself instead of as text.
        data, encoding = json.dumps(data, ensure_ascii=False), "JSON"
    if not isinstance(data, str):
        raise LineError(f"{name} has data that is no text; expected the body as text")
    if encoding not in ("CSV", "JSON", "BASE64"):
        raise LineError(f"{name} has encoding {str(encoding)[:40]}; expected CSV, JSON or BASE64")
    try:
        content = (
            base64.b64decode(data, validate=True) if encoding == "BASE64" else data.encode("utf-8")
        )
    except (binascii.Error, UnicodeError, ValueError):
        raise LineError(f"{name} has data that is not {encoding} in UTF-8") from None
    found = side.get("observedContentType")
    return Side(content, found if isinstance(found, str) else None, encoding)


def _data(side: Side) -> str:
    if side.encoding == "BASE64":
        return base64.b64encode(side.content).decode("ascii")
    return side.content.decode("utf-8")


def _text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise LineError(f"{name} is no text")


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise LineError(
            f"inferenceTime {json.dumps(value)[:40]}; expected a time such as 2026-01-15T12:00:00Z"
        ) from None
