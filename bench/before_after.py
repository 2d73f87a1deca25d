"""Whether a change made anything slower: two checkouts do the same works in turn, on one machine.

Each work runs in a process of its own in each checkout, with that checkout's environment; given is
the CPU (user and system, children included) of whole processes, so what else the machine does falls
on both alike. The ratio is the median over the rounds of one round's two runs; its range is told.

Prints Markdown:
``python bench/before_after.py ../before . --rounds 7 > bench/before_after.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

ROWS, NUMBERS, TEXTS = 1_000_000, 20, 5
SEED = 7
TAP = """
import asyncio, sys, tempfile
from driftline.capture.tap.tap import Capture
body = b"x" * 1024
async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
async def receive():
    return {"type": "http.request", "body": body}
async def send(message):
    pass
scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"a/b")]}
async def run(tapped):
    for _ in range(150_000):
        await tapped(dict(scope), receive, send)
with tempfile.TemporaryDirectory() as folder:
    asyncio.run(run(Capture(app, endpoint="flights", spool_dir=folder)))
"""
WORKS = {
    "tap: 150,000 requests of 1 KiB to a bare ASGI app": ["-c", TAP],
    "baseline: 1M x 25": ["-m", "driftline", "baseline", "{good}", "-o", "{out}"],
    "check without violations: 1M x 25": [
        "-m", "driftline", "check", "{same}", "--baseline", "{baseline}",
    ],
    "check with violations: 1M x 25": [
        "-m", "driftline", "check", "{bad}", "--baseline", "{baseline}",
    ],
    "alarms: 1,000 on 5,000 metrics, SQLite": [
        "bench/alarms.py", "--only", "sqlite", "--alarms", "1000", "--metrics", "5000",
        "--minutes", "3", "--day-metrics", "5",
    ],
    "start: driftline --help": ["-m", "driftline", "--help"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="works whose name begins so")
    given = parser.parse_args()
    print("# Before and after\n")
    print(
        f"`bench/before_after.py`, {datetime.now(UTC):%Y-%m-%d}, {revision(given.before)} and "
        f"{revision(given.after)}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, {given.rounds} rounds; CPU seconds of whole processes.\n"
    )
    print(
        "| work | before | after | after / before | lowest to highest |\n|---|---:|---:|---:|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, words in WORKS.items():
            if name.startswith(given.only):
                print(line(name, words, given, Path(folder)), flush=True)


def line(name: str, words: list[str], given: argparse.Namespace, folder: Path) -> str:
    """Return a work's line of the table."""
    before, after = [], []
    for number in range(given.rounds):
        both = [(given.before, before), (given.after, after)]
        for checkout, seconds in both if number % 2 else reversed(both):
            home = checkout.resolve()
            # Tables are made for those that name them: they take longer than most works.
            named = any(word.startswith("{") for word in words)
            places = files(home, folder) if named else {}
            seconds.append(cpu_s(home, words, places))
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    return (
        f"| {name} | {statistics.median(before):.2f} | {statistics.median(after):.2f} "
        f"| {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} |"
    )


def files(checkout: Path, folder: Path) -> dict[str, Path]:
    """Return the tables, and this checkout's own baseline of the good one; made once."""
    places = {name: folder / f"{name}.parquet" for name in ("good", "same", "bad")}
    if not places["good"].exists():
        rng = np.random.default_rng(SEED)
        for name, place in places.items():
            parquet.write_table(table(rng, drifted=name == "bad"), place)
    own = folder / str(checkout).strip("/").replace("/", "-")  # Both may be called alike.
    places |= {"baseline": own / "baseline", "out": own / "out"}
    if not places["baseline"].exists():
        words = ["-m", "driftline", "baseline", "{good}", "-o", "{baseline}"]
        cpu_s(checkout, words, places)
    return places


def table(rng: np.random.Generator, *, drifted: bool) -> pa.Table:
    """Return rows of numbers and texts; if drifted, eleven columns differ in a third of them."""
    columns: dict[str, np.ndarray] = {}
    hit = rng.random(ROWS) < (1 / 3 if drifted else 0)
    for number in range(NUMBERS):
        columns[f"x{number}"] = rng.normal(size=ROWS) + (hit if number < 9 else 0)
    for number in range(TEXTS):
        levels = rng.integers(0, 12, ROWS)
        codes = np.where(hit, levels // 4, levels) if number < 2 else levels
        columns[f"t{number}"] = np.array([f"level {code}" for code in range(12)])[codes]
    return pa.table(columns)


def cpu_s(checkout: Path, words: list[str], places: dict[str, Path]) -> float:
    """Run Python with these words in a checkout; return the CPU seconds that it took."""
    # Where it is set, every process would compile anew all that it imports.
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [checkout / ".venv/bin/python", *(word.format(**places) for word in words)]
        if words[0] != "-c"
        else [checkout / ".venv/bin/python", *words],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in ((0, 1) if "check" in words else (0,)):  # 1: violations were found.
        sys.exit(f"{checkout} {words}: {done.stderr[-2000:]}")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def revision(checkout: Path) -> str:
    """Return the short name of a checkout's commit."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
