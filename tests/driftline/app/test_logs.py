"""Logs: one event is one line, whatever is in it."""

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.app.logs import JsonLines, configure_logging
from driftline.errors import InputError


def line_of(message: str, *arguments: object, error: bool = False) -> dict[str, object]:
    """Return a formatted record, read back."""
    info = None
    if error:
        try:
            int("broken")
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("driftline.x", logging.INFO, "", 0, message, arguments, info)
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_named_values_become_fields_and_numbers_stay_numbers():
    found = line_of("sink commit endpoint=%s records=%d in_s=%.2f", "flights", 12, 0.25)

    assert found["message"] == "sink commit endpoint=flights records=12 in_s=0.25"
    assert (found["endpoint"], found["records"], found["in_s"]) == ("flights", 12, 0.25)
    assert (found["level"], found["logger"]) == ("info", "driftline.x")


def test_values_without_a_name_and_percent_signs_are_no_fields():
    found = line_of("%s is 100%% done rows=%d", "all", 3)

    assert found["rows"] == 3
    assert set(found) == {"time", "level", "logger", "message", "rows"}


def test_a_field_cannot_take_the_place_of_what_every_line_has():
    assert line_of("level=%s", "debug")["level"] == "info"


def test_an_error_brings_its_trace_in_one_line():
    assert "ValueError: invalid literal" in str(
        line_of("loop=%s failed", "sink", error=True)["exception"]
    )


@given(st.text())
def test_no_value_can_end_a_line_or_forge_a_field(value):
    found = line_of("request=%s", value)

    assert found["request"] == value
    assert set(found) == {"time", "level", "logger", "message", "request"}


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match='"text" or "json"'):
        configure_logging("xml")


def test_a_process_logs_to_standard_error_in_the_form_it_is_told():
    code = (
        "import logging, driftline.app.logs as logs; logs.configure_logging('json');"
        "logging.getLogger('driftline.a').info('rows=%d', 3);"
        "logging.getLogger('other').info('not shown')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert [json.loads(line)["rows"] for line in done.stderr.splitlines()] == [3]
