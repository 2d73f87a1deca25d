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
_CAUSED = "The above exception was the direct cause of the following exception:"
_MEANWHILE = "During handling of the above exception, another exception occurred:"

# Names that every line has; a field of the same name gives way.
_OWN = frozenset({"time", "level", "logger", "message", "exception"})


Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TextLines(logging.Formatter):
    """A line of process, time, level, logger and message; below it the traceback, if any."""

    def __init__(self, process: str = "") -> None:
        head = f"{process:<10} " if process else ""
        super().__init__(f"{head}%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Raised) -> str:  # noqa: N802 (the name is of logging)
        """Write the traceback without messages that may quote data."""
        return "".join(_traceback(ei[1])).rstrip("\n") if ei[1] is not None else ""


def _traceback(error: BaseException, seen: tuple[BaseException, ...] = ()) -> Iterator[str]:
    """Return the lines of an error and of those that led to it, as Python writes them."""
    seen = (*seen, error)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and before not in seen:  # An error may be among its own causes.
        yield from _traceback(before, seen)
        yield f"\n{_CAUSED if error.__cause__ else _MEANWHILE}\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{name}: {_message(error)}\n"
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "\nOne of the group:\n\n"
        yield from _traceback(part, seen)


def _message(error: BaseException) -> str:
    if isinstance(error, DriftlineError):
        return str(error)
    # Nor is that of one which such an error led to, however far back.
    seen: list[BaseException] = []
    before: BaseException | None = error
    while before is not None and before not in seen:
        if isinstance(before, _QUOTING) and not isinstance(before, DriftlineError):
            return _LEFT_OUT
        seen.append(before)
        before = before.__cause__ or before.__context__
    return str(error)


class JsonLines(TextLines):
    """One JSON object a line.

    It has time, level, logger, message, and a field for each ``name=value`` of the message's
    template, numbers as numbers: what a log store can filter by without parsing text.
    """

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = {"process": process} if process else {}

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; a line break in a value cannot end the line."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **dict(_fields(record)),
            **self._process,
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Return the named values of a message."""
    if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
        return
    values = iter(record.args)
    for name, conversion in _PLACEHOLDER.findall(record.msg):
        if conversion == "%":
            continue
        value = next(values, None)
        if name and name not in _OWN:
            is_plain = value is None or isinstance(value, bool | int | float | str)
            yield name, value if is_plain else str(value)


def configure_logging(form: Format = "text", *, process: str = "") -> None:
    """Log one line per event to standard error; libraries only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((JsonLines if form == "json" else TextLines)(process))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("driftline").setLevel(logging.INFO)
    # While a broker is away its client says so ten times a second; our own lines say it, too.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
