"""The process that forks workers: what it shares, what it passes on, how it ends."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from driftline.serving.hosting import fork_server
from driftline.serving.hosting.fork_server import start_worker
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.hosting.prints import Prints


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.fixture
def started():
    """Start workers; give the process and our end of its socket."""
    made = []

    def start():
        ours, theirs = socket.socketpair()
        ours.settimeout(60)
        with theirs:
            made.append((start_worker(theirs, Prints()), ours))
        return made[-1]

    yield start
    for process, link in made:
        link.close()
        process.collect(5)


@pytest.fixture(scope="module")
def language():
    """Return a language that is no other module's."""
    return f"C.{os.urandom(4).hex()}"


@pytest.fixture
def fresh(language, monkeypatch):
    """Have a fork server of this module, that of another environment, asked soon if it lives."""
    monkeypatch.setenv("LC_ALL", language)
    monkeypatch.setattr(fork_server, "_ANSWERS_IN_S", 1.0)


def test_the_process_that_forks_has_one_thread_and_little_of_our_environment(started):
    worker = started()[0].process_id

    assert "PYTEST_CURRENT_TEST" in os.environ
    for process in (worker, parent_of(worker)):
        threads = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/comm")]
        # Arrow's allocator prepares itself for forks; a pool of threads would not.
        assert len([name for name in threads if "jemalloc" not in name]) == 1
        variables = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
        names = {variable.partition("=")[0] for variable in variables if variable}
        assert names <= {*fork_server.PASSED_ON, *fork_server._ONE_THREAD}


def test_a_worker_is_collected_when_its_socket_closes_and_killed_when_it_is_late(started):
    (first, link), (second, _) = started(), started()
    numbers = [first.process_id, second.process_id]

    link.close()
    first.collect(30)
    second.collect(0.01)

    assert not any(Path(f"/proc/{number}").exists() for number in numbers)


def test_a_fork_server_that_was_killed_takes_its_workers_along_and_is_replaced(started, fresh):
    worker, link = started()
    parent = parent_of(worker.process_id)

    os.kill(parent, signal.SIGKILL)

    assert link.recv(1) == b""
    worker.collect(60)
    again = started()[0].process_id
    assert parent_of(again) not in (parent, 1)


def start(control: socket.socket, number: int, *, give: int = 1) -> socket.socket:
    """Ask for a worker; without its descriptor it is as at the limit of open files."""
    link, theirs = socket.socketpair()
    link.settimeout(60)
    with theirs:
        message = json.dumps({"start": number}).encode()
        socket.send_fds(control, [message], [theirs.fileno(), 2] * give)
    return link


def test_a_forked_worker_answers(started, trained):
    _, link = started()
    launch = {"path": str(trained.file), "trust_pickle": False, "signature": None, "max_rows": 10}

    link.sendall(pack({**launch, "positive": None}))

    reader, found = FrameReader(), []
    while not found:
        found = reader.feed(link.recv(1 << 16))
    assert found[0][0]["ready"]["kind"] == "classifier"
