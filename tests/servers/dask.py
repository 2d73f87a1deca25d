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
    """A running cluster.

    Parameters
    ----------
    address
        Of the scheduler.
    scheduler, workers
        Their processes; they may be killed.
    """

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, *, path: Path | None = None
) -> Iterator[DaskProcesses]:
    """Run a scheduler and so many workers of one thread, for as long as the context lasts.

    Parameters
    ----------
    folder
        Where they may write.
    workers
        How many.
    path
        Where they look for packages before anywhere else.
    """
    note = folder / "scheduler.json"
    log = (folder / "dask.log").open("wb")
    started: list[subprocess.Popen[bytes]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *arguments],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_path(path))},
        )
        started.append(process)
        return process

    try:
        scheduler = run(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--scheduler-file", str(note),
        )  # fmt: skip
        address = _address(note)
        found = [
            run(
                "dask_worker", address, "--no-nanny", "--nthreads", "1", "--memory-limit", "2GB",
                "--local-directory", str(folder), "--death-timeout", "60",
            )
            for _ in range(workers)
        ]  # fmt: skip
        with distributed.Client(address, timeout=START_S, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=START_S)
        yield DaskProcesses(address, scheduler, found)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        log.close()


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
