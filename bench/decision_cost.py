"""What the drift decision costs from ready counts: 1,000 columns over an hourly monitor's windows.

Construction (once for a baseline) and each of 64 windows in order, so that spans of 1 to 64 windows
are judged. CPU seconds of one process, best of several. Prints Markdown:
``python bench/decision_cost.py > bench/decision_cost.md``.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells, number_cells, text_cells
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts

SEED = 7
NUMBERS, TEXTS, LEVELS = 800, 200, 60
REFERENCE_HOURS, ROWS = 28 * 24, 300
HOUR = timedelta(hours=1)
# A multiple of 64 hours since 1970, so that the 64th window ends spans of every scale.
START = datetime(1970, 1, 1, tzinfo=UTC) + 64 * 6942 * HOUR
REPEATS = 5


def columns() -> dict[str, Cells]:
    """Return the cells of numbers and of texts with sixty levels."""
    values = np.sort(np.random.default_rng(SEED).normal(size=20_000))
    often = {f"v{place}": 10_000 // (place + 1) for place in range(LEVELS)}
    rows = sum(often.values())
    numbers = {
        f"n{i}": number_cells(f"n{i}", "double", values, np.ones(values.size))
        for i in range(NUMBERS)
    }
    texts = {
        f"t{i}": text_cells(f"t{i}", "string", often, complete=True, row_count=rows)
        for i in range(TEXTS)
    }
    return numbers | texts


def draw(rng: np.random.Generator, cells: Cells, hours: int) -> np.ndarray:
    """Draw independent rows: int64, shape (hours, cells)."""
    shares = np.ones(cells.size)
    shares[-2:] = 0.0
    if cells.is_number:
        shares[[0, -3]] = 0.0
    else:
        shares[: len(cells.levels)] = 1.0 / np.arange(1, len(cells.levels) + 1)
        shares[-3] = 0.0
    return rng.multinomial(ROWS, shares / shares.sum(), size=hours)


def cost(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the least CPU seconds that some work takes."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(SEED)
    cells = columns()
    hours = {name: draw(rng, one, REFERENCE_HOURS).astype(np.int32) for name, one in cells.items()}
    first = round(START.timestamp()) // 3600 - REFERENCE_HOURS
    blocks = BlockCounts(np.arange(first, first + REFERENCE_HOURS), hours)
    references = {
        name: ReferenceColumn(one, hours[name].sum(axis=0).astype(np.float64))
        for name, one in cells.items()
    }
    drawn = {name: draw(rng, one, 64) for name, one in cells.items()}
    windows = [
        WindowCounts(
            START + place * HOUR,
            START + (place + 1) * HOUR,
            ROWS,
            {name: one[place] for name, one in drawn.items()},
        )
        for place in range(64)
    ]
    drift_test = DriftTest(references, blocks, HOUR, scales=SCALES)
    lay = cost(lambda: drift_test.reference_model.layout.reference_sets)
    seasonal = drift_test.reference_model.seasonal
    assert seasonal is not None
    learn = cost(lambda: [seasonal.grids, *(seasonal.at(scale) for scale in SCALES)])
    each = [
        cost(lambda at=at: drift_test.judge(windows[at], windows[:at]), REPEATS) for at in range(64)
    ]
    sets = int(drift_test.reference_model.layout.set_starts[-1])
    report(sets, lay, learn, 1000.0 * np.array(each))


def report(sets: int, lay: float, learn: float, each_ms: np.ndarray) -> None:
    """Print the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("# What the drift decision costs\n")
    print(
        f"{NUMBERS} columns of numbers and {TEXTS} of texts, {sets:,} scanned sets; hourly windows "
        f"of {ROWS} rows, a reference of {REFERENCE_HOURS} hours. From ready counts to verdicts of "
        "all columns, bounds and words included; CPU of one process.\n"
    )
    print("| | CPU |")
    print("|---|---|")
    print(f"| `judge`, mean of 64 windows in order | {each_ms.mean():.0f} ms |")
    print(
        f"| `judge`, the window that ends spans of 1, 2, 4 ... 64 windows | {each_ms[-1]:.0f} ms |"
    )
    print(f"| laying the columns out, once for a baseline | {lay:.2f} s |")
    print(f"| season and design effects of all seven scales, once for a baseline | {learn:.1f} s |")
    print(f"\nPeak memory of the process {peak:,.0f} MB, the reference's hours included.\n")
    print(
        f"Measured {datetime.now(UTC).date().isoformat()} on Python {platform.python_version()}, "
        f"numpy {np.__version__}, {platform.machine()}; other work ran beside it."
    )


if __name__ == "__main__":
    main()
