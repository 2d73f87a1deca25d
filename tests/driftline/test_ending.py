"""A process that leaves its memory to the system ends like any other but for that."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

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


def test_threads_and_what_was_registered_come_first_and_nothing_is_freed() -> None:
    code, output, errors = ended("""
        def work():
            threading.main_thread().join()
            print("a thread")
        threading.Thread(target=work).start()
        sys.stderr.write("a complaint")
    """)

    assert (code, output, errors) == (0, "a thread\nwhat was registered\n", "a complaint")


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


def test_output_that_cannot_be_written_is_told_as_ever() -> None:
    with Path("/dev/full").open("w") as full:
        code, _, errors = ended("print('what nobody gets')", full.fileno())

    assert code == 120
    assert "No space left on device" in errors
