"""Memory of many endpoints with monitors: one, fifty at rest, and fifty while windows are judged.

``PYTHONPATH=. python bench/memory_hosting.py [--endpoints 50]``: an installation of its own; each
endpoint serves a scikit-learn model of its own and has four hourly monitors (data quality, model
quality with labels, bias, attribution), which judge the last three hours. Told is the proportional
share (PSS) of all processes, looked at twice a second while windows run. Prints Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression

from bench.hosting_soak import call, installation, memory, resource
from bench.processes import below, processor_s
from driftline import Client
from tests.servers.ports import free_port

COLUMNS = [f"x{number}" for number in range(10)]
KINDS = ("data-quality", "model-quality", "bias", "attribution")
HOURS = 3
ROWS = 40  # An hour and endpoint, one a request.
REST_S, WINDOWS_S = 20, 1_200
LIMIT_MIB = 4_096


def save(folder: Path, endpoints: int) -> pd.DataFrame:
    """Save a model for each endpoint and a reference; return the rows to be sent."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame(random.normal(size=(5_000, len(COLUMNS))), columns=COLUMNS).round(4)
    group = pd.Series(np.where(random.random(len(rows)) < 0.5, "a", "b"))
    late = (rows["x0"] + rows["x1"] + random.normal(size=len(rows)) > 0).astype("int64")
    reference = rows.assign(group=(group == "a").astype("int64"), late=late)
    features = reference.drop(columns="late")
    for number in range(endpoints):
        model = LogisticRegression(C=1 / (1 + number)).fit(features, late)
        skops.io.dump(model, folder / f"{number}.skops")
    reference.assign(
        prediction=model.predict(features), probability=model.predict_proba(features)[:, 1]
    ).to_parquet(folder / "reference.parquet", index=False)
    return reference


def declared(folder: Path, numbers: range) -> list[dict[str, object]]:
    """Declare the endpoints of some numbers, each with its model."""
    return [
        one
        for number in numbers
        for one in (
            resource("Model", f"m{number}", path=str(folder / f"{number}.skops")),
            resource(
                "Endpoint", f"e{number}", model=f"m{number}", baseline="base",
                trust_event_time=True,
            ),
        )
    ]  # fmt: skip


def monitors(endpoints: int, start: datetime) -> list[dict[str, object]]:
    """Declare four hourly monitors of each endpoint."""
    return [
        resource(
            "Monitor", f"e{number}-{kind}", endpoint=f"e{number}", baseline="base", kind=kind,
            schedule="cron(0 * ? * * *)", start=start.isoformat(),
        )
        for number in range(endpoints)
        for kind in KINDS
    ]  # fmt: skip


def send(port: int, endpoints: int, rows: pd.DataFrame, start: datetime) -> None:
    """Have each endpoint answer rows of each hour, and load their labels."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    features = rows.drop(columns="late")
    with Client(f"http://127.0.0.1:{port}") as client:
        for number in range(endpoints):
            labels = {}
            for at in range(HOURS * ROWS):
                row = (number * HOURS * ROWS + at) % len(rows)
                identity = f"{number}-{at}"
                when = start + timedelta(hours=at // ROWS, minutes=at % ROWS)
                headers = {
                    "Content-Type": "text/csv",
                    "X-Amzn-SageMaker-Inference-Id": identity,
                    "X-Driftline-Event-Time": when.isoformat(),
                }
                text = ",".join(map(str, features.iloc[row]))
                link.request("POST", f"/endpoints/e{number}/invocations", text, headers)
                answer = link.getresponse()
                body = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status} {body[:300]!r}")
                labels[identity] = int(rows["late"].iloc[row])
            client.put_truth(f"e{number}", labels)
    link.close()


@contextmanager
def peaks(pid: int) -> Iterator[Callable[[], dict[str, float]]]:
    """Look at memory until the block ends; give what returns the most that all had, by name."""
    most: dict[str, float] = {"all": 0.0}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            found = memory(pid)
            if found["all"] > most["all"]:
                most.update(found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: dict(most)
    finally:
        stop.set()
        thread.join()


def states(database: Path) -> Counter[str]:
    """Count the windows by what became of them."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT status, count(*) FROM monitors_executions GROUP BY 1")
        return Counter(dict(found.fetchall()))


def judged(database: Path, expected: int) -> tuple[float, Counter[str]]:
    """Wait until so many windows have a result; return the seconds, and what became of them."""
    began = time.monotonic()
    while True:
        found = states(database)
        done = sum(count for name, count in found.items() if name not in ("InProgress", "Pending"))
        took_s = time.monotonic() - began
        if done >= expected or took_s > WINDOWS_S:
            return took_s, found
        time.sleep(1)


def processor_all_s(pid: int) -> float:
    """Return the processor seconds of a whole installation so far."""
    return sum(processor_s(one) for one in below(pid))


def row(what: str, found: dict[str, float]) -> str:
    names = ("all", "up", "forking", "server", "background", "dashboard", "models", "processes")
    return f"| {what} | " + " | ".join(f"{found.get(name, 0.0):.0f}" for name in names) + " |"


def measure(folder: Path, endpoints: int) -> bool:
    """Print what was measured; whether all of it stays within the limits."""
    rows = save(folder, endpoints)
    port = free_port()
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)
    base = resource(
        "Baseline", "base", data=str(folder / "reference.parquet"), label="late",
        prediction="prediction", probability="probability", facet="group=1", model="m0",
    )  # fmt: skip
    lines = []
    with installation(folder, port) as pid:
        one = declared(folder, range(1))
        call(port, "POST", "/api/v1/apply", {"resources": [*one, base]})
        send(port, 1, rows.head(1), start)
        first_s = processor_all_s(pid)
        time.sleep(REST_S)
        alone = memory(pid)
        lines.append(row("one endpoint", alone))
        call(port, "POST", "/api/v1/apply", {"resources": declared(folder, range(1, endpoints))})
        send(port, endpoints, rows, start)
        time.sleep(REST_S)
        many = memory(pid)
        lines.append(row(f"{endpoints} endpoints, each asked", many))
        before_s = processor_all_s(pid)
        with peaks(pid) as most:
            resources = monitors(endpoints, start)
            call(port, "POST", "/api/v1/apply", {"resources": resources})
            took_s, found = judged(folder / "root" / "driftline.db", len(resources) * HOURS)
            peak = most()
        work_s = processor_all_s(pid) - before_s
        lines.append(row(f"{len(resources)} monitors, the most", peak))
        time.sleep(REST_S)
        lines.append(row("and 20 s later", memory(pid)))
    further = (many["all"] - alone["all"]) / max(1, endpoints - 1)
    print("# Memory of endpoints and their monitors\n")
    print(
        f"`bench/memory_hosting.py --endpoints {endpoints}`, {datetime.now(UTC):%Y-%m-%d}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f} at the end.\n"
    )
    print("| PSS, MiB | all | up | forks | server | background | dashboard | models | processes |")
    print("|---|" + "---:|" * 8)
    print("\n".join(lines))
    print(
        f"\nEach further model: {further:.1f} MiB. CPU from the start to the first endpoint's "
        f"answers, its baseline made and {HOURS * ROWS} labels loaded: {first_s:.1f} s. Windows: "
        f"{dict(found)} in {took_s:.0f} s and {work_s:.0f} CPU s."
    )
    return peak["all"] <= LIMIT_MIB and sum(found.values()) >= len(resources) * HOURS


def main() -> None:
    """Print the document; exit with 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--endpoints", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not measure(Path(name).resolve(), given.endpoints):
            print("a limit is passed, or windows are missing", file=sys.stderr)
            raise SystemExit(1)


if __name__ == "__main__":
    main()
