"""Exit codes: what is not available is 4, and nothing else is."""

import shlex
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from driftline.app.client.connection import refusal
from driftline.app.exit_codes import exit_code
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError


def refused(status: int, code: str) -> DriftlineError:
    """Return the error that a client makes of a server's refusal."""
    return refusal(httpx.Response(status, json={"error": {"code": code, "message": "why"}}))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a"), 2),
        (UndecidedError("a"), 3),
        (DriftlineError("a"), 3),
        (ZeroDivisionError("a"), 3),
        (ProgrammingError("SELECT", None, Exception("no such column")), 3),
        (UnavailableError("a"), 4),
        (OSError(28, "No space left on device"), 4),
        (socket.gaierror(-2, "Name or service not known"), 4),
        (TimeoutError(), 4),
        (OperationalError("SELECT", None, Exception("connection refused")), 4),
        (refused(409, "conflict"), 2),
        (refused(409, "undecided"), 3),
        (refused(500, "internal"), 3),
        (refused(503, "unavailable"), 4),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_an_output_on_a_full_disk_is_4(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m driftline settings --json > /dev/full"

    found = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)

    assert found.returncode == 4
    assert "Traceback" not in found.stderr
