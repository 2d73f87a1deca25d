"""The figures that a change is held against: start, memory, requests, a check of 1M x 25.

``python bench/results.py TREE...`` measures source trees in one environment, in turn, through the
command line and HTTP only, and prints a table with one column a tree. CPU is that of all processes
of the installation, capture included. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.servers.ports import free_port

FEATURES = [f"x{number:02}" for number in range(20)]
REST_S = 20
TICKS_S = os.sysconf("SC_CLK_TCK")
ROW_REQUESTS = 2_000
BODY_REQUESTS = 60
BODY_ROWS = 1_000


def processor_s(pid: int) -> float:
    """Return what a process and the children that it has collected took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(one) for one in fields[11:15]) / TICKS_S


def memory_mib(pid: int) -> float:
    """Return the proportional share of a process, in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no share of process {pid}")


def below(pid: int) -> list[int]:
    """Return a process and all that it started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    return [pid, *(one for child in children for one in below(int(child)))]


@dataclass(frozen=True)
class Installation:
    """A running installation of one tree: its URL, and the process that started the others."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        return sum(processor_s(pid) for pid in below(self.pid))

    def stored_rows(self) -> int:
        stats = httpx.get(f"{self.url}/api/v1/endpoints/model/capture").raise_for_status().json()
        return int(stats["rows"])


def driftline(tree: Path, folder: Path, *words: object) -> tuple[float, float]:
    """Run one command to its end; return its CPU and wall seconds. Violations are an answer."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "driftline", *map(str, words)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{words}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return 25 columns: 15 numbers, five counts, five categories."""
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {f"n{i}": random.normal(size=rows) for i in range(15)}
    columns |= {f"c{i}": random.poisson(3 + i, rows) for i in range(5)}
    columns |= {
        f"t{i}": random.choice([f"v{j}" for j in range(3 + 10 * i)], rows) for i in range(5)
    }
    return pd.DataFrame(columns)


def measure_check(tree: Path, folder: Path) -> dict[str, float]:
    """Fit a baseline of a million rows, and check another million against it."""
    fit, _ = driftline(tree, folder, "baseline", "reference.parquet", "-o", "baseline")
    check, wall = driftline(tree, folder, "check", "today.parquet", "--baseline", "baseline")
    return {"baseline 1M x 25, CPU s": fit, "check 1M x 25, CPU s": check, "check 1M x 25, s": wall}


@contextmanager
def running(tree: Path, folder: Path) -> Iterator[Installation]:
    """Keep `driftline up` running in a folder."""
    port = free_port()
    ports = f"[server]\nport = {port}\n[dashboard]\nport = {free_port()}\n"
    (folder / "driftline.toml").write_text(ports + "[metrics]\nport = 0\n")
    with subprocess.Popen(
        [sys.executable, "-m", "driftline", "up"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(tree)}, stderr=subprocess.PIPE, text=True,
    ) as up:  # fmt: skip
        assert up.stderr is not None
        try:
            if not any("ready; Ctrl-C" in line for line in up.stderr):
                raise RuntimeError(f"{tree}: ended before it was ready")
            yield Installation(f"http://127.0.0.1:{port}", up.pid)
        finally:
            up.send_signal(signal.SIGTERM)


def bodies(rows: pd.DataFrame) -> dict[str, tuple[str, bytes]]:
    """Return the content type and body of the same rows in each format."""
    array = io.BytesIO()
    np.save(array, rows.to_numpy())
    lists = json.dumps({"instances": rows.to_numpy().tolist()}).encode()
    return {
        "JSON": ("application/json", lists),
        "CSV": ("text/csv", rows.to_csv(index=False, header=False).encode()),
        "npy": ("application/x-npy", array.getvalue()),
    }


def ask(
    here: Installation, kind: str, body: bytes, requests: int, rows: int
) -> tuple[float, float]:
    """Send one body again and again; return CPU ms a request, once all is stored, and p50 ms."""
    url, headers = f"{here.url}/endpoints/model/invocations", {"Content-Type": kind}
    waits = []
    with httpx.Client(timeout=60) as client:
        client.post(url, content=body, headers=headers).raise_for_status()
        wait_for_rows(here, rows)
        before, stored = here.cpu_s(), here.stored_rows()
        for _ in range(requests):
            start = time.perf_counter()
            client.post(url, content=body, headers=headers).raise_for_status()
            waits.append(time.perf_counter() - start)
        wait_for_rows(here, stored + requests * rows)
    return (here.cpu_s() - before) * 1000 / requests, statistics.median(waits) * 1000


def wait_for_rows(here: Installation, count: int) -> None:
    """Wait until so many rows are in the endpoint's table."""
    until = time.monotonic() + 120
    while here.stored_rows() < count:
        if time.monotonic() > until:
            raise RuntimeError(f"{here.stored_rows()} of {count} rows are stored")
        time.sleep(0.5)


def measure_serving(tree: Path, folder: Path) -> dict[str, float]:
    """Start, deploy a linear model of 20 numbers, rest, then ask it in each format."""
    found: dict[str, float] = {}
    rows = pd.read_parquet(folder / "train.parquet")[FEATURES].iloc[:BODY_ROWS]
    with running(tree, folder) as here:
        found["start, CPU s"] = here.cpu_s()
        driftline(
            tree, folder, "deploy", "model.skops", "--name", "model",
            "--reference", "train.parquet", "--label", "y", "--server", here.url,
        )  # fmt: skip
        time.sleep(REST_S)
        found["at rest with one model, PSS MiB"] = sum(map(memory_mib, below(here.pid)))
        for name, (kind, body) in bodies(rows.iloc[:1]).items():
            cpu, p50 = ask(here, kind, body, requests=ROW_REQUESTS, rows=1)
            found |= {f"one row {name}, CPU ms": cpu, f"one row {name}, p50 ms": p50}
        for name, (kind, body) in bodies(rows).items():
            cpu, p50 = ask(here, kind, body, requests=BODY_REQUESTS, rows=BODY_ROWS)
            found |= {f"1,000 x 20 {name}, CPU ms": cpu, f"1,000 x 20 {name}, p50 ms": p50}
    return found


def prepare(folder: Path) -> None:
    """Write the data and the model that all trees are measured with."""
    table(1_000_000, 1).to_parquet(folder / "reference.parquet")
    table(1_000_000, 2).to_parquet(folder / "today.parquet")
    random = np.random.default_rng(3)
    train = pd.DataFrame(random.normal(size=(5_000, len(FEATURES))).round(4), columns=FEATURES)
    train["y"] = (train[FEATURES[0]] + random.normal(size=len(train)) > 0).astype(int)
    train.to_parquet(folder / "train.parquet")
    skops.io.dump(LogisticRegression().fit(train[FEATURES], train["y"]), folder / "model.skops")


def main() -> None:
    """Print the medians, one column a tree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.trees]
    measured: dict[str, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(given.rounds):
        for tree in trees:
            with tempfile.TemporaryDirectory() as name:
                prepare(Path(name))
                for measure in (measure_check, measure_serving):
                    for what, value in measure(tree, Path(name)).items():
                        measured[what][tree].append(value)
    print("| | " + " | ".join(tree.name for tree in trees) + " |")
    print("|---|" + "---:|" * len(trees))
    for what, by_tree in measured.items():
        values = " | ".join(f"{statistics.median(by_tree[tree]):.2f}" for tree in trees)
        print(f"| {what} | {values} |")


if __name__ == "__main__":
    main()
