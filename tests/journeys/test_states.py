# ruff: noqa: E501 - one line a state
"""In which state everything is: one line a state of monitors, alarms, jobs and endpoints.

One installation; states are read and made by the command line and HTTP alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import skops.io

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, tzinfo=UTC)

# What a day's file holds, and what a run of that day says: exit code and status.
MONITORS: dict[str, tuple[int, str | None]] = {
    "like-the-reference": (0, "Completed"),
    "another-unit": (1, "CompletedWithViolations"),
    "five-rows": (3, "InsufficientData"),
    "nothing": (3, "NoData"),
    "no-column-of-times": (3, "Failed"),
    "half-a-file": (4, None),  # It may be whole in a moment, so nothing is recorded.
}
# Datapoints of the newest minutes, what missing ones count as, and the state.
ALARMS: dict[str, tuple[list[float], str, str]] = {
    "above": ([5.0], "missing", "ALARM"),
    "below": ([1.0], "missing", "OK"),
    "silent": ([], "missing", "INSUFFICIENT_DATA"),
    "silent and good so": ([], "notBreaching", "OK"),
    "silent and bad so": ([], "breaching", "ALARM"),
    "silent as before": ([], "ignore", "INSUFFICIENT_DATA"),
}
COMPOSITES: dict[str, tuple[str, str]] = {
    "both": ('ALARM("above") AND ALARM("silent and bad so")', "ALARM"),
    "one of them": ('ALARM("above") AND ALARM("below")', "OK"),
    "unknown": ('INSUFFICIENT_DATA("silent")', "ALARM"),
}
# Fields of a job beside the usual ones, and how it ends: exit code and status.
JOBS: dict[str, tuple[str, int, str]] = {
    "good": ("good.csv", 0, "Completed"),
    "texts for numbers": ("texts.csv", 3, "Failed"),
}
ENDPOINTS: dict[str, tuple[dict[str, Any], str]] = {
    "served": ({"model": "late"}, "InService"),
    "two": (
        {
            "production_variants": [
                {"variant_name": n, "model_name": "late", "initial_variant_weight": 1} for n in "ab"
            ]
        },
        "InService",
    ),
    "asleep": (
        {"model": "late", "serverless_config": {"max_concurrency": 1, "memory_size_in_mb": 2048}},
        "InService",
    ),
    "elsewhere": ({"baseline": "orders"}, "CapturedOnly"),
}


@pytest.fixture(scope="module")
def orders():
    return labelled(stream(ORDERS, rows=2_000, seed=1))


@pytest.fixture(scope="module")
def running(install: Callable[..., Installation], orders) -> Installation:
    found = install(is_forked=True)
    folder = found.folder
    skops.io.dump(fit(orders), folder / "late.skops")
    reference = stream(ORDERS, rows=2_000, seed=2, start=START - 20 * DAY, every="10min")
    reference.to_parquet(folder / "reference.parquet")
    resources = [
        {"kind": "Model", "name": "late", "spec": {"path": str(folder / "late.skops")}},
        {
            "kind": "Baseline", "name": "orders",
            "spec": {"data": str(folder / "reference.parquet"), "timestamp": "time"},
        },
        *({"kind": "Endpoint", "name": name.replace(" ", "-"), "spec": spec} for name, (spec, _) in ENDPOINTS.items()),
        *(
            {
                "kind": "Alarm", "name": name,
                "spec": {
                    "namespace": "shop", "metric_name": "late", "dimensions": {"of": name.replace(" ", "-")},
                    "statistic": "Maximum", "period": 60, "evaluation_periods": 5, "datapoints_to_alarm": 1, "threshold": 3,
                    "comparison_operator": "GreaterThanThreshold", "treat_missing_data": missing,
                },
            }
            for name, (_, missing, _) in ALARMS.items()
        ),
        *(
            {"kind": "CompositeAlarm", "name": name, "spec": {"alarm_rule": rule}}
            for name, (rule, _) in COMPOSITES.items()
        ),
    ]  # fmt: skip
    for name in MONITORS:
        source = folder / name
        source.mkdir()
        write(source, name)
        spec = {
            "source": {"path": str(source), "timestamp": "time"},
            "baseline": "orders",
            "schedule": "external",
        }
        resources.append({"kind": "Monitor", "name": name, "spec": spec})
    found.apply(*resources)
    for name, (values, _, _) in ALARMS.items():
        for value in values:
            labels = [{"Name": "of", "Value": name.replace(" ", "-")}]
            at = datetime.now(UTC) - timedelta(minutes=2)
            found.put_metric("late", float(value), Dimensions=labels, Timestamp=at.isoformat())
    return found


def write(folder: Path, name: str) -> None:
    rows = stream(ORDERS, rows=144, seed=3, start=START, every="10min")
    if name == "another-unit":
        rows["km"] *= 1_000
    if name == "five-rows":
        rows = rows[:5]
    if name == "nothing":
        rows["time"] += 3 * DAY
    if name == "no-column-of-times":
        rows = rows.rename(columns={"time": "at"})
    if name == "half-a-file":
        (folder / "rows.parquet").write_bytes(b"PAR1 and no end")
        return
    rows.to_parquet(folder / "rows.parquet")


@pytest.mark.parametrize(
    ("name", "code", "status"), [(n, *e) for n, e in MONITORS.items()], ids=MONITORS
)
def test_a_window_of_a_monitor(running, name: str, code: int, status: str | None) -> None:
    done = running.cli(
        "monitor",
        "run",
        name,
        "--from",
        START.isoformat(),
        "--to",
        (START + DAY).isoformat(),
        "--json",
    )
    recorded = running.get(f"/api/v1/monitors/{name}/executions")["items"]

    statuses = [one["status"] for one in recorded]
    assert (done.returncode, statuses) == (code, [status] if status else []), done.stderr


@pytest.mark.parametrize(("file", "code", "status"), JOBS.values(), ids=JOBS)
def test_a_transform_job(running, file: str, code: int, status: str) -> None:
    name = file.partition(".")[0]
    (running.folder / "good.csv").write_text("1.0,2.0\n3.0,4.0\n")
    (running.folder / "texts.csv").write_text("a,b\nc,d\n")
    job = {
        "transform_job_name": name, "model_name": "late",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(running.folder / file)}},
            "content_type": "text/csv", "split_type": "Line",
        },
        "transform_output": {"s3_output_path": str(running.folder / "store" / "outputs" / name)},
    }  # fmt: skip
    (running.folder / "job.json").write_text(json.dumps(job))

    running.done("job", "create", "job.json")
    running.wait(lambda: "InProgress" not in running.done("job", "list"))
    done = running.cli("job", "get", name, "--json")

    assert (done.returncode, json.loads(done.stdout)["transform_job_status"]) == (code, status)


@pytest.mark.parametrize(
    ("name", "status"), [(n, e[-1]) for n, e in ENDPOINTS.items()], ids=ENDPOINTS
)
def test_an_endpoint(running, name: str, status: str) -> None:
    found = json.loads(running.done("get", "Endpoint", name.replace(" ", "-"), "--json"))

    assert found["status"]["state"] == status


@pytest.mark.parametrize(
    ("name", "state"), [(n, e[-1]) for n, e in {**ALARMS, **COMPOSITES}.items()]
)
def test_an_alarm(running, name: str, state: str) -> None:
    def is_so(states: list[dict[str, Any]]) -> bool:
        return {one["alarm_name"]: one["state_value"] for one in states}[name] == state

    # They are evaluated once a minute; much of it has passed with what stands above.
    running.wait(lambda: is_so(running.get("/api/v1/alarm-states")["items"]), within_s=150)
    assert is_so(json.loads(running.done("alarm", "list", "--json")))
