"""Compares every stage of the demo with the one before it, as far as possible by other means.

The client's own counts are compared with the Delta table, read by deltalake alone; the documents on
disk with the datapoints; the alarms' histories with the notifications that the pager counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

from driftline.app.client.client import Client
from driftline.app.demo.bug import bug_days
from driftline.app.demo.flights import LABEL, is_between
from driftline.app.demo.receiver import Pager
from driftline.app.demo.replay import Replay, Traffic
from driftline.app.demo.resources import DAY, ENDPOINT, alarms_of

SHOWN_ROWS = 50
TABLE_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of two counts."""

    stage: str
    expected: int
    found: int
    about: str


@dataclass(frozen=True, slots=True)
class Run:
    """A finished replay, and all who can say something about it."""

    root: Path
    traffic: Traffic
    resources: Sequence[Mapping[str, Any]]
    replay: Replay
    pager: Pager
    client: Client

    def windows(self, monitor: str) -> dict[datetime, Mapping[str, Any]]:
        """Return a monitor's completed execution of each window, by the window's start."""
        return {
            datetime.fromisoformat(one["window_start"]): one
            for one in self.client.executions(monitor, limit=None)
            if one["is_current"] and one["status"].startswith("Completed")
        }


def reconcile(run: Run) -> list[Check]:
    """Compare all stages; the order is that of a request's way to the pager."""
    return [*requests(run), *_windows(run), *_labels(run), *_alarms(run), *_planted(run)]


def show(checks: Sequence[Check], console: Console) -> bool:
    """Print the comparisons as a table; return whether all agree."""
    table = Table("stage", box=None, pad_edge=False)
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    table.add_column("from", overflow="fold")
    for one in checks:
        mark = "ok" if one.expected == one.found else "[bold red]DIFFERS[/]"
        table.add_row(one.stage, f"{one.expected:,}", f"{one.found:,}", mark, one.about)
    console.print(table, width=min(TABLE_WIDTH, console.width))
    return all(one.expected == one.found for one in checks)


def requests(run: Run) -> list[Check]:
    """Compare requests sent, answered and stored; rows sent and stored."""
    answers, sent = run.replay.answers, run.traffic.planted.table.num_rows
    served = {one.request for one in answers if one.status == 200}
    answered = {one.event_id for one in answers}
    table = DeltaTable(str(run.root / "capture" / ENDPOINT)).to_pyarrow_table(
        columns=["event_id", "row_index", "status"]
    )
    stored = set(pc.unique(table["event_id"]).to_pylist())
    rows = table.filter(pc.less(table["status"], 400))
    once = rows.group_by(["event_id", "row_index"]).aggregate([])
    # An attempt whose answer was lost may have been captured or not: both are right.
    extra = max(0, len(stored - answered) - len(run.replay.lost))
    found = len(stored & answered) + extra
    asked = len(run.traffic.requests)
    return [
        Check("requests answered", asked, len(served), "sent; answered with predictions"),
        Check("requests stored", len(answered), found, "answers' ids; event ids in table"),
        Check("rows stored", sent, rows.num_rows, "sent; rows in the Delta table"),
        Check("rows stored once", sent, once.num_rows, "sent; distinct (event id, row)"),
    ]


def _windows(run: Run) -> list[Check]:
    """Compare windows judged, rows in them, violations in documents and in datapoints."""
    checks = []
    for one in run.traffic.cadences:
        name, due = one.monitor.removeprefix(f"{ENDPOINT}-"), len(one.ends(run.traffic.end))
        done = len(run.windows(one.monitor))
        checks.append(Check(f"windows: {name}", due, done, "windows due; completed executions"))
    days = run.windows(f"{ENDPOINT}-data-quality")
    rows, sent = sum(one["row_count"] for one in days.values()), run.traffic.planted.table.num_rows
    files = [run.root / one["folder"] / "report.json" for one in days.values()]
    counts = [json.loads(file.read_text(encoding="utf-8"))["violation_count"] for file in files]
    asked = {
        "namespace": "Driftline", "metric_name": "violations",
        "dimensions": {"Endpoint": ENDPOINT, "MonitoringSchedule": f"{ENDPOINT}-data-quality"},
        "period": round(DAY.total_seconds()),
        "start_time": run.traffic.start.isoformat(), "end_time": run.traffic.end.isoformat(),
        "statistics": ["Sum"],
    }  # fmt: skip
    points = run.client.send("POST", "/api/v1/metrics/statistics", asked)["datapoints"]
    sums = [round(point["sum"]) for point in points]
    said = "documents on disk; datapoints"
    return [
        *checks,
        Check("rows judged", sent, rows, "sent; rows of all windows"),
        Check("violations published", sum(counts), sum(sums), said),
        Check("days with violations", sum(map(bool, counts)), sum(map(bool, sums)), said),
    ]


def _labels(run: Run) -> list[Check]:
    """Compare the labels that were known, loaded, stored, and measured against."""
    known = _known(run, run.traffic.start, run.replay.labels_until)
    truth = run.root / "truth" / ENDPOINT
    stored = DeltaTable(str(truth)).to_pyarrow_table(columns=["key"]).num_rows if known else 0
    weeks = run.windows(f"{ENDPOINT}-model-quality")
    measured = sum(run.client.report(one["id"])["labelled_count"] for one in weeks.values())
    (cadence,) = (one for one in run.traffic.cadences if one.monitor.endswith("model-quality"))
    ends = cadence.ends(run.traffic.end)
    labelled = _known(run, cadence.first, ends[-1]) if ends else 0
    return [
        Check("labels stored", known, stored, "known two days later; rows of the truth table"),
        Check("labels measured", labelled, measured, "of the labelled weeks; model quality"),
    ]


def _known(run: Run, start: datetime, end: datetime) -> int:
    """Count the flights of a span that did arrive, from the data alone."""
    table = run.traffic.planted.table
    return len(table.filter(is_between(table, start, end))[LABEL].drop_null())


def _alarms(run: Run) -> list[Check]:
    """Compare changes of state, their history, the messages that follow, and what came."""
    counted = sum(alarm["status"]["state_seq"] for alarm in run.client.list("Alarm"))
    specs = alarms_of(run.resources)
    states = [
        (name, item["history_data"]["newState"]["stateValue"])
        for name in specs
        for item in run.client.alarm_history(name, limit=None, type="StateUpdate")
    ]
    keys = {"ALARM": "alarm_actions", "OK": "ok_actions"}
    due = sum(
        len(specs[name].get(keys.get(state, "insufficient_data_actions"), ()))
        for name, state in states
    )
    delivered = len(run.client.deliveries(status="delivered", limit=None))
    received, refused = len(run.pager.ids), run.pager.refused_count
    return [
        Check("alarm changes", counted, len(states), "counts of the alarms; their history"),
        Check("messages delivered", due, delivered, "changes that have actions; outbox"),
        Check("messages received", delivered, received, "outbox; webhook ids at the receiver"),
        Check("messages refused", 0, refused, "wrong signature or form"),
    ]


def _planted(run: Run) -> list[Check]:
    """Find the planted fault as the top cause of its days, and its rows among those shown."""
    planted, executions = run.traffic.planted, run.windows(f"{ENDPOINT}-data-quality")
    days = [day for day in bug_days(planted.shift) if day >= run.traffic.start]
    first = {one.event_id: run.traffic.requests[one.request].first for one in run.replay.answers}
    top = shown = right = 0
    for execution in (executions[day] for day in days if day in executions):
        violations = run.client.report(execution["id"])["violations"]
        cause = violations[0]["feature_name"] if violations else None
        if cause is not None and cause in planted.rows:
            rows = run.client.first_rows(execution["id"], limit=SHOWN_ROWS)["rows"]
            top, shown = top + 1, shown + len(rows)
            mask = planted.rows[cause]
            right += sum(bool(mask[first[row["event_id"]] + row["row_index"]]) for row in rows)
    return [
        Check("planted fault found", len(days), top, "its days; days as top cause"),
        Check("planted rows shown", shown, right, "rows shown; planted among them"),
    ]
