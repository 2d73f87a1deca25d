"""Forked processes: what they are to whoever started them, and what outlives their parent."""

import importlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import pyarrow as pa
import pytest

from driftline.app.exit_codes import INPUT
from driftline.app.warm_parent import AT_START, UNKNOWN_CODE, ForkedProcess, WarmParent
from driftline.serving.hosting import fork_server
from driftline.serving.hosting.model_process import ModelProcess, open_model

MODELS = Path(__file__).parents[2] / "fixtures" / "serving"


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
    settings.write_text('[metrics]\nport = 0\n[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n')
    with forked(parent, settings) as (process, is_ready):
        assert is_ready
        yield process


@pytest.fixture(scope="module")
def halves() -> Iterator[tuple[str, str]]:
    """Have a secret in the environment; it is given in halves, for whoever looks for it."""
    halves = secrets.token_hex(16), secrets.token_hex(16)
    with pytest.MonkeyPatch.context() as patch:
        # Many times: of memory that was freed, only a part is written over.
        patch.setenv("AWS_SECRET_ACCESS_KEY", "".join(halves) * 30)
        patch.setenv("PYTHONPATH", str(MODELS))
        yield halves


@pytest.fixture(scope="module")
def parent(halves: tuple[str, str]) -> Iterator[WarmParent]:
    """A warm parent that was started with a secret in the environment, again after its end."""
    warm = WarmParent(["sidecar"])
    yield warm
    warm.close()


@pytest.fixture
def open_searching(
    parent: WarmParent, halves: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], ModelProcess]]:
    """Open, each time in a process of its own, a model that looks for the secret."""
    monkeypatch.syspath_prepend(MODELS)
    searching = importlib.import_module("searching_model")
    joblib.dump(searching.Searching(*halves).fit(), tmp_path / "m.joblib")
    with forked(parent, tmp_path / "missing.toml") as (process, _):
        process.wait(10)  # What was said of it would stay in memory, freed.
    assert parent._door is not None
    with parent._door.dup() as door:
        monkeypatch.setattr(fork_server._fork_servers(), "door", door)
        opened: list[ModelProcess] = []

        def start() -> ModelProcess:
            # Another environment is for another fork server: as of another process.
            monkeypatch.setenv("LC_ALL", f"C.{os.urandom(4).hex()}")
            opened.append(open_model(tmp_path / "m.joblib", trust_pickle=True))
            assert opened[-1](pa.table({"_c0": [0.0]})).tolist() == [0.0]
            return opened[-1]

        yield start
        for model in opened:
            model.close()
        fork_server._fork_servers().close()


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


def test_a_process_has_the_environment_of_its_start_and_its_parent_has_not(
    parent: WarmParent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driftline.toml").touch()
    monkeypatch.setenv("DRIFTLINE_SEVER__PORT", "1")

    with forked(parent, tmp_path / "driftline.toml") as (process, _):
        assert process.wait(10) == INPUT
        assert b"environment DRIFTLINE_SEVER__PORT" in process.stdout.read()


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


def test_what_looks_for_the_secret_finds_it_where_it_is(halves: tuple[str, str]) -> None:
    search = [sys.executable, str(MODELS / "memory_search.py")]

    done = subprocess.run(search, input=" ".join(halves), capture_output=True, text=True)

    assert int(done.stdout) >= 2  # The environment as it was given, and as Python has it.


def test_a_model_finds_no_secret_in_its_process(
    parent: WarmParent, halves: tuple[str, str], open_searching: Callable[[], ModelProcess]
) -> None:
    model = open_searching()  # It has looked, and told how often it found the secret.

    places = importlib.import_module("memory_search").places
    worker = model.process_id
    assert worker is not None
    forks = warm_process_id(worker)
    assert parent._process is not None
    assert warm_process_id(forks) == parent._process.pid
    for process in (worker, forks, parent._process.pid):
        block = Path(f"/proc/{process}/environ").read_bytes().decode()
        assert places(*(half.encode() for half in halves), process) == 0
        names = {line.partition("=")[0] for line in block.split("\0") if line}
        assert names <= {*fork_server.PASSED_ON, *AT_START}
    held = [str(one.readlink()) for one in Path(f"/proc/{worker}/fd").iterdir()]
    assert len(held) == 4
    assert [name.partition(":")[0] for name in sorted(held)] == [
        "/dev/null", "pipe", "pipe", "socket",
    ]  # fmt: skip
