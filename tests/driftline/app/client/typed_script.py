"""A user's script as mypy reads it (`scripts/check`): right lines, and what is wrong in others.

Never run. Where a wrong line is no error any more, mypy reports its `type: ignore` as unused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_type

import driftline as dl

START, END = datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC)


def worst(client: dl.Client, monitor: str) -> dl.answers.ListedExecution:
    executions = client.executions(monitor)
    return max(executions, key=lambda one: one["max_drift_ratio"] or 0.0)


def pager(url: str) -> dl.answers.ChannelResource:
    return {"kind": "Channel", "name": "pager", "spec": {"type": "webhook", "url": url}}


def right(client: dl.Client) -> None:
    """Use answers as they are."""
    (first, *_) = client.executions("quality", statuses=["Failed"], start=START)
    assert_type(first["max_drift_ratio"], float | None)
    assert_type(client.report(first["id"])["violations"][0]["feature_name"], str)
    assert_type(client.get("Monitor", "quality")["spec"]["schedule"], str)
    assert_type(client.list("Alarm", owner="ada")[0]["spec"]["evaluation_periods"], int)
    assert_type(client.set_alarm_state("late", "ALARM", "a drill")[0]["new"], dl.answers.AlarmState)
    for ran in client.backfill_monitor("quality", start=START, end=END):
        assert_type(ran["items"], list[dl.answers.ListedExecution])
    for alarm in client.alarms(kind="metric"):
        if alarm["kind"] == "metric":
            assert_type(alarm["state_value"], dl.answers.AlarmState)
    quiet: dl.answers.SilenceResource = {
        "kind": "Silence", "name": "sale", "spec": {"matchers": ["alarm=late"]},
    }  # fmt: skip
    client.apply([quiet, {"kind": "Model", "name": "late", "spec": {"path": "late.skops"}}])
    client.put_truth("flights", {"order-1": 1})


def wrong(client: dl.Client) -> None:
    """Misspell fields and words, and give what no call takes."""
    client.executions("quality")[0]["windowstart"]  # type: ignore[typeddict-item]
    client.report("an id")["violations"][0]["feature"]  # type: ignore[typeddict-item]
    client.get("Monitor", "quality")["spec"]["schedules"]  # type: ignore[typeddict-item]
    client.get("monitor", "quality")  # type: ignore[call-overload]
    client.list("Alarm", name="late")  # type: ignore[call-overload]
    client.executions("quality", statuses=["failed"])  # type: ignore[list-item]
    client.alarms(state="ALARMED")  # type: ignore[arg-type]
    client.create_token("ci", ["reader"])  # type: ignore[list-item]
    client.run_monitor("quality", start="2026-01-12")  # type: ignore[arg-type]
    client.executions("quality", since=START)  # type: ignore[call-arg]
    client.execution_list("quality")  # type: ignore[attr-defined]
    client.executions("quality")[0]["row_count"] + "rows"  # type: ignore[operator]
    quiet: dl.answers.SilenceResource = {
        "kind": "Silence", "name": "sale", "spec": {"matcher": ["alarm=late"]},  # type: ignore[typeddict-unknown-key]
    }  # fmt: skip
    client.apply([quiet])
