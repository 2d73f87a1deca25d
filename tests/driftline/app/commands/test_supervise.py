"""What `driftline up` becomes: few imports, and the exit codes of a command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from driftline.app.commands.supervise import Plan

MODULE = "driftline.app.commands.supervise"
PLAN = Plan(
    settings_file=None, roles=[], transport="local", log_format="text", urls={}, token_file=None,
    asks_storage=False,
)  # fmt: skip


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_imports_neither_the_command_line_nor_what_reads_settings() -> None:
    """They take 11 MiB for as long as an installation runs."""
    found = run("-c", f"import sys, {MODULE}; print(*sys.modules)")

    heavy = {"click", "numpy", "pydantic", "sqlalchemy", "typer"}
    assert heavy & set(found.stdout.split()) == set()
    assert MODULE in found.stdout.split()


def test_a_role_that_is_none_is_refused_in_one_sentence() -> None:
    plan = asdict(PLAN) | {"roles": ["serv"]}

    found = run("-m", MODULE, json.dumps(plan))

    assert found.returncode == 2
    assert found.stderr.startswith('driftline: --only "serv"; with [capture] transport = "local"')
    assert "Traceback" not in found.stderr


def test_a_fault_of_ours_does_not_read_as_violations() -> None:
    found = run("-m", MODULE, json.dumps(asdict(PLAN) | {"transport": "pigeon"}))

    assert found.returncode == 3
    assert "KeyError" in found.stderr


def test_a_terminal_that_nobody_reads_is_no_violation() -> None:
    program = (
        f"import os; from {MODULE} import main; os.close(1); r, w = os.pipe(); os.close(r); "
        "os.dup2(w, 2); main()"
    )
    plan = json.dumps(asdict(PLAN) | {"transport": "pigeon"})

    assert run("-c", program, plan).returncode == 3


def test_a_full_disk_is_one_sentence_as_of_every_command() -> None:
    program = (
        f"import {MODULE} as program\n"
        "def start(*_, **__): raise OSError(28, 'No space left on device')\n"
        "program.start = start; program.main()"
    )

    found = run("-c", program, json.dumps(asdict(PLAN)))

    assert found.returncode == 4
    assert found.stderr == "driftline: not available: [Errno 28] No space left on device\n"
