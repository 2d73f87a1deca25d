"""The supervisor: whatever happens to a log, the process that writes it goes on."""

import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftline.app.stopping import stop_on_signals
from driftline.app.up import STOP_S, Supervisor
from driftline.errors import InputError
from tests.servers.commands import driftline


def test_a_log_that_cannot_be_written_does_not_hold_its_process_up(tmp_path: Path) -> None:
    settings = tmp_path / "driftline.toml"
    # It is told of in more lines than a pipe holds.
    key = r"\n".join(["x" * 1000] * 500)
    settings.write_text(f'[server]\n"{key}" = 1\n')
    (tmp_path / "server.log").symlink_to("/dev/full")

    supervisor = Supervisor(settings, only=["server"], log_folder=tmp_path)
    try:
        with pytest.raises(InputError, match="server: ended with code 2"):
            supervisor.wait_ready(60)
    finally:
        supervisor.stop()


def test_a_process_that_is_told_to_stop_as_it_starts_ends_at_once(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop_on_signals()  # Which is no matter of the processes.
        supervisor = Supervisor(None, only=["server"], log_folder=tmp_path)
        begin_s = time.monotonic()
        supervisor.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert time.monotonic() - begin_s < STOP_S


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
