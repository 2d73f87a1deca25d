"""Logs: one event is one line, whatever is in it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.app.logs import JsonLines, TextLines


def record_of(
    message: str, *arguments: object, error: BaseException | None = None
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("driftline.x", logging.INFO, "", 0, message, arguments, info)


def caught(read: Callable[[], object]) -> BaseException:
    with pytest.raises((ValueError, LookupError, OSError)) as found:
        read()
    return found.value


def wrapped() -> None:
    """Fail for a value, twice."""
    try:
        pa.array(["Jane Doe"]).cast("int64")
    except ValueError as error:
        raise KeyError("Jane Doe") from error


@pytest.mark.parametrize("lines", [JsonLines, TextLines])
@pytest.mark.parametrize(
    "read", [lambda: {}["Jane Doe"], lambda: pa.array([1, "Jane Doe"]), wrapped]
)
def test_what_a_library_quotes_of_data_is_in_no_log(read, lines):
    text = lines().format(record_of("failed", error=caught(read)))

    # The line of source that the traceback quotes holds it here, and in no program.
    told = [line for line in text.replace("\\n", "\n").splitlines() if "    " not in line]
    assert "Jane Doe" not in "".join(told)


def test_what_is_raised_from_a_quoting_error_quotes_nothing_either():
    between, error = OSError("Jane Doe"), RuntimeError("cannot: Jane Doe")
    between.__context__, error.__cause__ = caught(lambda: float("Jane Doe")), between

    assert "cannot" not in JsonLines().format(record_of("failed", error=error))


@given(st.text())
def test_no_value_can_end_a_line_or_forge_a_field(value):
    error = caught(Path("/is/not/here").read_bytes)
    text = JsonLines().format(record_of("request=%s in_s=%.2f", value, 0.25, error=error))
    found = json.loads(text)

    assert "\n" not in text
    assert (found["request"], found["in_s"], found["level"]) == (value, 0.25, "info")
    assert found["exception"].endswith("No such file or directory: '/is/not/here'")
    known = {"time", "level", "logger", "message", "request", "in_s", "exception"}
    assert set(found) == known
