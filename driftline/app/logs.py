"""How processes log: one line per event on standard error, for people or for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, get_args

from driftline.errors import InputError

Format = Literal["text", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)

# A placeholder of a message's template, and the name that stands before it: "rows=%d".
_PLACEHOLDER = re.compile(r"(?:(\w+)=)?%[#0\- +]*\d*(?:\.\d+)?([a-zA-Z%])")
# Names that every line has; a field of the same name gives way.
_OWN = frozenset({"time", "level", "logger", "message", "exception"})


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Beside time, level, logger and message it has a field for each ``name=value`` of the message's
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


def configure_logging(form: str = "text", *, process: str = "") -> None:
    """Log one line per event to standard error; libraries only from warnings up."""
    if form not in FORMATS:
        raise InputError(f'[log] format = "{form}"; expected "text" or "json"')
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines(process)
        if form == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("driftline").setLevel(logging.INFO)
    # While a broker is away its client says so ten times a second; our own lines say it, too.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
