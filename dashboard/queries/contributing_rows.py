"""What the captured rows show of a window's violation: its rows, the reference beside the window.

Everything here needs the storage root; what cannot be read is said on the page and hides no more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa

from driftline.dashboard.queries.documents import Document, culprit, gravest_culprit, script_of
from driftline.dashboard.queries.storage import Holdings
from driftline.dashboard.queries.views import FeatureLine, GuiltyRows, MonitorLine, WindowRun
from driftline.dashboard.words import count, plural
from driftline.errors import DriftlineError
from driftline.monitors.report.comparison import Comparison

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, None where there is none; ``notes`` say what cannot be shown, and why."""

    comparison: Comparison | None = None
    rows: GuiltyRows | None = None
    notes: tuple[str, ...] = ()


def evidence(
    holdings: Holdings,
    line: MonitorLine,
    run: WindowRun,
    report: Document | None,
    feature: FeatureLine | None = None,
) -> Evidence:
    """Read what the rows show of a feature, or, without one, of the window's gravest violation."""
    comparison = None
    try:
        found = gravest_culprit(report) if feature is None else culprit(report, feature.name)
        if found is None and feature is None:
            return Evidence()
        if script := script_of(report):
            made = f"The rows were made by {script} and are not kept"
            return Evidence(notes=(f"{made}: there is no picture of them.",))
        baseline = holdings.baseline(line.baseline, line.baseline_version)
        if feature is not None:
            comparison = holdings.comparison(baseline, line, run, feature, found)
        rows = None if found is None else holdings.rows(baseline, line, run, found)
    except (DriftlineError, OSError, pa.ArrowException) as error:
        log.exception("rows_unreadable monitor=%s window=%s", line.name, run.stamp)
        # Only the first line: what libraries add below it is for the log.
        lines = str(error).splitlines() if isinstance(error, DriftlineError) else []
        reason = lines[0] if lines else type(error).__name__
        return Evidence(notes=(f"The captured rows cannot be read: {reason}",))
    return Evidence(comparison, rows, _since_judged(line, run, comparison))


def _since_judged(
    line: MonitorLine, run: WindowRun, comparison: Comparison | None
) -> tuple[str, ...]:
    """Say so when more or fewer rows lie in the window now than were judged."""
    # Only this kind judges every captured row.
    if comparison is None or run.row_count is None or line.kind != "data quality":
        return ()
    held = comparison.window_rows
    if held == run.row_count:
        return ()
    if held < run.row_count:
        return (
            f"{count(run.row_count - held)} of {plural(run.row_count, 'row')} of this window have "
            "been deleted (erased, or past retention); its result is kept, and the chart counts "
            "those that are left.",
        )
    times = f"--from {run.start:%Y-%m-%dT%H:%M:%SZ} --to {run.end:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"Judged were {plural(run.row_count, 'row')}; the window holds {plural(held, 'row')} now, "
        "which is what the chart counts. To judge those: "
        f"driftline monitor run {line.name} {times}",
    )
