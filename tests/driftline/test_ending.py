"""A process that leaves its memory to the system ends like any other but for that."""

import os
import subprocess
import sys

import pytest

START = """
import atexit, sys
from driftline.ending import run_and_end

def run():
    atexit.register(print, "what was registered")
"""


@pytest.mark.parametrize(
    ("leave", "code", "errors"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit('a reason')", 1, "a reason\n"),
        ("raise KeyError('a defect')", 1, "KeyError: 'a defect'\n"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt\n"),
    ],
)
def test_a_process_ends_with_its_code_and_reason(leave: str, code: int, errors: str) -> None:
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}

    done = subprocess.run(
        [sys.executable, "-c", f"{START}    {leave}\nrun_and_end(run)"],
        capture_output=True, text=True, timeout=60, env=buffered,
    )  # fmt: skip

    assert done.returncode == code
    assert done.stdout == "what was registered\n"
    assert done.stderr.endswith(errors)
