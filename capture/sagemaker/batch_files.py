"""Batch Transform's capture: manifests of inputs and outputs, and the rows that they name.

``<prefix>/input/yyyy/mm/dd/hh/…`` and ``<prefix>/output/…`` hold manifests: a JSON list of the
location and the names of objects; an output is named as its input with ``.out``. A line of an input
and the same line of its output are one prediction. With inference ids each output line ends in ``,
<uuid>,<start of the job>``, or its object has ``SageMakerInferenceId`` and ``…Time``.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from driftline.errors import InputError
from driftline.formats.capture_line import CaptureLine, LineError, Side

_BATCHES = uuid.UUID("d6a7a9f2-8f0c-5c0e-9a0b-3a2c6d5e4b03")
_PLACE = re.compile(r"(?:^|/)(input|output)/(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]+$")
_CSV_ID = re.compile(r"^(?:(.*?),\s*)?([0-9A-Za-z][0-9A-Za-z-]{7,63}),\s*([0-9T:.+Z-]{16,35})$")
_ID, _TIME, _OUTPUT = "SageMakerInferenceId", "SageMakerInferenceTime", "SageMakerOutput"
_CSV, _LINES = "text/csv", "application/jsonlines"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The objects of one manifest: ``prefix`` + each name; of inputs, or of outputs."""

    is_output: bool
    hour: datetime
    prefix: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchObject:
    """An output and, where it is known, its input, as URIs, and the hour of the manifest."""

    output: str
    input: str | None
    hour: datetime


def is_manifest(path: str) -> bool:
    """Whether a path is one of a manifest."""
    return _PLACE.search(path) is not None


def read_manifest(path: str, text: str | bytes) -> Manifest:
    """Read a manifest; its path says of what and of which hour it is."""
    place = _PLACE.search(path)
    if place is None:
        raise InputError(
            f"{path}: no manifest of Batch Transform; expected it in input/yyyy/mm/dd/hh/ or "
            "output/yyyy/mm/dd/hh/"
        )
    try:
        listed = json.loads(text)
        prefix, names = listed[0]["prefix"], listed[1:]
        hour = datetime(*(int(part) for part in place.groups()[1:]), tzinfo=UTC)  # type: ignore[arg-type,misc]  # Four numbers: year to hour.
    except (ValueError, LookupError, TypeError, RecursionError):
        prefix, names = None, []
    if not isinstance(prefix, str) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: no manifest; expected [{{"prefix": "s3://…/"}}, "name", …]')
    return Manifest(place[1] == "output", hour, prefix, tuple(names))


def pair_objects(manifests: Iterable[Manifest]) -> list[BatchObject]:
    """Find the input of each output, by its name, in the order of the outputs."""
    inputs: dict[str, str] = {}
    outputs: dict[str, datetime] = {}
    for manifest in manifests:
        for name in manifest.names:
            if manifest.is_output:
                outputs.setdefault(manifest.prefix + name, manifest.hour)
            else:
                inputs.setdefault(name, manifest.prefix + name)
    objects = []
    for output, hour in outputs.items():
        # What it is called after however many folders, the longest name first.
        parts = output.removesuffix(".out").split("/")
        ends = ("/".join(parts[at:]) for at in range(len(parts)))
        chosen = next((inputs[end] for end in ends if end in inputs), None)
        objects.append(BatchObject(output, chosen, hour))
    return objects


def pair_lines(
    output: Iterable[tuple[int, bytes]],
    requests: Iterable[tuple[int, bytes]] | None,
    sources: BatchObject,
) -> Iterator[tuple[int, CaptureLine | LineError]]:
    """Make a record of each line of an output and the same line of its input; or say why not."""
    asked = None if requests is None else _filled(requests)
    for number, text in _filled(output):
        request = None if asked is None else next(asked, None)
        if asked is not None and request is None:
            yield number, LineError(f"{sources.input} has no line for this one")
            continue
        try:
            yield number, _pair(text, None if request is None else request[1], sources, number)
        except LineError as error:
            yield number, error
    if asked is not None and (left := next(asked, None)) is not None:
        yield left[0], LineError(f"{sources.output} has no line for line {left[0]} of its input")


def batch_rows(line: CaptureLine) -> tuple[str, list[str], list[str]] | None:
    """Return a captured request as lines of a batch: its suffix, input lines and output lines.

    One line a row, each output with an id and the time: the event's id, with the row's number where
    there are several. None for bodies that are no text, or of unequal numbers of rows.
    """
    if line.request is None or line.response is None or line.time is None:
        return None
    if "BASE64" in (line.request.encoding, line.response.encoding):
        return None
    requests, answered = _rows(line.request), _rows(line.response)
    if len(requests) != len(answered) or not requests:
        return None
    at = f"{line.time:%Y-%m-%dT%H:%M:%SZ}"
    ids = [line.event_id]
    if len(requests) > 1:
        ids = [f"{line.event_id}-{row}" for row in range(len(requests))]
    is_csv = line.response.encoding == "CSV"
    outputs = [
        f"{text}, {key},{at}" if is_csv else _with_id(text, key, at)
        for text, key in zip(answered, ids, strict=True)
    ]
    return (".csv" if line.request.encoding == "CSV" else ".jsonl"), requests, outputs


def _rows(side: Side) -> list[str]:
    """Return a body's rows, a line each; a JSON document is one row, its line ends blanks."""
    text = side.text
    lines = [line.strip("\r") for line in text.split("\n") if line.strip()]
    if side.encoding == "CSV" or "lines" in (side.content_type or "") or len(lines) == 1:
        return lines
    # In JSON a line end can only stand between values, never inside of a text.
    return [" ".join(lines)]


def _with_id(text: str, key: str, at: str) -> str:
    id_fields = f"{json.dumps(_ID)}:{json.dumps(key)},{json.dumps(_TIME)}:{json.dumps(at)}}}"
    body = text.rstrip()
    if not body.endswith("}") or not body.startswith("{"):
        return f'{{"{_OUTPUT}":{body},{id_fields}'
    inner = body[:-1].rstrip()
    return f"{inner}{'' if inner == '{' else ','}{id_fields}"


def _pair(text: bytes, request: bytes | None, one: BatchObject, number: int) -> CaptureLine:
    try:
        answer = text.decode("utf-8").strip("\r\ufeff")
        asked = None if request is None else request.decode("utf-8").strip("\r\ufeff")
    except UnicodeDecodeError:
        raise LineError("no UTF-8") from None
    read = _of_json if answer.lstrip().startswith("{") else _of_csv
    key, time, given, answered = read(answer, asked)
    try:
        "".join((key or "", given or "", answered)).encode()
    except UnicodeEncodeError:
        raise LineError("half a surrogate pair; expected Unicode") from None
    return CaptureLine(
        event_id=key or str(uuid.uuid5(_BATCHES, f"{one.output}:{number}")),
        time=time or one.hour,
        request=None if given is None else _side(given),
        response=_side(answered),
    )


_Found = tuple[str | None, datetime | None, str | None, str]


def _of_json(answer: str, asked: str | None) -> _Found:
    try:
        document: dict[str, Any] = json.loads(answer)
    except (ValueError, RecursionError):
        raise LineError("no JSON; expected one object a line") from None
    key, time = document.pop(_ID, None), document.pop(_TIME, None)
    if _OUTPUT in document:
        # The job joined its input to its output.
        output = document.pop(_OUTPUT)
        request = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        asked = request if document else asked
        answered = json.dumps(output, separators=(",", ":"), ensure_ascii=False)
    elif key is None:
        answered = answer
    else:
        answered = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return (None if key is None else str(key)), _moment(time), asked, answered


def _of_csv(answer: str, asked: str | None) -> _Found:
    match = _CSV_ID.match(answer)
    time = None if match is None else _moment(match[3])
    key = None
    if match is not None and time is not None:
        key, answer = match[2], match[1] or ""
    if asked is not None and answer.startswith(f"{asked},"):
        answer = answer[len(asked) + 1 :]
    return key, time, asked, answer


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _side(text: str) -> Side:
    is_json = text.lstrip()[:1] in ("{", "[")
    return Side(text.encode(), _LINES if is_json else _CSV, "JSON" if is_json else "CSV")


def _filled(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    return ((number, text) for number, text in lines if text.strip())
