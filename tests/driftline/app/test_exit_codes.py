"""Exit codes: what is not available is 4, and nothing else is."""

import shlex
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.client.connection import refusal
from driftline.app.exit_codes import exit_code
from driftline.errors import (
    DriftlineError,
    InputError,
    UnavailableError,
    UndecidedError,
)
from tests.servers.commands import driftline
from tests.servers.ports import free_port


@pytest.mark.parametrize(
    "words", ["get monitor", "capture export flights -o out", "invoke flights table.csv"]
)
def test_a_command_ends_with_4_when_no_server_answers(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("id,label\na,1\n")
    server = ["--server", f"http://127.0.0.1:{free_port()}"]

    found = CliRunner().invoke(build(words.split()[0]), [*words.split(), *server])

    assert isinstance(found.exception, UnavailableError), found.output


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
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [(409, "conflict", 2), (409, "undecided", 3), (500, "internal", 3), (503, "unavailable", 4)],
)
def test_what_a_server_refuses_has_the_code_of_its_reason(
    status: int, word: str, code: int
) -> None:
    response = httpx.Response(status, json={"error": {"code": word, "message": "why"}})

    assert exit_code(refusal(response)) == code


def test_an_output_on_a_full_disk_is_4(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m driftline settings --json > /dev/full"

    found = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)

    assert found.returncode == 4
    assert "Traceback" not in found.stderr


def test_a_process_of_the_installation_ends_with_the_same_codes(tmp_path: Path) -> None:
    url = f"postgresql://driftline@127.0.0.1:{free_port()}/driftline"
    codes = {}
    for text, code in (("[server]\nnosuch = 1\n", 2), (f'[database]\nurl = "{url}"\n', 4)):
        file = tmp_path / "driftline.toml"
        file.write_text(text)
        codes[driftline("dashboard", "-c", file, cwd=tmp_path).returncode] = code

    assert codes == {2: 2, 4: 4}
