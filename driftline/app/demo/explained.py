"""Compares the pages of a replay with what really was in it: every page has one of three reasons.

Which windows call people is the monitors' word; the reasons come from the flights, and for measured
loss of quality from the probabilities in the Delta table, without any code of the monitors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow.compute as pc
from deltalake import DeltaTable

from driftline.app.demo.model import PROBABILITY
from driftline.app.demo.reasons import (
    BadWeek,
    PagedWindow,
    answered,
    bad_weeks,
    lacks_weather,
    window_of,
)
from driftline.app.demo.reconcile import Check, Run
from driftline.app.demo.resources import ENDPOINT, WINDOWS, monitor_of

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of the pages."""

    checks: Sequence[Check]
    lost: Sequence[BadWeek]


def explain(run: Run) -> Explained:
    """Find the reason of every window that pages, and of every page that rang."""
    windows = {
        PagedWindow(monitor, start)
        for monitor in map(monitor_of, WINDOWS)
        for start, execution in run.installation.windows(monitor).items()
        if execution["page_count"]
    }
    quality = monitor_of("model-quality")
    lost = _bad_weeks(run, {one for one in windows if one.monitor == quality})
    reasons = {PagedWindow(quality, week.start) for week in lost}
    data = monitor_of("data-quality")
    reasons |= {PagedWindow(data, day) for day in run.traffic.faulty_days}
    last = run.traffic.end - DAY
    if lacks_weather(run.traffic.planted.table, last):
        reasons.add(PagedWindow(data, last))
    rung = [
        window_of(page)
        for page in run.receiver.pages
        if page.state == "ALARM" and page.severity == "page"
    ]
    about = "windows that page; planted, without weather, or Brier skill below 0"
    checks = [
        Check("windows explained", len(windows), len(windows & reasons), about),
        Check(
            "pages explained",
            len(rung),
            sum(window in windows & reasons for window in rung),
            "pages at the receiver; those for such a window",
        ),
    ]
    return Explained(checks, lost)


def _bad_weeks(run: Run, windows: set[PagedWindow]) -> list[BadWeek]:
    """Measure the model in some weeks, from what was captured and what is known of the flights."""
    if not windows:
        return []
    captured = DeltaTable(str(run.root / "capture" / ENDPOINT)).to_pyarrow_table(
        columns=["event_id", "row_index", "status", PROBABILITY]
    )
    table = run.traffic.planted.table
    indices = {one.event_id: one.request_index for one in run.replay.ledger.served()}
    found = answered(
        captured.filter(pc.less(captured["status"], 400)),
        run.traffic.requests,
        indices,
        table.num_rows,
    )
    return bad_weeks(table, found, sorted(one.start for one in windows))
