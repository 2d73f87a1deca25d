"""What a baseline and a check cost, beside bare reading of the same file and beside the peers.

Each work runs in a process of its own, so that its peak of memory is its own; works take turns, so
that a busy machine slows all of them; each figure is the least of the rounds. Ratios are what to
look at. Peers are installed by pip from bench/peers/ into environments in a cache folder.

    python bench/drift.py --write              # all of it: some 3 GB of disk, half an hour
    python bench/drift.py --rows 100000 --peers ""
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
WORK = HERE / "drift_work.py"
OURS = ("stream", "baseline", "check", "command")
PEERS = ("evidently", "nannyml", "whylogs")
PEER_ROWS = 1_000_000
GROUP_ROWS = 1_000_000
LEVELS = (3, 10, 50, 300, 4_000)
# The usual table, and tables of many columns with fewer rows.
WIDTHS = (25, 250, 2_500)
WIDE_ROWS = 20_000
QUIET = {"WHYLOGS_NO_ANALYTICS": "True", "NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}

Cost = dict[str, float]


def make(path: Path, rows: int, columns: int, seed: int) -> Path:
    """Write numbers (measurements, amounts, counts) and, a fifth of the columns, texts."""
    rng = np.random.default_rng(seed)
    writer = None
    for at in range(0, rows, GROUP_ROWS):
        table = pa.table(_columns(rng, min(GROUP_ROWS, rows - at), columns))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def _columns(rng: np.random.Generator, rows: int, columns: int) -> dict[str, pa.Array]:
    found: dict[str, pa.Array] = {}
    texts = columns // 5
    for index in range(columns - texts):
        if index % 4 == 3:
            values = rng.poisson(3 * 4 ** (index // 4 % 5), rows)
        elif index % 4 == 2:
            values = np.round(rng.lognormal(2.0, 1.0, rows), 2)
        else:
            values = rng.normal(index, 1 + index, rows)
        found[f"number{index}"] = pa.array(values)
    for index in range(texts):
        names = np.array([f"level-{level:04d}" for level in range(LEVELS[index % len(LEVELS)])])
        chosen = np.minimum((rng.pareto(1.1, rows) * 3).astype(np.int64), len(names) - 1)
        found[f"text{index}"] = pa.array(names[chosen])
    return found


def environment(peer: str, cache: Path) -> Path | str:
    """Return the Python of a peer's environment, made if need be; else why there is none."""
    asked = HERE / "peers" / f"{peer}.txt"
    place = cache / peer
    python = place / "bin" / "python"
    mark = place / "installed.txt"
    if mark.is_file() and mark.read_text() == asked.read_text():
        return python
    venv.create(place, with_pip=True, clear=True)
    pip = [python, "-m", "pip", "install", "--quiet", "-r", asked]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    mark.write_text(asked.read_text())
    return python


def run(python: Path | str, work: str, reference: Path, window: Path, folder: Path) -> Cost | str:
    """Do one work; give its cost, or the last line of its error."""
    # One thread for the peers' linear algebra, too: CPU time is compared, not patience.
    quiet = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    asked = [python, "-W", "ignore", WORK, work, reference, window, folder]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    found: Cost = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(
    pythons: dict[str, Path | str], reference: Path, window: Path, folder: Path, rounds: int
) -> dict[str, Cost | str]:
    """Let the works take turns; give the least of each figure."""
    best: dict[str, Cost | str] = {}
    for number in range(rounds):
        for work, python in pythons.items():
            if work in PEERS and number:
                continue
            found = run(python, work, reference, window, folder)
            before = best.get(work)
            if isinstance(found, dict) and isinstance(before, dict):
                found = {key: min(value, before[key]) for key, value in found.items()}
            best[work] = found
    return best


def lines_of(shape: str, costs: dict[str, Cost | str]) -> list[str]:
    """Write one table's rows."""
    stream = costs["stream"]
    assert isinstance(stream, dict), stream
    found = []
    for work, cost in costs.items():
        if isinstance(cost, str):
            found.append(f"| {shape} | {work} | does not run: {cost[:120]} | | | | |")
            continue
        shown = "driftline check, whole" if work == "command" else work
        found.append(
            f"| {shape} | {shown} | {cost['imports']:.2f} | {cost['cpu']:.2f} "
            f"| {cost['cpu'] / stream['cpu']:.1f} | {cost['wall']:.2f} | {cost['peak']:.0f} |"
        )
    return found


def shapes(rows: Sequence[int], *, wide: bool) -> list[tuple[int, int]]:
    """List rows and columns of each table."""
    return [(count, WIDTHS[0]) for count in rows] + [(WIDE_ROWS, width) for width in WIDTHS if wide]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="10000,100000,1000000,10000000")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wide", action="store_true", help="tables of 25, 250, 2,500 columns, too")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "driftline-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where peers are installed")
    parser.add_argument("--write", action="store_true", help="write bench/drift.md")
    options = parser.parse_args()
    own: dict[str, Path | str] = dict.fromkeys(OURS, sys.executable)
    peers = {one: environment(one, options.cache) for one in options.peers.split(",") if one}
    found = []
    for rows, columns in shapes([int(one) for one in options.rows.split(",")], wide=options.wide):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            reference = make(folder / "reference.parquet", rows, columns, 1)
            window = make(folder / "window.parquet", rows, columns, 2)
            # A peer that could not be installed has no Python, but the reason.
            ready = {one: place for one, place in peers.items() if isinstance(place, Path)}
            asked = own | (ready if rows <= PEER_ROWS and columns == WIDTHS[0] else {})
            costs = measure(asked, reference, window, folder / "baseline", options.rounds)
        found += lines_of(f"{rows:,} x {columns}", costs)
        print("\n".join(lines_of(f"{rows:,} x {columns}", costs)), flush=True)
    found += [
        f"| all | {one} | does not install: {why[:120]} | | | | |"
        for one, why in peers.items()
        if isinstance(why, str)
    ]
    if options.write:
        (HERE / "drift.md").write_text(page(found, options.rounds))


def page(found: Sequence[str], rounds: int) -> str:
    """Write the table with what it was measured on."""
    head = [
        "# A baseline and a check beside bare reading, and beside the peers",
        "",
        f"`python bench/drift.py --wide --rounds {rounds}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}, pyarrow {pa.__version__}. "
        "Seconds are the least of the rounds (peers: one round), memory is the peak of the "
        "process. Four fifths of the columns are numbers, one fifth texts. `stream` is pyarrow "
        "reading the same file on one thread; a peer does both, reference and window. The whole "
        "command's CPU seconds hold its imports.",
        "",
        "| rows x columns | work | imports, CPU s | CPU s | x stream | wall s | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *found]) + "\n"


if __name__ == "__main__":
    main()
