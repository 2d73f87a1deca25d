"""Malformed inputs: each a clear error or a correct result; with --full some ten thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "bench" / "malformed_fuzz.py"


def test_malformed_inputs_are_read_right_or_refused_in_a_sentence(
    pytestconfig: pytest.Config,
) -> None:
    count = "20000" if pytestconfig.getoption("full") else "60"
    command = [sys.executable, str(FUZZ), "--count", count, "--seed", "5"]

    found = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.rstrip().endswith("wrong: 0, traceback: 0, crash: 0, hang: 0")
