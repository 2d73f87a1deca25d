"""The process that forks workers: what it shares, what it passes on, how it ends."""

import errno
import json
import os
import pickle
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from driftline.serving.hosting import fork_server
from driftline.serving.hosting.fork_server import start_worker
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.hosting.prints import Prints


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def held_by(process: int) -> list[str]:
    """What a process holds open; what it closes meanwhile, as it begins, is left out."""
    found = []
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(file.readlink()))
    return found


def sockets_of(process: int) -> list[str]:
    return [name for name in held_by(process) if name.startswith("socket:")]


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


def test_workers_are_forked_by_one_process_and_hold_only_their_own_socket(started, until):
    workers = [started()[0].process_id for _ in range(3)]

    parents = {parent_of(worker) for worker in workers}
    assert len(parents) == 1
    assert parent_of(*parents) == os.getpid()
    for worker in workers:
        until(lambda worker=worker: os.getsid(worker) == worker)
        until(lambda worker=worker: len(sockets_of(worker)) == 1)
        assert not any("pidfd" in name or "eventpoll" in name for name in held_by(worker))


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


def test_a_fork_server_that_was_stopped_is_killed_with_its_workers_and_replaced(
    started, fresh, until
):
    worker, link = started()
    parent = parent_of(worker.process_id)

    os.kill(parent, signal.SIGSTOP)
    started()  # This one is lost, as the workers of one that was killed.

    assert link.recv(1) == b""
    worker.collect(60)
    until(lambda: not Path(f"/proc/{parent}").exists())
    assert parent_of(started()[0].process_id) not in (parent, 1)


def test_a_worker_is_killed_though_its_fork_server_was_stopped(started, fresh, until):
    worker, link = started()
    os.kill(parent_of(worker.process_id), signal.SIGSTOP)

    worker.end()

    assert link.recv(1) == b""
    until(lambda: not Path(f"/proc/{worker.process_id}").exists())


def test_a_fork_server_that_answers_is_kept_however_long_a_worker_takes(
    started, fresh, monkeypatch, until
):
    asked = []
    tell = fork_server._ForkServer.tell
    monkeypatch.setattr(
        fork_server._ForkServer,
        "tell",
        lambda self, message, *rest: (asked.append("ask" in message), tell(self, message, *rest)),
    )
    monkeypatch.setattr(fork_server._Forked, "is_awaited", True)
    worker, link = started()
    parent = parent_of(worker.process_id)

    until(lambda: sum(asked) == 3)  # The first two were answered.

    link.setblocking(False)
    with pytest.raises(BlockingIOError):
        link.recv(1)
    assert parent_of(started()[0].process_id) == parent


def test_a_fork_server_that_was_stopped_holds_no_end_up(started, fresh, monkeypatch):
    monkeypatch.setattr(fork_server, "STOP_GRACE_S", 0.1)
    worker, _ = started()
    parent = parent_of(worker.process_id)
    os.kill(parent, signal.SIGSTOP)

    fork_server._fork_servers().close()

    assert not Path(f"/proc/{parent}").exists()


def test_a_fork_server_without_workers_ends_and_the_next_worker_starts_another(
    started, fresh, monkeypatch, until
):
    monkeypatch.setattr(fork_server, "_IDLE_S", 0.2)
    worker, link = started()
    parent = parent_of(worker.process_id)

    link.close()
    worker.collect(30)

    until(lambda: not Path(f"/proc/{parent}").exists())
    assert parent_of(started()[0].process_id) != parent


@pytest.mark.parametrize("missing", ["fork", "pidfd_open"])
def test_a_worker_that_cannot_be_forked_has_ended_and_the_next_one_starts(missing, monkeypatch):
    ours, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    real = getattr(os, missing)
    failures = [OSError(errno.EAGAIN, "Resource temporarily unavailable")]

    def scarce(*given):
        if failures:
            raise failures.pop()
        return real(*given)

    server = os.fork()
    if server == 0:
        try:
            ours.close()
            monkeypatch.setattr(os, missing, scarce)
            if (descriptor := fork_server._Forks(control).serve()) is not None:
                os.read(descriptor, 1)
            os._exit(0)
        finally:
            os._exit(1)
    with ours, ExitStack() as links:
        control.close()
        ours.settimeout(60)
        assert json.loads(ours.recv(1 << 12)) == {"here": server}
        asked = [start(ours, 1), start(ours, 2, give=0), start(ours, 3)]
        link = [links.enter_context(one) for one in asked]

        said = [json.loads(ours.recv(1 << 12)) for _ in range(3)]

        assert said[:2] == [{"ended": 1}, {"ended": 2}]
        assert [one.recv(1) for one in link[:2]] == [b"", b""]
        assert said[2]["started"] == 3
        assert parent_of(said[2]["process_id"]) == server
        link[2].close()
        assert json.loads(ours.recv(1 << 12)) == {"ended": 3, "code": 0}
    assert os.waitpid(server, 0)[1] == 0


def test_what_cannot_be_ended_behind_a_worker_ends_no_other_worker(monkeypatch, capfd):
    ours, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def scarce(*, but):
        held = sum("pidfd" in name for name in held_by(os.getpid()))
        raise OSError(errno.EMFILE, f"{held} watched, {len(but)} alive")

    server = os.fork()
    if server == 0:
        try:
            ours.close()
            monkeypatch.setattr(fork_server, "end_children", scarce)
            monkeypatch.setattr(
                fork_server.log, "error", lambda *told: os.write(2, told[1].encode())
            )
            if (descriptor := fork_server._Forks(control).serve()) is not None:
                os.read(descriptor, 1)
            os._exit(0)
        finally:
            os._exit(1)
    with ours:
        control.close()
        ours.settimeout(60)
        with start(ours, 1), start(ours, 2) as first:
            said = [json.loads(ours.recv(1 << 12)) for _ in range(3)]
            assert said[1]["started"] == 1
            first.close()
            assert json.loads(ours.recv(1 << 12)) == {"ended": 2, "code": 0}
            assert "1 watched, 1 alive" in capfd.readouterr().err
        assert json.loads(ours.recv(1 << 12)) == {"ended": 1, "code": 0}
    assert os.waitpid(server, 0)[1] == 0


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


class Leaver:
    """Unpickled, it starts a process in a session of its own, and does not come back."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        left = f"echo $$ > {self.file}.new; mv {self.file}.new {self.file}; exec sleep 7777"
        return os.system, (f"setsid sh -c '{left}' & exec sleep 7777",)


def test_what_a_model_started_ends_with_its_worker_and_no_other_worker_does(
    started, tmp_path, until
):
    (process, link), (other, _) = started(), started()
    file, told = tmp_path / "model.pickle", tmp_path / "told"
    file.write_bytes(pickle.dumps(Leaver(told)))
    launch = {"path": str(file), "trust_pickle": True, "signature": None, "max_rows": 10}
    link.sendall(pack({**launch, "positive": None}))
    until(told.exists)
    left = Path("/proc") / told.read_text().strip()
    assert left.exists()

    os.kill(process.process_id, signal.SIGKILL)
    process.collect(30)

    assert not left.exists()
    assert Path(f"/proc/{other.process_id}").exists()


def test_a_worker_that_cannot_be_watched_is_collected(monkeypatch):
    ours, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10)
    with ours, control:
        forks = fork_server._Forks(control)
        assert json.loads(ours.recv(1 << 12)) == {"here": os.getpid()}

        def full(*_given):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(forks._selector, "register", full)
        link, theirs = socket.socketpair()
        reading, printing = os.pipe()
        with link, os.fdopen(reading, "rb") as printed:
            link.settimeout(10)
            watched = sum("pidfd" in name for name in held_by(os.getpid()))
            if forks._start(forks._clients[0], 1, [theirs.detach(), printing]):
                os._exit(0)  # The worker.

            assert json.loads(ours.recv(1 << 12)) == {"ended": 1}
            # Nobody holds what it was given. All that is open may change by threads of other tests.
            assert (link.recv(1), printed.read()) == (b"", b"")
            assert sum("pidfd" in name for name in held_by(os.getpid())) == watched
            assert forks._clients[0].process_ids == {}
        forks._selector.close()
