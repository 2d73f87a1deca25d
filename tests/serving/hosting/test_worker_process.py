"""Worker processes: what they share, what they know of their server, how they end."""

import importlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.orphans import children
from driftline.serving.hosting.asked_models import open_model
from driftline.serving.hosting.worker_process import PASSED_ON, WorkerProcess, fork_server
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.servers.commands import talking
from tests.serving.conftest import MODULES, saved


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def variables_of(process: int) -> set[str]:
    block = Path(f"/proc/{process}/environ").read_bytes().decode()
    return {line.partition("=")[0] for line in block.split("\0") if line}


@pytest.fixture
def started(slow_model):
    """Start workers; give the process and our end of its socket."""
    made = []

    def start():
        ours, theirs = socket.socketpair()
        ours.settimeout(60)
        with theirs:
            process = WorkerProcess(WorkerSpec(str(slow_model), trust_pickle=True), theirs)
        made.append((process, ours))
        process.output.close()
        assert ours.recv(1 << 16)  # It has loaded its model.
        return made[-1]

    yield start
    for process, link in made:
        link.close()
        process.collect(5)


def test_a_worker_and_who_forks_it_have_one_thread_and_little_of_our_environment(started):
    worker = started()[0].process_id

    assert "PYTEST_CURRENT_TEST" in os.environ
    for process in (worker, parent_of(worker)):
        threads = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/comm")]
        # Arrow's allocator prepares itself for forks; a pool of threads would not.
        assert len([name for name in threads if "jemalloc" not in name]) == 1
        threads_of = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
        assert variables_of(process) <= {*PASSED_ON, *threads_of}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_forks_workers_is_replaced_when_it_was_killed_or_stopped(number, started, monkeypatch):
    monkeypatch.setattr("driftline.serving.hosting.worker_process._KILLED_S", 0.1)
    worker, link = started()
    parent = parent_of(worker.process_id)

    os.kill(parent, number)

    if number == signal.SIGKILL:
        assert link.recv(1) == b""  # Workers end with it.
    worker.collect(60 if number == signal.SIGKILL else 0.01)
    assert parent_of(started()[0].process_id) not in (parent, 1)


SERVER = """
import socket, sys
from driftline.serving.hosting.worker_process import WorkerProcess
from driftline.serving.resources.worker_spec import WorkerSpec
ours, theirs = socket.socketpair()
spec = WorkerSpec(FILE, trust_pickle=True)
started = [WorkerProcess(spec, theirs) for _ in range(2)]
idle, stopped = (process.process_id for process in started)
print(idle, stopped, flush=True)
sys.stdin.read()
"""


def test_a_worker_does_not_outlive_a_killed_server(slow_model, until):
    with talking(
        "from importlib import reload\n"
        "from driftline.serving.hosting import worker_process\n"
        "reload(worker_process)\n" + SERVER.replace("FILE", repr(str(slow_model)))
    ) as (server, _, output):
        workers = [int(word) for word in output.readline().split()]
        until(lambda: os.getsid(workers[1]) == workers[1])
        os.kill(workers[1], signal.SIGSTOP)  # It will not see the end of its socket.
        parent = parent_of(workers[0])

        server.kill()

        until(lambda: not any(Path(f"/proc/{one}").exists() for one in (*workers, parent)))


@pytest.fixture
def halves(monkeypatch):
    """Have a secret in the environment; it is given in halves, for whoever looks for it."""
    halves = secrets.token_hex(16), secrets.token_hex(16)
    # Many times: of memory that was freed, only a part is written over.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "".join(halves) * 30)
    fork_server().close()
    return halves


def test_a_model_finds_no_secret_in_its_process(halves, tmp_path, monkeypatch):
    search = [sys.executable, str(MODULES / "memory_search.py")]
    done = subprocess.run(search, input=" ".join(halves), capture_output=True, text=True)
    assert int(done.stdout) >= 2  # What looks for it finds it where it is.
    monkeypatch.syspath_prepend(MODULES)
    file = saved("searching_model", "Searching", tmp_path, *halves)

    with open_model(file, trust_pickle=True) as model:
        # It looks, and tells how often it found the secret.
        assert model(pa.table({"_c0": [0.0]})).tolist() == [0.0]

        places = importlib.import_module("memory_search").places
        (worker,) = children(fork_server().pid)
        for process in (worker, fork_server().pid):
            assert places(*(half.encode() for half in halves), process) == 0
        held = [str(one.readlink()) for one in Path(f"/proc/{worker}/fd").iterdir()]
    kinds = {name.partition(":")[0] for name in held}
    assert kinds == {"/dev/null", "pipe", "socket"}
    assert len([name for name in held if name.startswith("socket:")]) == 1
