"""A process that leaves its memory to the system ends like any other but for that."""

import os
import subprocess
import sys
import textwrap

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


def ended(block: str, stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    """Return the exit code of a process that runs a block, and what it printed."""
    code = START + textwrap.indent(textwrap.dedent(block), "    ")
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("leave", "code", "errors"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('a reason')", 1, "a reason\n"),
        ("raise KeyError('a defect')", 1, "KeyError: 'a defect'\n"),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt\n"),
    ],
)
def test_a_process_ends_with_its_code_and_reason(leave: str, code: int, errors: str) -> None:
    found = ended(leave)

    assert found[0] == code
    assert found[1].startswith("what was registered\n")
    assert found[2].endswith(errors)
