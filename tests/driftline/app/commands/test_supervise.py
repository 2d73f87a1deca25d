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
