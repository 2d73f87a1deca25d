"""Tests in several processes, each a fork of the one that has collected them.

To collect nine thousand tests and import what they import takes 25 seconds of CPU. One process does
it, and forks; each fork takes the next tests until none are left, and tells how they ended. One
that dies is followed by another; the test that it had begun has failed.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
from collections import deque
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.reports import TestReport

__all__ = ["run_in_forks"]

FORKING = multiprocessing.get_context("fork")


def run_in_forks(session: pytest.Session, groups: Sequence[Sequence[int]], workers: int) -> None:
    """Run the tests of these numbers; each group is done by one worker, one test after another."""
    # They would not be there in a fork, which would wait for them for ever.
    made = [name for name in _thread_names() if name.startswith("polars-0")]
    assert not made, "a file of tests makes a frame of polars while it is collected: do it later"
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.showfspath = False  # They come from several files at a time.
    left, names = deque(list(group) for group in groups), count()
    running: dict[Connection, Worker] = {}

    def start() -> None:
        worker = Worker(session, f"w{next(names)}", list(running))
        running[worker.connection] = worker

    for _ in range(min(workers, len(groups))):
        start()
    try:
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                worker, told = running[connection], _told(connection)
                if told is None:
                    del running[connection]
                    if rest := worker.ended():
                        left.appendleft(rest)
                if session.shouldfail or session.shouldstop:
                    left.clear()
                if told is None and left:
                    start()
                elif told is not None and told[0]:
                    worker.tell(*told)
                elif told is not None:
                    worker.take(left.popleft() if left else [])
    finally:
        for worker in running.values():  # After an interrupt.
            worker.connection.close()
            worker.process.join()


def _told(connection: Connection) -> tuple[str, Any] | None:
    """Return what a worker tells: a hook and what it is given, none to ask for more, or its end."""
    with contextlib.suppress(EOFError, ConnectionResetError):
        return connection.recv()
    return None


def _thread_names() -> list[str]:
    return [one.read_text().strip() for one in Path("/proc/self/task").glob("*/comm")]


class Worker:
    """A fork, as the process that forked it sees it."""

    def __init__(self, session: pytest.Session, name: str, others: list[Connection]) -> None:
        self._session, self._name = session, name
        # What pytest shows of a worker, as those of pytest-xdist are.
        gateway = SimpleNamespace(id=name)
        self._node = SimpleNamespace(gateway=gateway, _workerinfocache=f"[{name}]")
        self._numbers: deque[int] = deque()  # Of tests that it has taken and not ended.
        # pytest's own folder of this run, in which each worker has one.
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        self.connection, child = FORKING.Pipe()
        parents = [*others, self.connection]
        self.process: BaseProcess = FORKING.Process(
            target=_work, args=(session, name, child, parents), name=name
        )
        self.process.start()
        child.close()

    def take(self, numbers: list[int]) -> None:
        """Hand it tests; none, and it ends."""
        self._numbers.extend(numbers)
        with contextlib.suppress(BrokenPipeError):  # Its end is seen next.
            self.connection.send(numbers)

    def tell(self, hook: str, given: Any) -> None:
        """Tell the plugins here what happened there."""
        config = self._session.config
        if hook == "pytest_runtest_logreport":
            report = config.hook.pytest_report_from_serializable(config=config, data=given)
            report.node = self._node
            given = {"report": report}
        getattr(config.hook, hook)(**given)
        if hook == "pytest_runtest_logfinish":
            self._numbers.popleft()

    def ended(self) -> list[int]:
        """Call the test failed in which it died; return the ones that it leaves."""
        self.process.join()
        self.connection.close()
        session, code = self._session, self.process.exitcode
        why = f"worker {self._name} ended with {code}"
        if code and not self._numbers:
            session.shouldfail = why
        if session.shouldfail or session.shouldstop or not self._numbers:
            return []
        item = session.items[self._numbers.popleft()]
        report = TestReport(item.nodeid, item.location, {}, "failed", why, "call")
        session.config.hook.pytest_runtest_logreport(report=report)
        return list(self._numbers)


class _Teller:
    """Tells the process that forked this one what pytest tells of tests."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("pytest_runtest_logstart", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._send("pytest_runtest_logfinish", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logreport(self, report: TestReport) -> None:
        config = self._config
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
        self._send("pytest_runtest_logreport", data)

    def _send(self, hook: str, given: Any) -> None:
        self._connection.send((hook, given))


def _work(
    session: pytest.Session, name: str, connection: Connection, parents: list[Connection]
) -> None:
    atexit._clear()  # That of the process that forked this one.
    for one in parents:  # Else nobody would see the end of the other.
        one.close()
    config = session.config
    plugins = config.pluginmanager
    plugins.unregister(name="terminalreporter")
    plugins.register(_Teller(config, connection))
    capture = plugins.get_plugin("capturemanager")
    capture.stop_global_capturing()  # Into a file that all would share.
    capture.start_global_capturing()
    folders = config._tmp_path_factory  # type: ignore[attr-defined]
    folders._basetemp = folders.getbasetemp() / name
    folders._basetemp.mkdir(mode=0o700)

    def more() -> list[pytest.Item]:
        connection.send(("", None))
        return [session.items[number] for number in connection.recv()]

    items = deque(more())
    try:
        while items and not (session.shouldfail or session.shouldstop):
            item = items.popleft()
            # Before its end: what outlives it is known by the test after it.
            if not items:
                items.extend(more())
            following = items[0] if items else None
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    finally:
        session._setupstate.teardown_exact(None)
        capture.stop_global_capturing()
        atexit._run_exitfuncs()
