"""The child process that runs a record script: started by path, standard library only.

It reads a record a line from standard input and answers each with a line on a descriptor of its
own, so that the script's prints cannot be taken for answers. A watchdog writes the line that hangs
or crashes into a file that the parent reads.
"""

from __future__ import annotations

import faulthandler
import inspect
import json
import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

# The watchdog is set anew after so many seconds, not for each record.
REARM_S = 0.5
# Characters of an exception's text that are passed on.
TOLD_WIDTH = 1000


class EventData:
    """One side of a captured request, as SageMaker hands it to scripts."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.encoding = found.get("encoding")
        self.data = found.get("data")
        self.observedContentType = found.get("observedContentType")
        self.mode = found.get("mode")

    def as_dict(self) -> dict[str, Any]:
        """Return the side as SageMaker's class does: without its mode."""
        return {
            "encoding": self.encoding,
            "data": self.data,
            "observedContentType": self.observedContentType,
        }


class EventMetadata:
    """Metadata of a captured request, as SageMaker hands it to scripts."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.event_id = found.get("eventId")
        self.event_time = found.get("inferenceTime")
        self.custom_attribute = found.get("customAttributes")
        self.inference_id = found.get("inferenceId")


class _Sides:
    """The sides under the names of 2019: ``inference_record.event_data.endpointInput``."""

    def __init__(self, record: CapturedData) -> None:
        self.endpointInput = record.endpoint_input
        self.endpointOutput = record.endpoint_output
        self.batchTransformOutput = record.batch_transform_output


class CapturedData:
    """One captured request, as SageMaker hands it to scripts."""

    def __init__(self, event_dict: dict[str, Any]) -> None:
        self.event_dict = event_dict
        captured = event_dict.get("captureData") or {}
        self.endpoint_input = _side(captured.get("endpointInput"))
        self.endpoint_output = _side(captured.get("endpointOutput"))
        self.batch_transform_output = _side(captured.get("batchTransformOutput"))
        self.ground_truth = _side(event_dict.get("groundTruthData"))
        metadata = event_dict.get("eventMetadata")
        self.event_metadata = None if metadata is None else EventMetadata(metadata)
        self.event_version = event_dict.get("eventVersion")
        self.event_data = _Sides(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as it was captured, with what the script changed in its sides."""
        captured = self.event_dict.get("captureData") or {}
        sides = {
            "endpointInput": self.endpoint_input,
            "endpointOutput": self.endpoint_output,
            "batchTransformOutput": self.batch_transform_output,
        }
        for name, side in sides.items():
            if name in captured and side is not None:
                captured[name] = side.as_dict()
        return self.event_dict


def _side(found: dict[str, Any] | None) -> EventData | None:
    return None if found is None else EventData(found)


class _Failed(Exception):  # noqa: N818 - carries an answer to the parent.
    """The script cannot be used, or failed; reported to the parent."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self.told = told


def main() -> None:
    """Call the handler of the arguments' script on each line of standard input."""
    script, handler, record_s, *descriptors = sys.argv[1:]
    answers, faults = map(int, descriptors)
    # Standard input and output belong to the protocol; the script gets others in their place.
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.set_inheritable(answers, False)
    os.set_inheritable(faults, False)
    faulthandler.enable(faults, all_threads=False)
    random.seed(0)  # Equal data give equal documents, sampled ones too.
    with os.fdopen(answers, "w", encoding="ascii") as out:
        watch = _Watch(float(record_s), faults, out)
        try:
            call = _load(script, handler, watch)
            for count, line in enumerate(requests, 1):
                watch.beat()
                try:
                    found = call(json.loads(line))
                    watch.answer([] if handler == "postprocess_handler" else _rows(found))
                except BaseException as error:  # noqa: BLE001 - whatever the script raises
                    raise _Failed({**_told(error, script), "record": count}) from None
            watch.answer(None)
        except _Failed as failed:
            watch.answer(failed.told)
        faulthandler.cancel_dump_traceback_later()


class _Watch:
    """Sends answers, and ends the process, reporting the line, when a record takes too long."""

    def __init__(self, limit_s: float, faults: int, out: TextIO) -> None:
        self._limit_s, self._faults, self._out = limit_s, faults, out
        self._set_at = 0.0

    def answer(self, value: object) -> None:
        """Send a line."""
        self._out.write(json.dumps(value) + "\n")

    def beat(self) -> None:
        """Restart the time of a record, and sometimes send what was answered."""
        now = time.monotonic()
        if now - self._set_at > REARM_S:
            faulthandler.dump_traceback_later(self._limit_s, exit=True, file=self._faults)
            self._set_at = now
            self._out.flush()


def _load(script: str, name: str, watch: _Watch) -> Callable[[Any], Any]:
    """Run the script's file and return its handler, with the logger bound if it takes one."""
    logger = logging.getLogger("record_script")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    space: dict[str, Any] = {"__name__": "record_script", "__file__": script}
    watch.beat()
    try:
        code = compile(Path(script).read_bytes(), script, "exec")
        exec(code, space)  # noqa: S102 - that is what a record script is for.
    except BaseException as error:  # noqa: BLE001 - whatever the script raises, SystemExit too
        raise _Failed(_told(error, script)) from None
    handler = space.get(name)
    if not callable(handler):
        raise _Failed({"missing": True})
    if name == "postprocess_handler":
        return lambda _: handler()
    more = [logger] if _argument_count(handler) > 1 else []
    return lambda one: handler(CapturedData(one) if isinstance(one, dict) else one, *more)


def _argument_count(handler: Callable[..., Any]) -> int:
    try:
        found = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional for one in found)


def _rows(found: Any) -> list[dict[str, str | None]]:  # noqa: ANN401 - whatever the script gives
    """Return the rows of a handler's result as text: one, several, or none to drop the record."""
    if found is None:
        raise TypeError("preprocess_handler gave None; expected a dict, a list of dicts, or []")
    rows = [found] if isinstance(found, dict) else found
    if not isinstance(rows, list | tuple) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(
            f"preprocess_handler gave {type(found).__name__}; "
            "expected a dict, a list of dicts, or []"
        )
    named = [{_utf8(str(key)): _text(one) for key, one in row.items()} for row in rows if row]
    if any(len(one) < len(row) for one, row in zip(named, filter(None, rows), strict=True)):
        raise ValueError("preprocess_handler gave two keys that are one as text, such as 1 and '1'")
    return named


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever the script gives
    """Write a value as in a CSV file."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # A number of numpy.
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        value = json.dumps(value, default=str)
    return _utf8(str(value))


def _told(error: BaseException, script: str) -> dict[str, Any]:
    """Return an error's line in the script and its message."""
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == script:
        line = error.lineno
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == script:
            line = frame.lineno
    said = " ".join(traceback.format_exception_only(error)[-1].split())
    return {"line": line, "type": type(error).__name__, "said": said[:TOLD_WIDTH]}


if __name__ == "__main__":
    main()
