import os
import re
import subprocess
import sys

import pytest

from driftline.cli import COMMANDS, build

GROUPS = {"monitor", "capture", "truth"}


def _help(*command: str) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "driftline", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return found.stdout


def test_help_lists_every_command_within_eighty_columns() -> None:
    shown = _help()

    assert all(re.search(rf"^  {name}\b", shown, re.MULTILINE) for name in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - GROUPS))
def test_every_command_explains_itself(name: str) -> None:
    app = build(name)
    (command,) = app.registered_commands
    told = command.callback.__doc__ if command.callback else None

    assert told
    assert "Example: driftline" in told or name in {"sidecar", "sink", "version"}


def test_an_unknown_command_is_2() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "driftline", "nosuch"], capture_output=True, text=True
    )

    assert found.returncode == 2
    assert "nosuch" in found.stderr


def test_a_crash_is_never_read_as_violations() -> None:
    code = "import driftline.commands.running as r; r.version = lambda: 1 / 0;"
    code += (
        "import sys; sys.argv = ['driftline', 'version']; from driftline.cli import main; main()"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert found.returncode == 3
    assert "defect" in found.stderr


@pytest.mark.parametrize("name", ["sidecar", "sink"])
def test_half_of_the_local_transport_says_what_to_run(name: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "driftline", name], capture_output=True, text=True
    )

    assert found.returncode == 2
    assert "driftline up --only capture" in found.stderr
