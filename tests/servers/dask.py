"""A Dask cluster of processes: one scheduler, some workers, as a user would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import distributed

__all__ = ["DaskProcesses", "dask_cluster"]

START_S = 60.0
STOP_S = 10.0
ROOT = Path(__file__).parents[2]


@dataclass
class DaskProcesses:
    """A running cluster, whose processes may be killed.

    Parameters
    ----------
    folder
        Where they may write.
    count
        How many workers there are to be.
    """

    folder: Path
    count: int

    def __post_init__(self) -> None:
        self.workers: list[subprocess.Popen[bytes]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self._start_scheduler()

    def mend(self) -> None:
        """Start again what was killed, and wait for all that is missing."""
        if self.scheduler.poll() is not None:
            self.close()
            self._start_scheduler()
        self.workers = [one for one in self.workers if one.poll() is None]
        missing = self.count - len(self.workers)
        if missing:
            self.workers += [self.start_worker() for _ in range(missing)]
            self.wait(self.count)

    def start_worker(self, path: Path | None = None) -> subprocess.Popen[bytes]:
        """Start one more worker of one thread.

        Parameters
        ----------
        path
            Where it looks for packages before anywhere else.
        """
        return self._run(
            "dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--memory-limit", "2GB",
            "--local-directory", str(self.folder), "--death-timeout", "60", path=path,
        )  # fmt: skip

    def wait(self, count: int) -> None:
        """Wait until the scheduler knows so many workers, and no more."""
        with distributed.Client(self.address, timeout=START_S, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=START_S)
            while len(client.nthreads()) > count:
                time.sleep(0.05)

    def close(self) -> None:
        """End all processes, workers first."""
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        self._started.clear()

    def _start_scheduler(self) -> None:
        note = self.folder / "scheduler.json"
        note.unlink(missing_ok=True)
        self.scheduler = self._run(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(note)
        )
        self.address = _address(note)

    def _run(
        self, program: str, *arguments: str, path: Path | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_path(path))},
            )
        self._started.append(process)
        return process


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[DaskProcesses]:
    """Run a scheduler and so many workers of one thread, for as long as the context lasts.

    Parameters
    ----------
    folder
        Where they may write.
    workers
        How many.
    """
    cluster = DaskProcesses(folder, workers)
    try:
        cluster.mend()
        yield cluster
    finally:
        cluster.close()


def _path(first: Path | None) -> list[str]:
    """Return the places of packages: tasks of the tests are packages, too."""
    found = [] if first is None else [str(first)]
    return [*found, str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]


def _address(note: Path) -> str:
    """Wait until the scheduler has written down where it listens."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            return str(json.loads(note.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise TimeoutError(f"no scheduler within {START_S} s; see {note.parent / 'dask.log'}")
