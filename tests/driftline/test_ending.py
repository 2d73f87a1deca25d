"""A process that leaves its memory to the system ends like any other but for that."""

import os
import subprocess
import sys

import pytest

START = """
import atexit, sys, threading, time
from driftline.ending import ending_at_once

class Told:
    def __del__(self):
        print("freed", flush=True)

told = Told()
with ending_at_once():
    atexit.register(print, "what was registered")
"""


@pytest.mark.parametrize(
    ("leave", "code", "errors"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit('a reason')", 1, "a reason\n"),
        ("raise KeyError('a defect')", 1, "KeyError: 'a defect'\n"),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt\n"),
    ],
)
def test_a_process_ends_with_its_code_and_reason(leave: str, code: int, errors: str) -> None:
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}

    done = subprocess.run(
        [sys.executable, "-c", f"{START}    {leave}"],
        capture_output=True, text=True, timeout=60, env=buffered,
    )  # fmt: skip

    assert done.returncode == code
    assert done.stdout.startswith("what was registered\n")
    assert done.stderr.endswith(errors)
