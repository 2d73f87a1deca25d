"""What a process tree takes, for bench/serving.py; read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["below", "memory_mib", "name_of", "processor_s"]

TICKS_S = os.sysconf("SC_CLK_TCK")


def below(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.name != str(pid):
                children += (task / "children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(one for child in children for one in below(int(child)))]


def processor_s(pid: int) -> float:
    """Return the processor seconds of a process, user and system."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(one) for one in fields[11:13]) / TICKS_S


def memory_mib(pid: int) -> float:
    """Return the proportional share of a process, in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no share of process {pid}")


def name_of(pid: int) -> str:
    """Return the name of a process of an installation of ours."""
    return Path(f"/proc/{pid}/comm").read_text().strip()
