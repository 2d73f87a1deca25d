"""Compares every stage of the demo with the one before it, as far as possible by other means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable

from driftline.app.demo.flights import LABEL, is_between
from driftline.app.demo.receiver import Pager
from driftline.app.demo.replay import DECIDED, ENDPOINT, RUN, WEEK, WINDOWS, Replay

DATA_QUALITY, MODEL_QUALITY = "flights-data-quality", "flights-model-quality"


class Check(NamedTuple):
    """One comparison of two counts."""

    stage: str
    expected: int
    found: int
    about: str


def table_of(checks: Sequence[Check]) -> str:
    """Return the comparisons as a table of at most 80 columns."""
    lines = [f"{'stage':<24} {'expected':>8} {'found':>8} {'':<8} from"]
    for one in checks:
        mark = "ok" if one.expected == one.found else "DIFFERS"
        lines.append(f"{one.stage:<24} {one.expected:>8,} {one.found:>8,}  {mark:<7} {one.about}")
    return "\n".join(lines)


def reconcile(
    root: Path,
    replay: Replay,
    faulty_days: Sequence[datetime],
    faulty: Mapping[str, np.ndarray],
    resources: Sequence[Mapping[str, Any]],
    pager: Pager,
) -> list[Check]:
    """Compare all stages; the order is that of a request's way to the pager."""
    days, weeks = (_executions(replay, monitor) for monitor in (DATA_QUALITY, MODEL_QUALITY))
    return [
        *requests(root, replay), *_windows(root, replay, days), *_labels(root, replay, weeks),
        *_alarms(replay, resources, pager), *_planted(replay, faulty_days, faulty, days),
    ]  # fmt: skip


def requests(root: Path, replay: Replay) -> Iterator[Check]:
    """Compare requests sent, answered and stored; rows sent and stored."""
    answered, sent = set(replay.event_ids.values()), replay.table.num_rows
    table = DeltaTable(str(root / "capture" / ENDPOINT)).to_pyarrow_table(
        columns=["event_id", "row_index", "status"]
    )
    stored = set(pc.unique(table["event_id"]).to_pylist())
    rows = table.filter(pc.less(table["status"], 400))
    once = rows.group_by(["event_id", "row_index"]).aggregate([])
    yield Check("requests answered", len(replay.requests), len(answered), "sent; answered")
    yield Check("requests stored", len(answered), len(stored), "answers' ids; ids in table")
    yield Check("requests of one side", 0, len(stored ^ answered), "ids in one of both alone")
    yield Check("rows stored", sent, rows.num_rows, "sent; rows in Delta table")
    yield Check("rows stored once", sent, once.num_rows, "sent; distinct (id, row)")


def _windows(root: Path, replay: Replay, days: Mapping[datetime, Any]) -> Iterator[Check]:
    for monitor in WINDOWS:
        due, done = replay.window_ends(monitor, replay.end), _executions(replay, monitor)
        stage = f"windows: {monitor.removeprefix('flights-')}"
        undecided = sum(one["status"] not in DECIDED for one in done.values())
        about = f"due; run, {undecided} undecided" if undecided else "due; run"
        yield Check(stage, len(due), len(done), about)
    rows = sum(day["row_count"] for day in days.values())
    files = [root / day["folder"] / "report.json" for day in days.values()]
    counts = [json.loads(file.read_text(encoding="utf-8"))["violation_count"] for file in files]
    answer = replay.client.metric_statistics(
        "Driftline", "violations", replay.start, replay.end, period=86_400, statistics=["Sum"],
        dimensions={"Endpoint": ENDPOINT, "MonitoringSchedule": DATA_QUALITY},
    )  # fmt: skip
    sums = [round(point["sum"]) for point in answer["datapoints"]]
    yield Check("rows judged", replay.table.num_rows, rows, "sent; rows of all windows")
    yield Check("violations published", sum(counts), sum(sums), "documents; datapoints")


def _labels(root: Path, replay: Replay, weeks: Mapping[datetime, Any]) -> Iterator[Check]:
    known = _known(replay, replay.start, replay.labels_until)
    truth = root / "truth" / ENDPOINT
    stored = DeltaTable(str(truth)).to_pyarrow_table(columns=["key"]).num_rows if known else 0
    measured = sum(replay.client.report(one["id"])["labelled_count"] for one in weeks.values())
    ends = replay.window_ends(MODEL_QUALITY, replay.end)
    labelled = _known(replay, ends[0] - WEEK, ends[-1]) if ends else 0
    yield Check("labels stored", known, stored, "known after two days; rows")
    yield Check("labels measured", labelled, measured, "of the labelled weeks")


def _alarms(
    replay: Replay, resources: Sequence[Mapping[str, Any]], pager: Pager
) -> Iterator[Check]:
    client = replay.client
    counted = sum(alarm["status"]["state_seq"] for alarm in client.list("Alarm"))
    changes = due = 0
    for alarm in (one for one in resources if one["kind"] == "Alarm"):
        for item in client.alarm_history(alarm["name"], limit=None, type="StateUpdate"):
            state = item["data"]["newState"]["stateValue"]
            changes += 1
            due += len(alarm["spec"].get(f"{state.lower()}_actions", ()))
    delivered = len(client.deliveries(status="delivered", limit=None))
    yield Check("alarm changes", counted, changes, "counts; history")
    yield Check("messages delivered", due, delivered, "changes with actions")
    yield Check("messages received", delivered, len(pager.ids), "outbox; the pager's ids")
    yield Check("messages refused", 0, pager.refused_count, "wrong signature or form")


def _planted(
    replay: Replay,
    days: Sequence[datetime],
    faulty: Mapping[str, np.ndarray],
    executions: Mapping[datetime, Any],
) -> Iterator[Check]:
    first = {event_id: replay.requests[at].first for at, event_id in replay.event_ids.items()}
    top = shown = right = 0
    for execution in (executions[day] for day in days if day in executions):
        violations = replay.client.report(execution["id"])["violations"]
        cause = violations[0]["feature_name"] if violations else ""
        if cause in faulty:
            rows = replay.client.first_rows(execution["id"], limit=50)["rows"]
            top, shown = top + 1, shown + len(rows)
            places = [first[row["event_id"]] + row["row_index"] for row in rows]
            right += int(faulty[cause][places].sum())
    yield Check("planted fault found", len(days), top, "its days; as top cause")
    yield Check("planted rows shown", shown, right, "shown; planted among them")


def _executions(replay: Replay, monitor: str) -> dict[datetime, Any]:
    return {
        datetime.fromisoformat(one["window_start"]): one
        for one in replay.client.executions(monitor, status=RUN, limit=None)
        if one["is_current"]
    }


def _known(replay: Replay, start: datetime, end: datetime) -> int:
    return len(replay.table.filter(is_between(replay.table, start, end))[LABEL].drop_null())
