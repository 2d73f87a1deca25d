"""The machine resources that a variant's workers use, with the processes that they started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from driftline.orphans import descendants

# Of control groups, new and old.
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_TICKS = os.sysconf("SC_CLK_TCK")


class Workers(NamedTuple):
    """The workers of a variant, or of one of its containers, that can answer now."""

    endpoint: str
    variant: str
    process_ids: list[int]
    container: str = ""  # The hostname of one of several.
    memory_bytes: int | None = None  # Each may use so much; None: what the machine has.
    model_counts: tuple[int, ...] = ()  # Of each, where they hold many models.
    open_count: int = 0  # Requests that are asked of them now.
    provisioned: int | None = None  # Workers of a serverless variant that always run.
    fleet: str = ""  # Of two, while the endpoint is deployed.


class Used(NamedTuple):
    """The usage of one worker since the last reading."""

    cpu: float  # Percent of one core; two cores make 200.
    memory: float  # Percent of what it may use, now.


class Meter:
    """Measures what processes use between readings."""

    def __init__(self) -> None:
        # CPU seconds of each process, and when they were read.
        self._before: dict[int, tuple[float, float]] = {}

    def read(self, found: Iterable[Workers]) -> list[tuple[Workers, list[Used]]]:
        """Look at all workers, in a thread; one that is seen first has used nothing yet."""
        before, self._before = self._before, {}
        machine, read = machine_memory_bytes(), []
        for workers in found:
            used: list[Used] = []
            for process_id in workers.process_ids:
                with suppress(OSError, ValueError):  # It has just ended, or nothing is told.
                    # What a command of a model started does its work.
                    family = {process_id, *descendants(process_id)}
                    cpu_s, now_s = sum(map(_cpu_s, family)), time.monotonic()
                    self._before[process_id] = cpu_s, now_s
                    last_s, since_s = before.get(process_id, (cpu_s, now_s))
                    memory = sum(map(_memory_bytes, family)) / (workers.memory_bytes or machine)
                    if now_s > since_s:
                        # Less than before where one that it started has ended.
                        cpu = max(0.0, cpu_s - last_s) / (now_s - since_s)
                        used.append(Used(100 * cpu, 100 * memory))
            read.append((workers, used))
        return read


def machine_memory_bytes() -> int:
    """Return the memory that this machine has, or what its control group may use of it."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _GROUP_LIMITS:
        with suppress(OSError, ValueError):  # None, or "max".
            found = min(found, int(Path(path).read_text()))
    return found


def _cpu_s(process_id: int) -> float:
    """Return the CPU seconds of a process, and of its children that ended."""
    # Its name, in brackets, may hold spaces; after it the state is the third field of proc(5).
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _memory_bytes(process_id: int) -> int:
    """Return the memory of a process, with its part of what it shares with others."""
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise ValueError(f"process {process_id}: no proportional set size")
