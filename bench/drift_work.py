"""One piece of work of bench/drift.py, in a process of its own: prints what it cost as JSON.

Run by this project's Python or by a peer's; so it imports nothing but what the work needs.

    python bench/drift_work.py WORK REFERENCE WINDOW FOLDER
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Imports what is needed and gives the work: reference, window and a folder in, nothing out.
Maker = Callable[[], Callable[[str, str, Path], object]]


def stream() -> Callable[[str, str, Path], object]:
    """Read every batch with pyarrow on one thread, and nothing else."""
    from pyarrow import parquet

    def work(_reference: str, window: str, _folder: Path) -> None:
        file = parquet.ParquetFile(window)
        for batch in file.iter_batches(batch_size=1 << 17, use_threads=False):
            batch.num_rows  # noqa: B018

    return work


def baseline() -> Callable[[str, str, Path], object]:
    """Fit and write a baseline."""
    from driftline.baseline.store import Baseline

    return lambda reference, _window, folder: Baseline.fit(reference).save(folder)


def check() -> Callable[[str, str, Path], object]:
    """Read the baseline, judge the window, make the result."""
    from driftline.monitors.check import check as judge
    from driftline.monitors.kinds.data_quality import evaluation as inspection  # noqa: F401

    return lambda _reference, window, folder: judge(window, folder).to_dict()


def command() -> Callable[[str, str, Path], object]:
    """Run ``driftline check`` as people do; its CPU is that of the child."""
    place = Path(sys.executable).with_name("driftline")

    def work(_reference: str, window: str, folder: Path) -> None:
        asked = [str(place), "check", window, "--baseline", str(folder)]
        done = subprocess.run(asked, stdout=subprocess.DEVNULL, check=False)
        if done.returncode > 1:
            raise SystemExit(f"driftline check left with {done.returncode}")

    return work


def evidently() -> Callable[[str, str, Path], object]:
    """Compare all columns by the preset for drift."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    def work(reference: str, window: str, _folder: Path) -> object:
        report = Report([DataDriftPreset()])
        return report.run(pd.read_parquet(window), pd.read_parquet(reference)).dict()

    return work


def nannyml() -> Callable[[str, str, Path], object]:
    """Fit the univariate drift of all columns and look at the window as one chunk."""
    import nannyml as nml
    import pandas as pd

    def work(reference: str, window: str, _folder: Path) -> object:
        frame = pd.read_parquet(reference)
        found = nml.UnivariateDriftCalculator(column_names=list(frame.columns), chunk_number=1)
        found.fit(frame)
        del frame
        return found.calculate(pd.read_parquet(window)).to_df()

    return work


def whylogs() -> Callable[[str, str, Path], object]:
    """Profile both and compare the profiles."""
    import pandas as pd
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    def work(reference: str, window: str, _folder: Path) -> object:
        then = why.log(pd.read_parquet(reference)).view()
        now = why.log(pd.read_parquet(window)).view()
        return calculate_drift_scores(target_view=now, reference_view=then, with_thresholds=True)

    return work


WORKS: dict[str, Maker] = {
    one.__name__: one for one in (stream, baseline, check, command, evidently, nannyml, whylogs)
}


def cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    own, others = (resource.getrusage(who) for who in WHOSE)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def own_peak() -> float:
    """MiB that this process took at most.

    Not by getrusage: its peak begins with that of the process that has started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def children_peak() -> float:
    """MiB that a process started by this small one took at most."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    name, reference, window, folder = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):  # Some peers talk.
        start = cpu()
        work = WORKS[name]()
        imported = cpu()
        wall = time.perf_counter()
        work(reference, window, Path(folder))
        wall = time.perf_counter() - wall
        done = cpu()
    peak = children_peak() if name == "command" else own_peak()
    found = {"imports": imported - start, "cpu": done - imported, "wall": wall, "peak": peak}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
