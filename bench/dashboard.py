"""What each page of the dashboard costs on a large installation, in a real Chromium.

python -m bench.dashboard [FOLDER]      makes the installation, if FOLDER has none, and measures

200 monitors with 400 windows each, 10,000 alarms, one monitor of 1,000 features with 1,200
windows, 10 million captured rows. Definitions, alarms and reports go through the packages' own
code, executions and datapoints through their tables in bulk: nothing is judged. For each page: CPU
of the dashboard's process for the first answer and for a later one, its memory by then, bytes as
compressed, nodes of the document, milliseconds to its first paint and until what it shows is there.
Below the table how long the browser waited for each answer, and the memory at the end.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from playwright.sync_api import Error
from sqlalchemy import Connection, Engine, insert, select

from driftline.alerts import tables as alert_tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.metrics import store as metric_store
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline.store import Baseline
from driftline.baseline.versions import put
from driftline.capture.tables.dataset import Dataset, table_schema
from driftline.database.engine import open_database
from driftline.database.migrations import migrate
from driftline.monitors import tables as monitor_tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import (
    COMPLETED,
    VIOLATED,
    Execution,
)
from driftline.monitors.kind import OWN_METRICS, metric_place
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.datapoints import DATA_METRICS
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.results.violation import Violation
from driftline.monitors.run.stored_report import DISTANCE, store_report
from driftline.signature import Signature
from tests.servers.chromium import browser
from tests.servers.ports import free_port

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENDPOINTS, MONITORS, WINDOWS, ALARMS, FIRING = 100, 200, 400, 10_000, 300
FEATURES, WIDE_WINDOWS, DOCUMENTS = 1_000, 1_200, 24
ROWS_AN_ENDPOINT = 100_000
KINDS = ("data-quality", "model-quality", "bias", "attribution")
ROUNDS, DRAWN_MS = 3, 60_000
COUNT = "() => document.querySelectorAll('*').length"
TIMES = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const asked = performance.getEntriesByType("resource").filter(
    one => one.name.includes("/_dash-update-component"));
  return [paint.startTime, asked.map(one => one.responseEnd - one.startTime)];
}"""
SETTLE_MS = 1_500
"""Charts below the first screen ask once they are drawn."""
SOURCE = "bench"
STORED = "%Y-%m-%d %H:%M:%S.%f"  # A time as SQLite has it.
DATAPOINTS = (
    "INSERT INTO alerts_datapoints (metric_id, source, time, period_s, sample_count, sum, minimum, "
    "maximum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

PAGES = {
    "Fleet": "/",
    "An endpoint": "/endpoints/endpoint-000",
    "Its traffic": "/endpoints/endpoint-000/traffic",
    "Drift of 1,000 features": "/endpoints/endpoint-099/drift?monitor=wide",
    "Alarms": "/alarms",
    "Alarms in ALARM": "/alarms?state=ALARM",
    "Alarms by text": "/alarms?q=m17",
    "One alarm": "/alarms/m000%3A%200",
    "Notifications": "/messages",
    "A monitor of 2 features": "/monitors/m000",
    "A monitor of 1,000 features": "/monitors/wide",
    "One of its columns": "/monitors/wide/columns/f0007",
    "Jobs": "/jobs",
    "Baselines": "/setup",
    "A baseline of 1,000 features": "/baselines/wide",
    "Settings": "/setup/settings",
}
"""What is measured, by its address."""


def make(folder: Path) -> Engine:
    """Make the installation."""
    engine = open_database(f"sqlite:///{folder / 'driftline.db'}")
    migrate(engine)
    root = str(folder / "store")
    random = np.random.default_rng(1)
    small = pa.table({"amount": random.normal(size=2_000), "age": random.normal(size=2_000)})
    put(root, "small", Baseline.fit(small), lambda: NOW)
    names = [f"f{place:04d}" for place in range(FEATURES)]
    wide = pa.table({name: random.normal(size=300) for name in names})
    put(root, "wide", Baseline.fit(wide), lambda: NOW)
    for place in range(ENDPOINTS):
        capture(root, f"endpoint-{place:03d}", Baseline.fit(small).signature, random)
    with engine.begin() as connection:
        for place in range(MONITORS - 1):
            one = MonitorDefinition(
                name=f"m{place:03d}", endpoint=f"endpoint-{place % ENDPOINTS:03d}",
                baseline="small", kind=KINDS[place // ENDPOINTS], schedule="cron(0 * ? * * *)",
                start=NOW - WINDOWS * HOUR,
            )  # fmt: skip
            put_definition(connection, one, NOW)
            judged(connection, root, one, WINDOWS, random)
        one = MonitorDefinition(
            name="wide", endpoint="endpoint-099", baseline="wide", schedule="cron(0 * ? * * *)",
            start=NOW - WIDE_WINDOWS * HOUR,
        )  # fmt: skip
        put_definition(connection, one, NOW)
        judged(connection, root, one, WIDE_WINDOWS, random, names)
    with engine.begin() as connection:
        declare_alarms(connection, random)
    return engine


def capture(root: str, endpoint: str, signature: Signature, random: np.random.Generator) -> None:
    """Commit rows of the last days, as the sink does."""
    count = ROWS_AN_ENDPOINT
    ages = random.integers(0, 7 * 86_400, count).astype("timedelta64[s]")
    times = pa.array(np.datetime64(NOW.replace(tzinfo=None), "us") - ages)
    values: dict[str, Any] = {
        "event_id": [str(uuid.UUID(int=place)) for place in range(count)],
        "row_index": np.zeros(count), "status": np.full(count, 200), "flags": np.zeros(count),
        "event_time": times, "arrival_time": times, "spool_id": ["bench"] * count,
        "spool_seq": np.arange(count), "sampling_rate": np.ones(count),
        "event_date": pc.strftime(times, format="%Y-%m-%d"),
    }  # fmt: skip
    schema = table_schema(signature)
    columns = [
        pa.array(values[field.name]).cast(field.type)
        if field.name in values else pa.nulls(count, field.type)
        for field in schema
    ]  # fmt: skip
    Dataset(root, endpoint).append(pa.table(columns, schema=schema), {"bench": count})


def judged(
    connection: Connection, root: str, definition: MonitorDefinition, windows: int,
    random: np.random.Generator, features: list[str] | None = None,
) -> None:  # fmt: skip
    """Record the windows of a monitor up to now, with their datapoints and some documents."""
    names = features or ["amount", "age"]
    ratios = np.exp(random.normal(-1.2, 0.5, (windows, len(names))))
    rows: list[dict[str, object]] = []
    numbers: list[dict[str, object]] = []
    for at in range(windows):
        start = NOW - (windows - at) * HOUR
        broken = int((ratios[at] > 1).sum())
        cause = f"{names[int(ratios[at].argmax())]}: 36.1% of rows at or below 7.2 (reference: 0%)"
        execution = Execution(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{definition.name}{at}")),
            monitor=definition.name, kind=definition.kind, endpoint=definition.endpoint,
            definition_version=1, baseline=definition.baseline, baseline_version="",
            window_start=start, window_end=start + HOUR, digest=f"{at}",
            status=VIOLATED if broken else COMPLETED, row_count=5_000, request_count=5_000,
            violation_count=broken, page_count=broken // 2,
            max_drift_ratio=float(ratios[at].max()), cause=cause if broken else "",
            started_at=start + HOUR, finished_at=start + HOUR,
        )  # fmt: skip
        rows.append({one.name: getattr(execution, one.name) for one in fields(execution)})
        if at >= windows - DOCUMENTS:
            found = report(definition, ratios[at], names)
            store_report(connection, execution.id, found, json.dumps(found.to_dict()))
            continue
        numbers += [
            {
                "execution": execution.id, "key": f"{DISTANCE}{name}", "value": 0.1 * ratio,
                "bound": 0.1, "is_violated": ratio > 1, "state": "judged",
            }
            for name, ratio in zip(names, ratios[at].tolist(), strict=True)
        ]  # fmt: skip
    connection.execute(insert(monitor_tables.executions), rows)
    connection.execute(insert(monitor_tables.results), numbers)
    position = {"monitor": definition.name, "planned_until": NOW}
    connection.execute(insert(monitor_tables.positions).values(position))
    series: dict[tuple[str, str], np.ndarray] = {
        (OWN_METRICS, "violations"): (ratios > 1).sum(axis=1).astype(float)
    }
    for place, name in enumerate(names):
        series[DATA_METRICS, f"feature_baseline_drift_{name}"] = 0.1 * ratios[:, place]
        series[DATA_METRICS, f"feature_non_null_{name}"] = np.ones(windows)
    for (namespace, name), values in series.items():
        place_of, dimensions = metric_place(namespace, definition.name, definition.endpoint)
        put_series(connection, place_of, name, dimensions, values)


def put_series(
    connection: Connection, namespace: str, name: str, dimensions: Mapping[str, str],
    values: np.ndarray,
) -> None:  # fmt: skip
    """Store one datapoint for each window: the newest as its package does, the others in bulk."""
    first = NOW - len(values) * HOUR
    newest = Datapoint(
        namespace=namespace, name=name, dimensions=dimensions, time=NOW - HOUR, period_s=3_600,
        value=float(values[-1]),
    )  # fmt: skip
    metric_store.put(connection, [newest], source=SOURCE + name)
    metric = metric_store.find(connection, namespace, name, dimensions)
    # A million rows by the driver itself: SQLAlchemy took two thirds of the time for their types.
    rows = [
        (metric, SOURCE, f"{first + at * HOUR:{STORED}}", 3_600, 1.0, value, value, value)
        for at, value in enumerate(values[:-1].tolist())
    ]
    connection.exec_driver_sql(DATAPOINTS, rows)


def report(definition: MonitorDefinition, ratios: np.ndarray, names: list[str]) -> CheckResult:
    """Return a report as a run makes it."""
    results = tuple(
        FeatureResult(
            name, "Fractional", "input", 5_000, distance=0.1 * float(ratio), bound=0.1,
            p_value=0.01, set="below 12.3", share_reference=0.1, share_window=0.2, share_low=0.18,
            share_high=0.22,
        )
        for name, ratio in zip(names, ratios, strict=True)
    )  # fmt: skip
    broken = [one for one in results if (one.ratio or 0) > 1]
    violations = tuple(
        Violation(
            one.feature, "baseline_drift_check", "Baseline drift", "ticket", one.ratio,
            share_of_blame=1 / len(broken), row_count=200, cause="20% of rows below 12.3",
        )
        for one in broken
    )  # fmt: skip
    return CheckResult(definition.kind, violations, 5_000, results)


def declare_alarms(connection: Connection, random: np.random.Generator) -> None:
    """Declare alarms on the monitors' metrics; some of them are in ALARM."""
    for place in range(ALARMS):
        monitor = f"m{place % (MONITORS - 1):03d}"
        endpoint = f"endpoint-{place % (MONITORS - 1) % ENDPOINTS:03d}"
        number = place // (MONITORS - 1)
        alarm = AlarmDefinition(
            alarm_name=f"{monitor}: {number}", namespace=OWN_METRICS, metric_name="violations",
            dimensions={"Endpoint": endpoint, "MonitoringSchedule": monitor}, statistic="Maximum",
            period=3_600, evaluation_periods=3, datapoints_to_alarm=2, threshold=float(number),
            comparison_operator="GreaterThanThreshold",
            severity="page" if place % 5 == 0 else "ticket",
        )  # fmt: skip
        put_alarm(connection, alarm, NOW - WINDOWS * HOUR)
    table = alert_tables.alarms
    ids = list(connection.scalars(select(table.c.id)))
    firing = {int(one) for one in random.choice(ids, FIRING, replace=False)}
    for state, some in (("ALARM", firing), ("OK", set(ids) - firing)):
        for part in np.array_split(sorted(some), math.ceil(len(some) / 500)):
            connection.execute(
                table.update()
                .where(table.c.id.in_([int(one) for one in part]))
                .values(state=state, state_reason="Threshold Crossed", evaluated_until=NOW)
            )


def body_of(path: str) -> dict[str, Any]:
    """Return what a page's script sends for an address."""
    place, _, query = path.partition("?")
    outputs = [("page", "children"), ("shown", "data"), ("answered", "data")]
    inputs = [("url", "pathname", place), ("url", "search", query and f"?{query}"),
              ("tick", "data", 0)]  # fmt: skip
    return {
        "output": "..page.children...shown.data...answered.data..",
        "outputs": [{"id": name, "property": one} for name, one in outputs],
        "inputs": [{"id": one, "property": two, "value": value} for one, two, value in inputs],
        "changedPropIds": ["url.pathname"],
        "state": [{"id": "shown", "property": "data", "value": None}],
    }


class Dashboard:
    """The dashboard of the installation: the process that ``driftline dashboard`` is."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        (folder / "clock").write_text((NOW + timedelta(minutes=10)).isoformat())
        settings = folder / "driftline.toml"
        settings.write_text(
            f'[storage]\nroot = "{folder / "store"}"\nlocal_dir = "{folder / "local"}"\n'
            f'[database]\nurl = "sqlite:///{folder / "driftline.db"}"\n'
            f'[scheduler]\nclock = "file:{folder / "clock"}"\n[dashboard]\nport = {port}\n'
        )
        command = [sys.executable, "-m", "driftline", "dashboard", "-c", str(settings)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Dashboard:
        while True:
            with suppress(httpx.TransportError):
                httpx.get(self.address, timeout=60).raise_for_status()
                return self
            if self.process.poll() is not None:
                raise RuntimeError("the dashboard has ended")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, client: httpx.Client, path: str) -> tuple[float, float]:
        """Ask for a page as its script does; return CPU-s of the process and kilobytes, packed."""
        before, head = self._cpu_s(), {"accept-encoding": "gzip"}
        asked = client.build_request(
            "POST", "/_dash-update-component", json=body_of(path), headers=head
        )
        answer = client.send(asked, stream=True)
        size = sum(len(part) for part in answer.iter_raw())
        answer.close()
        answer.raise_for_status()
        return self._cpu_s() - before, size / 1e3

    def _cpu_s(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return the resident memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path) -> Iterator[tuple[str, ...]]:
    """Ask for each page several times, have Chromium draw it, and give a line of the table."""
    lines = {}
    waited: list[float] = []
    with Dashboard(folder) as dashboard, browser() as chromium:
        address = dashboard.address
        with httpx.Client(base_url=address, timeout=60) as client:
            for name, path in PAGES.items():
                asked = [dashboard.ask(client, path) for _ in range(ROUNDS)]
                cpu, size = zip(*asked, strict=True)
                lines[name] = (
                    f"{cpu[0]:.2f}",
                    f"{min(cpu[1:]):.2f}",
                    f"{max(size):.0f}",
                    f"{dashboard.rss_mb():.0f}",
                )
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)  # The browser keeps the scripts, as that of everybody who came before.
        for name, path in PAGES.items():
            begun = time.monotonic()
            page.goto(address + path)
            try:
                page.wait_for_selector("#page [data-title]", timeout=DRAWN_MS)
            except Error:  # That it never comes is a result.
                yield (name, *lines[name][:3], f"not drawn in {DRAWN_MS // 1000} s", "", "",
                       lines[name][3])  # fmt: skip
                continue
            drawn = (time.monotonic() - begun) * 1e3
            page.wait_for_timeout(SETTLE_MS)
            paint, answers = page.evaluate(TIMES)
            waited += answers
            yield (name, *lines[name][:3], f"{page.evaluate(COUNT):,}", f"{paint:.0f}",
                   f"{drawn:.0f}", lines[name][3])  # fmt: skip
        median, high = np.quantile(waited, [0.5, 0.95])
        print(
            f"{len(waited)} answers waited for: {median:.0f} ms in the median, {high:.0f} at the "
            f"95% quantile; RSS {dashboard.rss_mb():.0f} MB at the end",
            file=sys.stderr,
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as fresh:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(fresh)
        if not (folder / "driftline.db").exists():
            folder.mkdir(parents=True, exist_ok=True)
            begun = time.monotonic()
            make(folder).dispose()
            print(f"made in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        print("| page | first CPU-s | CPU-s | KB | nodes | first paint, ms | drawn, ms | RSS MB |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for line in measure(folder):
            print("|", " | ".join(line), "|", flush=True)


if __name__ == "__main__":
    main()
