"""Compares every stage of the demo with the one before it, as far as possible by other means.

The client's own ledger stands against the Delta table, read by deltalake alone; the documents on
disk against the datapoints; the alarms' histories against the messages that the receiver counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from driftline.alerts.metrics import store as metrics
from driftline.app.demo.bug import Planted
from driftline.app.demo.flights import LABEL, Request, is_between
from driftline.app.demo.installation import MOST_ITEMS, Installation
from driftline.app.demo.labels import LabelFeed
from driftline.app.demo.pace import Cadence
from driftline.app.demo.receiver import Receiver
from driftline.app.demo.replay import Ledger, Replay
from driftline.app.demo.resources import (
    ALARMS,
    DAY_S,
    ENDPOINT,
    NAMESPACE,
    cadences,
    channels_of,
    dimensions,
    monitor_of,
)
from driftline.database.engine import read_connection

SHOWN_ROWS = 50
TABLE_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison."""

    stage: str
    expected: int
    found: int
    about: str

    @property
    def agrees(self) -> bool:
        """Whether both counts are equal."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the demo sends."""

    start: datetime
    end: datetime
    requests: Sequence[Request]
    planted: Planted
    faulty_days: Sequence[datetime]  # Their midnights, of those that are replayed.


@dataclass(frozen=True, slots=True)
class Run:
    """A finished replay, and all who can say something about it."""

    root: Path
    traffic: Traffic
    resources: Sequence[Mapping[str, Any]]
    replay: Replay
    labels: LabelFeed
    receiver: Receiver
    installation: Installation


def reconcile(run: Run, engine: Engine) -> list[Check]:
    """Compare all stages; the order is that of a request's way to the pager."""
    executions = run.installation.windows(monitor_of("data-quality"))
    return [
        *_requests(run.root, run.traffic, run.replay.ledger),
        *_windows(run, engine, executions),
        *_labels(run),
        *_weeks(run),
        *_alarms(run),
        *_planted(run, executions),
    ]


def show(checks: Sequence[Check], console: Console) -> None:
    """Print the comparisons as a table."""
    table = Table("stage", box=None, pad_edge=False)
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    table.add_column("from", overflow="fold")
    for check in checks:
        mark = "ok" if check.agrees else "[bold red]DIFFERS[/]"
        table.add_row(check.stage, f"{check.expected:,}", f"{check.found:,}", mark, check.about)
    console.print(table, width=min(TABLE_WIDTH, console.width))


def _requests(root: Path, traffic: Traffic, ledger: Ledger) -> list[Check]:
    """Compare requests sent, answered and stored; rows sent and stored."""
    served = ledger.served()
    answered = {answer.event_id for answer in ledger.answers}
    rows_sent = traffic.planted.table.num_rows
    table = DeltaTable(str(root / "capture" / ENDPOINT)).to_pyarrow_table(
        columns=["event_id", "row_index", "status"]
    )
    stored = set(pc.unique(table["event_id"]).to_pylist())
    predicted = table.filter(pc.less(table["status"], 400))
    pairs = predicted.group_by(["event_id", "row_index"]).aggregate([])
    # An attempt whose answer was lost may have been captured or not: both are right.
    extra = max(0, len(stored - answered) - ledger.lost_count)
    return [
        Check(
            "requests answered",
            len(traffic.requests),
            len({answer.request_index for answer in served}),
            "sent; answered with predictions",
        ),
        Check(
            "requests stored",
            len(answered),
            len(stored & answered) + extra,
            "answers' ids; event ids in table",
        ),
        Check("rows stored", rows_sent, predicted.num_rows, "sent; rows in the Delta table"),
        Check("rows stored once", rows_sent, pairs.num_rows, "sent; distinct (event id, row)"),
    ]


def _windows(
    run: Run, engine: Engine, executions: Mapping[datetime, Mapping[str, Any]]
) -> list[Check]:
    """Compare windows judged, rows in them, violations in documents and in datapoints."""
    days = [run.traffic.start + timedelta(days=day) for day in range(run.replay.day_count)]
    completed = [
        executions[day]
        for day in days
        if day in executions and executions[day]["status"].startswith("Completed")
    ]
    counts = [_violation_count(run.root / one["folder"]) for one in completed]
    with read_connection(engine) as connection:
        points = dict(
            metrics.read(
                connection, NAMESPACE, "violations", dimensions("data-quality"), run.traffic.start,
                run.traffic.end, DAY_S, "Sum",
            )
        )  # fmt: skip
    return [
        Check("windows judged", len(days), len(completed), "days replayed; completed executions"),
        Check(
            "rows judged",
            run.traffic.planted.table.num_rows,
            sum(one["row_count"] for one in completed),
            "sent; rows of all windows",
        ),
        Check(
            "violations published",
            sum(counts),
            round(sum(points.values())),
            "documents on disk; datapoints",
        ),
        Check(
            "days with violations",
            sum(map(bool, counts)),
            sum(value > 0 for value in points.values()),
            "documents on disk; datapoints",
        ),
    ]


def _labels(run: Run) -> list[Check]:
    """Compare the labels that were known, loaded, stored, and measured against."""
    table = run.traffic.planted.table
    known = _known_labels(table, run.traffic.start, run.labels.known_until)
    truth = run.root / "truth" / ENDPOINT
    stored = DeltaTable(str(truth)).to_pyarrow_table(columns=["key"]).num_rows if known else 0
    executions = run.installation.windows(monitor_of("model-quality"))
    judged = sorted(executions)
    windows = [cadence for cadence in _cadences(run) if cadence.monitor.endswith("model-quality")]
    ends = windows[0].ends(run.traffic.end)
    measured = _known_labels(table, windows[0].first, ends[-1]) if ends else 0
    reports = [run.installation.report(executions[start]["id"]) for start in judged]
    return [
        Check("labels stored", known, stored, "known two days later; rows of the truth table"),
        Check(
            "labels measured against",
            measured,
            sum(report["labelled_count"] for report in reports),
            "of the labelled weeks' flights; model quality's reports",
        ),
    ]


def _known_labels(table: pa.Table, start: datetime, end: datetime) -> int:
    """Count the flights of a span that did arrive, from the data alone."""
    return len(table.filter(is_between(table, start, end))[LABEL].drop_null())


def _weeks(run: Run) -> list[Check]:
    """Count the windows of the weekly monitors."""
    found = []
    for cadence in _cadences(run)[1:]:
        done = run.installation.windows(cadence.monitor).values()
        completed = sum(one["status"].startswith("Completed") for one in done)
        found.append(
            Check(
                f"weeks of {cadence.monitor.removeprefix(f'{ENDPOINT}-')}",
                len(cadence.ends(run.traffic.end)),
                completed,
                "weeks that are due; completed executions",
            )
        )
    return found


def _cadences(run: Run) -> list[Cadence]:
    return cadences(run.traffic.start, run.traffic.end)


def _violation_count(folder: Path) -> int:
    """Return how many things a report on disk tells; several checks may notice one of them."""
    count: int = json.loads((folder / "report.json").read_text(encoding="utf-8"))["violation_count"]
    return count


def _alarms(run: Run) -> list[Check]:
    """Compare changes of state, their history, the messages that follow, and what came."""
    alarms = run.installation.alarm_statuses()
    told = 0
    changes = 0
    for name in ALARMS:
        for item in run.installation.alarm_history(name, limit=MOST_ITEMS):
            if item["history_item_type"] == "StateUpdate":
                changes += 1
                told += len(
                    channels_of(run.resources, name, item["history_data"]["newState"]["stateValue"])
                )
    delivered = [one for one in run.installation.messages() if one["status"] == "delivered"]
    return [
        Check(
            "alarm changes",
            sum(alarm["state_seq"] for alarm in alarms),
            changes,
            "counts of the alarms; their history",
        ),
        Check("messages delivered", told, len(delivered), "changes that have actions; outbox"),
        Check(
            "messages received",
            len(delivered),
            len(run.receiver.pages),
            "outbox; webhook ids at the receiver",
        ),
        Check("messages refused", 0, run.receiver.refused_count, "wrong signature or form"),
    ]


def _planted(run: Run, executions: Mapping[datetime, Mapping[str, Any]]) -> list[Check]:
    """Find the planted fault as the top cause of its days, and its rows among those shown."""
    if not run.traffic.faulty_days:
        return []
    first_row = {
        answer.event_id: run.traffic.requests[answer.request_index].first
        for answer in run.replay.ledger.served()
    }
    top = shown = planted = 0
    for day in run.traffic.faulty_days:
        execution = executions.get(day)
        if execution is None:
            continue
        violations = run.installation.report(execution["id"])["violations"]
        causes = [one["feature_name"] for one in violations]
        if not causes or causes[0] not in run.traffic.planted.rows:
            continue
        top += 1
        mask = run.traffic.planted.rows[causes[0]]
        rows = run.installation.first_rows(execution["id"], 0, limit=SHOWN_ROWS)["rows"]
        shown += len(rows)
        planted += sum(bool(mask[first_row[row["event_id"]] + row["row_index"]]) for row in rows)
    return [
        Check(
            "planted fault found",
            len(run.traffic.faulty_days),
            top,
            "its days; days as top cause",
        ),
        Check("planted rows shown", shown, planted, "rows shown; planted among them"),
    ]
