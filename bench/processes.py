"""Processor seconds to start and stop an installation, and its memory at rest, by process.

Compares source trees in one environment, in turn: ``python bench/processes.py TREE...``; with
``--model FILE`` an endpoint serves that model, and with ``--further N`` so do N more, so that
what each costs is shown. Memory of libraries' files counts less when other programs map the same
files: measure in an environment that nothing else runs in.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.servers.ports import free_port

ROUNDS = 5
REST_S = 3
MODEL_REST_S = 20  # Until all workers have loaded a model.
ANSWER_WITHIN_S = 60
TICKS_S = os.sysconf("SC_CLK_TCK")
NAMES = ("server", "background", "dashboard")


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


def name_of(pid: int) -> str:
    """Return the name of a process of an installation."""
    words = [*Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
    if "driftline.app.warm_parent" in words:
        return Path(f"/proc/{pid}/comm").read_text().strip().replace("python", "warm parent")
    if "driftline.serving.hosting.fork_server" in words:
        return "models"
    return next((name for name in NAMES if name in words), "up")


def below(pid: int) -> list[int]:
    """Return a process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in below(int(child)))]


def answer(folder: Path, row: str) -> None:
    """Ask the endpoint until it answers."""
    settings = tomllib.loads((folder / "driftline.toml").read_text())
    url = f"http://127.0.0.1:{settings['server']['port']}/endpoints/model-0/invocations"
    headers = {"Content-Type": "text/csv"}
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        answered = httpx.post(url, content=row, headers=headers, timeout=ANSWER_WITHIN_S)
        if answered.status_code == 200:
            return
        if answered.status_code != 503 or time.monotonic() > until:
            raise RuntimeError(f"no answer to {row!r}: {answered.status_code} {answered.text}")
        time.sleep(0.05)


def measure(
    tree: Path, folder: Path, model: Path | None, row: str, *, deployed: range = range(0)
) -> dict[str, float]:
    """Start an installation, deploy, let it rest and stop it."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "driftline"]
    environment = inherited | {"PYTHONPATH": str(tree)}
    found: dict[str, float] = defaultdict(float)
    with (
        subprocess.Popen(
            [*command, "up"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        ) as up,
        ExitStack() as ends,
    ):
        ends.callback(up.terminate)  # Or an error would wait for its end for ever.
        assert up.stderr is not None
        if not any("ready; Ctrl-C" in line for line in up.stderr):
            raise RuntimeError(f"{tree}: ended before it was ready")
        for number in deployed:
            words = [*command, "deploy", str(model), "--name", f"model-{number}"]
            subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
        if model is None:
            pids = below(up.pid)
            found["start CPU s"] = sum(processor_s(pid) for pid in pids)
            time.sleep(REST_S)
        else:  # The server is ready before its model is.
            answer(folder, row)
            found["start to first answer CPU s"] = sum(processor_s(pid) for pid in below(up.pid))
            time.sleep(MODEL_REST_S)
            pids = below(up.pid)
            found["start and rest CPU s"] = sum(processor_s(pid) for pid in pids)
        for pid in pids:
            found[f"{name_of(pid)} PSS MiB"] += memory_mib(pid)
        found["all PSS MiB"] = sum(memory_mib(pid) for pid in pids)
        before = sum(processor_s(pid) for pid in pids)
        up.send_signal(signal.SIGTERM)
        os.waitid(os.P_PID, up.pid, os.WEXITED | os.WNOWAIT)
        # By then it has collected the others, so that theirs are in its own.
        found["stop CPU s"] = processor_s(up.pid) - before
        up.stderr.close()
    return found


def main() -> None:
    """Print the medians, one column a tree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--model", type=Path, help="a file that one endpoint serves")
    parser.add_argument("--row", default="0,0,0,0", help="what it is asked for first, as CSV")
    parser.add_argument("--further", type=int, default=0, help="more endpoints that serve it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.trees]
    model = given.model and given.model.resolve()
    measured: dict[str, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, str(number)) for number in range(len(trees))]
        for folder, tree in zip(folders, trees, strict=True):
            folder.mkdir()
            (folder / "driftline.toml").write_text(
                f"[server]\nport = {free_port()}\n[dashboard]\nport = {free_port()}\n"
                "[metrics]\nbackground_port = 0\n"
            )
            # Makes the database, and warms the caches.
            measure(tree, folder, model, given.row, deployed=range(1 if model else 0))
        for _ in range(given.rounds):
            for folder, tree in zip(folders, trees, strict=True):
                for what, value in measure(tree, folder, model, given.row).items():
                    measured[what][tree].append(value)
        for folder, tree in zip(folders, trees, strict=True):
            if model is not None and given.further:
                more = range(1, 1 + given.further)
                measure(tree, folder, model, given.row, deployed=more)
                for _ in range(given.rounds):
                    all_mib = measure(tree, folder, model, given.row)["all PSS MiB"]
                    measured[f"all PSS MiB, {given.further} further models"][tree].append(all_mib)
                    further = all_mib - statistics.median(measured["all PSS MiB"][tree])
                    measured["each further model, PSS MiB"][tree].append(further / given.further)
    print("| | " + " | ".join(str(tree) for tree in trees) + " |")
    print("|" + "---|" * (len(trees) + 1))
    for what, by_tree in measured.items():
        values = [
            f"{statistics.median(by_tree[tree]):.2f}" if tree in by_tree else "" for tree in trees
        ]
        print(f"| {what} | " + " | ".join(values) + " |")


if __name__ == "__main__":
    main()
