"""How processes log: one line per event on standard error, for people or for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from driftline.errors import DriftlineError

Format = Literal["text", "json"]

# A placeholder of a message's template, and the name that stands before it: "rows=%d".
_PLACEHOLDER = re.compile(r"(?:(\w+)=)?%[#0\- +]*\d*(?:\.\d+)?([a-zA-Z%])")
# Of these, libraries quote the value that they could not read: "could not convert string to float:
# 'Jane Doe'", and what is raised from one may quote it again. Where it happened tells as much.
_QUOTING = (ValueError, TypeError, LookupError)
_LEFT_OUT = "(its message may quote data and is left out)"

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TextLines(logging.Formatter):
    """A line of process, time, level, logger and message; below it the traceback, if any."""

    def __init__(self, process: str = "") -> None:
        head = f"{process:<10} " if process else ""
        super().__init__(f"{head}%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Raised) -> str:  # noqa: N802 (the name is of logging)
        """Write the traceback without messages that may quote data."""
        return "".join(_traceback(ei[1])).rstrip("\n") if ei[1] is not None else ""


def _traceback(error: BaseException) -> Iterator[str]:
    chain = [error]  # The error, and what led to it; an error may be among its own causes.
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    is_quoting = False
    for one in reversed(chain):
        # What such an error led to may quote it, however far on.
        is_ours = isinstance(one, DriftlineError)
        is_quoting = is_quoting or (isinstance(one, _QUOTING) and not is_ours)
        name = f"{type(one).__module__}.{type(one).__qualname__}".removeprefix("builtins.")
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(one.__traceback__)
        yield f"{name}: {_LEFT_OUT if is_quoting and not is_ours else one}\n"
        yield "" if one is error else "\nThe above exception led to the following exception:\n\n"
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "\nOne of the group:\n\n"
        yield from _traceback(part)


class JsonLines(TextLines):
    """One JSON object a line, with a field for each ``name=value`` of a message's template."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = {"process": process} if process else {}

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; a line break in a value cannot end the line."""
        found: dict[str, object] = {
            **dict(_fields(record)),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
        return
    values = iter(record.args)
    for name, conversion in _PLACEHOLDER.findall(record.msg):
        value = next(values, None) if conversion != "%" else None
        if name:
            yield name, value if isinstance(value, bool | int | float | str | None) else str(value)


def configure_logging(form: Format = "text", *, process: str = "") -> None:
    """Log one line per event to standard error; libraries only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((JsonLines if form == "json" else TextLines)(process))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("driftline").setLevel(logging.INFO)
    # While a broker is away its client says so ten times a second; our own lines say it, too.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
