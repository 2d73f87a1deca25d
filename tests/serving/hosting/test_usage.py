"""What workers use, beside what they say themselves."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from driftline.serving.hosting.usage import Meter, Workers

BURNT_S, HELD_BYTES = 0.3, 64 << 20
# Holds memory, burns CPU when told to, says how much by its own clock, and waits for its end.
PROGRAM = f"""
import sys, time
held = bytearray(b"x") * {HELD_BYTES}
print("ready", flush=True)
sys.stdin.readline()
began = time.process_time()
while time.process_time() - began < {BURNT_S}:
    pass
print(time.process_time() - began, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(params=["itself", "what it started"])
def worker(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    if request.param == "what it started":
        command = ["sh", "-c", '"$@"; true', "sh", *command]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def test_what_a_worker_uses_is_what_it_says_itself(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None and worker.stdin is not None
    meter, workers = Meter(), Workers("flights", "all", [worker.pid], memory_bytes=1 << 30)
    before = time.monotonic()
    ((_, first),) = meter.read([workers])
    between = time.monotonic()
    worker.stdin.write("\n")
    worker.stdin.flush()
    said_s = float(worker.stdout.readline())
    after = time.monotonic()
    ((_, (used,)),) = meter.read([workers])
    end = time.monotonic()

    assert first == []
    # The system counts in hundredths of a second; the looks lie somewhere between the times.
    assert used.cpu / 100 * (end - before) >= said_s - 0.03
    assert used.cpu / 100 * (after - between) <= said_s + 0.1
    assert HELD_BYTES < used.memory / 100 * (1 << 30) < 3 * HELD_BYTES


def test_one_that_has_ended_uses_nothing_and_the_others_are_told(
    worker: subprocess.Popen[str],
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    meter, workers = Meter(), Workers("flights", "all", [gone.pid, worker.pid])
    meter.read([workers])

    ((_, used),) = meter.read([workers])

    assert len(used) == 1
