"""A program in a process of its own: what it may take, what it sees, and that all of it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftline.child import NOT_STARTED, Limits, run, started

SECONDS_10 = Limits(time_s=10.0)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


WRITE = """
file = open("f", "wb", 0)
try: file.write(b"x" * 2000), file.write(b"x")
except OSError: exit(7)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_is_fed_and_the_beginning_of_its_output_is_kept():
    code = "import sys; found = sys.stdin.read(); print(len(found)); print('x' * 1_000_000)"

    assert run(python(code), SECONDS_10, b"y" * 300_000, output_bytes=10) == (0, b"300000\nxxx")
    assert run(["/bin/true"], SECONDS_10, b"y" * 300_000) == (0, b"")


def test_a_program_sees_no_secret_and_no_descriptor_of_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("DRIFTLINE_SECRET", "hidden")
    code = "import os; print(sorted(os.environ), os.listdir('/proc/self/fd'))"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        _, said = run(python(code), SECONDS_10, b"", environment={"OURS": "1"})

    assert b"DRIFTLINE_SECRET" not in said
    assert b"'OURS'" in said
    # The fourth lists the folder.
    assert said.strip().endswith(b"['0', '1', '2', '3']")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(memory_bytes=200 << 20), "try: bytearray(300 << 20)\nexcept MemoryError: exit(7)"),
        (Limits(file_bytes=1000), WRITE),
    ],
    ids=["memory", "file"],
)  # fmt: skip
def test_a_program_takes_no_more_than_it_may(limits, code, tmp_path):
    with started(python(code), limits, cwd=tmp_path) as process:
        assert process.wait(30) == 7


def test_how_a_program_ended_is_told_as_of_a_process_of_ours():
    with started(["/bin/sh", "-c", "kill -9 $$"], Limits()) as process:
        assert process.wait(30) == -signal.SIGKILL
    with started(["/no/such/program"], Limits()) as process:
        assert process.wait(30) == NOT_STARTED


def test_a_program_that_hangs_ends_with_all_that_it_started(tmp_path):
    mark = tmp_path / "left"
    # Also what has a session of its own.
    shell = f"trap '' TERM; setsid sh -c 'echo $$ > {mark}; sleep 600' & sleep 600"

    with pytest.raises(TimeoutError):
        run(["/bin/sh", "-c", shell], Limits(time_s=1.0), b"")

    assert not is_alive(int(mark.read_text()))


def test_a_program_ends_with_a_process_that_is_killed():
    code = (
        "import sys\nfrom driftline.child import Limits, started\n"
        "with started(['/bin/sleep', '600'], Limits()) as process:\n"
        "    print(process.pid, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        watching = int(process.stdout.readline())
        children = Path(f"/proc/{watching}/task/{watching}/children")
        _wait_until(lambda: children.read_text())
        program = int(children.read_text())
        process.kill()
        _wait_until(lambda: not is_alive(program) and not is_alive(watching))


def _wait_until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
