"""Lines of SageMaker's data capture to records of the spool, and rows of the table back to lines.

What a line has and the table has no column for (its keys' order, an encoding that its Content-Type
does not imply, a missing side) is kept as a few letters of JSON in the column ``line_form``, which
a table has only once such lines came; so an export gives the same bytes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from driftline.capture.spool.frame import Frame, Kind, pack_meta, unpack_meta
from driftline.capture.tables.dataset import FORM
from driftline.formats.capture_line import CaptureLine, LineError, Side, encoding_of

# What of a request's first row makes its line; the form, too, where the table has it.
LINE_COLUMNS = (
    "event_id", "inference_id", "event_time", "request_content_type", "response_content_type",
    "request_body", "response_body", "custom_attributes",
)  # fmt: skip
_ANSWERED = 200
_LAST_NS = 2**63 - 1  # In 2262; a table's times are counted from such.
_STANDARD = CaptureLine("", None, None, None)


def frame_of(line: CaptureLine, seq: int, *, endpoint: str, variant: str) -> Frame:
    """Return the record of a line, as if it had been captured here when it was answered.

    SageMaker captures only answered requests, so the status is 200; the latency is unknown.
    """
    if not line.event_id:
        raise LineError("no eventMetadata.eventId; expected the request's id")
    if line.time is None:
        raise LineError("no eventMetadata.inferenceTime; expected when it was answered")
    time_ns = _nanoseconds(line.time)
    if not 0 <= time_ns <= _LAST_NS:
        raise LineError(f"inferenceTime of the year {line.time.year}; expected 1970 to 2261")
    request, response = _content(line.request), _content(line.response)
    told = {
        "endpoint": endpoint,
        "variant": variant,
        "rate": "1",
        "event_id": line.event_id,
        "inference_id": line.inference_id,
        "request_content_type": line.request.content_type if line.request else None,
        "response_content_type": line.response.content_type if line.response else None,
        "custom_attributes": ",".join(line.custom_attributes) or None,
    }
    meta = {name: value for name, value in told.items() if value is not None}
    if unpack_meta(pack_meta(meta)) != meta:
        raise LineError(
            "ids, content types or customAttributes that cannot be kept whole; expected at most "
            "64 KiB of Unicode without NUL"
        )
    return Frame(
        Kind.RECORD, 0, seq, time_ns, 0, 0, 0, len(request), len(response), _ANSWERED,
        meta, request, response,
    )  # fmt: skip


def form_of(line: CaptureLine, inference_id: str | None) -> str | None:
    """Return how a line differs from the one that would be written for its row; None: not at all.

    ``inference_id``: the row's; a body may name one that the line's event does not.
    """
    form: dict[str, Any] = {}
    if line.order != _STANDARD.order:
        form["order"] = list(line.order)
    if line.is_ascii:
        form["ascii"] = True
    for name, side in (("input", line.request), ("output", line.response)):
        if side is None:
            form[name] = None
        elif side.encoding != encoding_of(side.content_type, side.content):
            form[name] = side.encoding
    if inference_id is not None and line.inference_id is None:
        form["id"] = None
    if len(line.custom_attributes) > 1:
        form["attributes"] = list(line.custom_attributes)
    return json.dumps(form, separators=(",", ":")) if form else None


def lines_of(rows: pa.Table) -> Iterator[CaptureLine]:
    """Return the line of each of these rows, the first ones of requests, in their order."""
    columns = [rows[name].to_pylist() for name in LINE_COLUMNS]
    forms = rows[FORM].to_pylist() if FORM in rows.column_names else [None] * rows.num_rows
    for (event_id, inference_id, time, asked, replied, request, response, custom), form in zip(
        zip(*columns, strict=True), forms, strict=True
    ):
        line = CaptureLine(
            event_id=event_id,
            time=time,
            request=_side(request, asked),
            response=_side(response, replied),
            inference_id=inference_id,
            custom_attributes=(custom,) if custom else (),
        )
        yield line if form is None else _formed(line, json.loads(form))


def _formed(line: CaptureLine, form: dict[str, Any]) -> CaptureLine:
    sides = {"input": line.request, "output": line.response}
    for name, side in sides.items():
        if name in form:
            encoding = form[name]
            is_there = encoding is not None and side is not None
            sides[name] = replace(side, encoding=encoding) if is_there and side else None
    return replace(
        line,
        request=sides["input"],
        response=sides["output"],
        inference_id=None if "id" in form else line.inference_id,
        custom_attributes=tuple(form.get("attributes", line.custom_attributes)),
        order=tuple(form.get("order", line.order)),
        is_ascii=form.get("ascii", False),
    )


def _side(body: bytes | None, content_type: str | None) -> Side:
    content = body or b""
    return Side(content, content_type, encoding_of(content_type, content))


def _content(side: Side | None) -> bytes:
    return b"" if side is None else side.content


def _nanoseconds(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
