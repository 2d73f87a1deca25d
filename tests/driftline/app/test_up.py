"""The supervisor: whatever happens to a log, the process that writes it goes on."""

import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from driftline.app.up import STOP_S, SupervisorProcess
from driftline.errors import InputError
from driftline.forked import Fork
from tests.kit.waiting import wait
from tests.servers.commands import driftline, python, talking
from tests.servers.ports import free_port


def test_a_log_that_cannot_be_written_does_not_hold_its_process_up(tmp_path: Path) -> None:
    settings = tmp_path / "driftline.toml"
    # It is told of in more lines than a pipe holds.
    key = r"\n".join(["x" * 1000] * 500)
    settings.write_text(f'[server]\n"{key}" = 1\n')

    supervisor = SupervisorProcess(settings, Path("/dev/full"), only=["server"])
    try:
        with pytest.raises(InputError, match="ended with code 2"):
            supervisor.wait_ready()
    finally:
        supervisor.stop()


def test_an_installation_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    settings = tmp_path / "driftline.toml"
    settings.write_text(f"[server]\nport = {free_port()}\n[metrics]\nport = 0\n")
    code = """
        import os, signal, sys
        from pathlib import Path
        from driftline.app.up import SupervisorProcess
        one = SupervisorProcess(Path(sys.argv[1]), Path(sys.argv[2]), only=["server", "capture"])
        one.wait_ready()
        print(*one.process_ids, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    with talking(code, settings, tmp_path / "log") as (_, _, printed):
        started = printed.readline().split()

    assert len(started) == 2, (tmp_path / "log").read_text()
    wait(lambda: not [one for one in started if Path("/proc", one).exists()])


def test_a_process_that_is_told_to_stop_as_it_starts_ends_at_once() -> None:
    code = """
        from driftline.app.stopping import stop_on_signals
        from driftline.app.up import Supervisor
        stop_on_signals()  # Which is no matter of the processes.
        Supervisor(None, only=["server"]).stop()
    """

    assert python(code).wait(STOP_S) == 0


def test_an_error_before_a_fork_runs_ends_the_fork_alone() -> None:
    code = """
        import os, signal
        from driftline import forked
        def fail(*_): raise OSError("no")
        forked._begin, parent = fail, os.getpid()
        try:
            code = forked.Fork(print, signal.SIGTERM).wait(60)
        finally:
            if os.getpid() != parent:
                os._exit(7)
        os._exit(code + 100)
    """

    assert python(code).wait(60) == 101


def test_a_process_of_several_threads_does_not_fork() -> None:
    going_on = threading.Event()
    thread = threading.Thread(target=going_on.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="threads forks"):
            Fork(lambda: None, signal.SIGTERM)
    finally:
        going_on.set()
        thread.join()


def test_a_store_is_made_for_its_user_alone(tmp_path: Path) -> None:
    driftline("migrate", cwd=tmp_path, timeout=60)

    made = [*tmp_path.rglob("*")]
    assert made
    assert [str(one) for one in made if one.stat().st_mode & 0o077] == []


def test_a_process_stops_with_the_one_that_never_heard_that_it_is_ready() -> None:
    code = (
        "import os, sys, time; from driftline.app.stopping import stop_with_parent\n"
        "link = int(sys.argv[1]); stop_with_parent(link); os.write(link, b'1'); time.sleep(60)"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        link = theirs.fileno()
        process = subprocess.Popen([sys.executable, "-c", code, str(link)], pass_fds=[link])
    assert select.select([ours], [], [], 60)[0]

    ours.close()

    assert process.wait(60) == -signal.SIGTERM
