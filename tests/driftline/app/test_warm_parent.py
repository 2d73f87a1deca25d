"""Forked processes: what they are to whoever started them, and what outlives their parent."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driftline.app.exit_codes import INPUT
from driftline.app.warm_parent import UNKNOWN_CODE, ForkedProcess, WarmParent


@pytest.fixture(scope="module")
def parent() -> Iterator[WarmParent]:
    warm = WarmParent(["sidecar"])
    yield warm
    warm.close()


@contextmanager
def forked(parent: WarmParent, settings: Path) -> Iterator[tuple[ForkedProcess, bool]]:
    """Have a sidecar, and whether it has become ready."""
    ready, theirs = os.pipe()
    try:
        process = parent.start(["sidecar", "--settings", str(settings)], theirs)
    finally:
        os.close(theirs)
    try:
        yield process, bool(os.read(ready, 1))
    finally:
        process.kill()
        process.wait(10)
        os.close(ready)
        process.stdout.close()
        process.stdin.close()


@pytest.fixture
def running(parent: WarmParent, tmp_path: Path) -> Iterator[ForkedProcess]:
    """A sidecar that looks for its broker until it is ended."""
    settings = tmp_path / "driftline.toml"
    settings.write_text(
        '[metrics]\nsidecar_port = 0\n[capture]\ntransport = "kafka"\n'
        '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
    )
    with forked(parent, settings) as (process, is_ready):
        assert is_ready
        yield process


def warm_process_id(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_process_runs_until_it_is_told_to_end(running: ForkedProcess) -> None:
    assert running.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.01)

    running.terminate()

    assert running.wait(10) == 0
    running.kill()  # Nothing by then: its number may be another's.
    assert running.poll() == 0


def test_a_process_leads_a_session_of_its_own_under_its_name(running: ForkedProcess) -> None:
    assert os.getsid(running.pid) == running.pid
    assert Path(f"/proc/{running.pid}/comm").read_text() == "sidecar\n"


def test_a_signal_that_ended_a_process_is_its_code(running: ForkedProcess) -> None:
    running.kill()

    assert running.wait(10) == -signal.SIGKILL


def test_the_end_of_its_supervisor_ends_a_process(running: ForkedProcess) -> None:
    running.stdin.close()

    assert running.wait(10) == 0
    assert b"the supervisor is gone" in running.stdout.read()


def test_wrong_settings_end_a_process_with_their_code(parent: WarmParent, tmp_path: Path) -> None:
    settings = tmp_path / "driftline.toml"
    settings.write_text("[sever]\nport = 1\n")

    with forked(parent, settings) as (process, is_ready):
        assert not is_ready
        assert process.wait(10) == INPUT
        assert b"sever" in process.stdout.read()


def test_processes_outlive_a_killed_parent_and_the_next_has_a_new_one(
    parent: WarmParent, running: ForkedProcess, tmp_path: Path
) -> None:
    os.kill(warm_process_id(running.pid), signal.SIGKILL)

    with forked(parent, tmp_path / "missing.toml") as (other, _):
        assert other.wait(10) == INPUT
    second = parent._process
    assert running.poll() is None
    running.terminate()

    assert running.wait(10) == UNKNOWN_CODE
    # It was not asked for a process that it does not know, which would end it.
    assert second is not None
    assert parent._process is second
    assert second.poll() is None


def test_a_stopped_parent_holds_nobody_up(parent: WarmParent, running: ForkedProcess) -> None:
    os.kill(warm_process_id(running.pid), signal.SIGSTOP)
    assert parent._control is not None
    parent._control.settimeout(0.1)

    running.kill()

    assert running.wait(10) == UNKNOWN_CODE
