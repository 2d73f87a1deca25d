"""A long time of requests to every form of hosting: memory, processes, and what was captured.

``PYTHONPATH=. python bench/hosting_soak.py [--requests 432000] [--seconds 1200]``: as many requests
as 10 a second make in 12 hours, sent as fast as the seconds say, to an installation of its own:
a real-time endpoint of two workers, one with a shadow, one of many models that do not fit in memory
together, one of two containers, a serverless one whose workers end between bursts, an asynchronous
one, and a captured transform job in each tenth of the time. Prints Markdown; exits with 1 where a
request is lost or a process stays.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import skops.io
from sklearn.linear_model import LogisticRegression

from bench.processes import below, memory_mib, name_of
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import Dataset, is_flagged
from tests.servers.ports import free_port

COLUMNS = [f"x{number}" for number in range(10)]
ROW = ",".join("0.25" for _ in COLUMNS).encode()
MODELS = 8  # Of the multi-model endpoint; five fit into its memory.
JOB_ROWS = 2_000
# Requests of each form, of ten; a burst of the serverless one and the pause behind it, in seconds.
SHARES = {"direct": 4, "shadowed": 2, "many": 2, "containers": 1, "serverless": 0.7, "later": 0.3}
BURST_S, PAUSE_S, IDLE_S = 12, 8, 4
TENTHS = 10
DRAIN_S = 90


def resource(kind: str, name: str, /, **spec: object) -> dict[str, object]:
    return {"kind": kind, "name": name, "spec": spec}


def save(folder: Path) -> None:
    """Save two models, those of the multi-model endpoint, a reference, and the rows of jobs."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame(random.normal(size=(2_000, len(COLUMNS))), columns=COLUMNS)
    late = (rows["x0"] + rows["x1"] > 0).astype("int64")
    rows.assign(late=late).to_parquet(folder / "reference.parquet", index=False)
    rows.head(JOB_ROWS).to_csv(folder / "rows.csv", header=False, index=False)
    (folder / "many").mkdir()
    for number in range(MODELS):
        model = LogisticRegression(C=10.0 ** (-number)).fit(rows, late)
        file = folder / "many" / f"{number}.skops"
        skops.io.dump(model, file)
        if number < 2:
            (folder / f"{number}.skops").write_bytes(file.read_bytes())
        # What stands before a zip counts as the file's size, and so as the model's.
        file.write_bytes(bytes(2 << 20) + file.read_bytes())


def resources(folder: Path) -> list[dict[str, object]]:
    """Declare an endpoint of each form."""
    hosts = [{"container_hostname": f"c{one}", "model_name": f"m{one}"} for one in (0, 1)]
    outputs = str(folder / "root" / "outputs")
    specs: dict[str, dict[str, Any]] = {
        "direct": {"model": "m0", "initial_instance_count": 2},
        "shadowed": {
            "production_variants": [{"variant_name": "blue", "model_name": "m0"}],
            "shadow_production_variants": [{"variant_name": "green", "model_name": "m1"}],
        },
        "many": {"model": "many"},
        "containers": {"model": "both"},
        "serverless": {
            "model": "m0", "serverless_config": {"memory_size_in_mb": 1024, "max_concurrency": 4},
        },
        "later": {
            "model": "m0", "async_inference_config": {"output_config": {"s3_output_path": outputs}},
        },
        "nightly": {"model": "m0"},
    }  # fmt: skip
    return [
        *(resource("Model", f"m{one}", path=str(folder / f"{one}.skops")) for one in (0, 1)),
        resource(
            "Model", "many", mode="MultiModel", model_data_prefix=str(folder / "many"),
            memory_limit_mb=16,
        ),
        resource("Model", "both", mode="Direct", containers=hosts),
        resource("Baseline", "base", data=str(folder / "reference.parquet"), label="late"),
        *(resource("Endpoint", name, baseline="base", **spec) for name, spec in specs.items()),
    ]  # fmt: skip


def headers_of(form: str) -> Iterator[dict[str, str]]:
    """Return the headers of the requests of a form, for ever."""
    base = {"Content-Type": "text/csv"}
    if form == "many":
        for number in cycle(range(MODELS)):
            # One is asked more often than the others, so that it stays.
            for one in (0, 0, number):
                yield {**base, "X-Amzn-SageMaker-Target-Model": f"{one}.skops"}
    for number in cycle((0, 1)):
        yield {**base, **({"X-Amzn-SageMaker-Target-Container-Hostname": f"c{number}"}
                          if form == "containers" else {})}  # fmt: skip


@dataclass
class Callers:
    """Threads that ask the endpoints, one each, at a rate of its own."""

    port: int
    requests: int
    seconds: float
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[threading.Thread]:
        """Start all of them."""
        whole = sum(SHARES.values())
        threads = [
            threading.Thread(target=self._ask, args=(form, round(self.requests * share / whole)))
            for form, share in SHARES.items()
        ]
        for thread in threads:
            thread.start()
        return threads

    def _ask(self, form: str, count: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        route = "async-invocations" if form == "later" else "invocations"
        path, headers = f"/endpoints/{form}/{route}", headers_of(form)
        period_s = self.seconds / count
        began = time.monotonic()
        for number in range(count):
            due = began + number * period_s
            if form == "serverless":  # As many requests, in bursts.
                due = _in_bursts(began, number * period_s)
            if self.stop.wait(max(0.0, due - time.monotonic())):
                break
            link.request("POST", path, ROW, next(headers))
            answer = link.getresponse()
            body = answer.read()
            if answer.status in (200, 202):
                self.answered[form] += 1
            else:
                self.refused[f"{form}: {answer.status} {body[:120]!r}"] += 1
        link.close()


def _in_bursts(began: float, at_s: float) -> float:
    """Return when a request is due that would be due at a time if there were no pauses."""
    cycle_s = BURST_S + PAUSE_S
    bursts, inside = divmod(at_s, cycle_s)
    return began + bursts * cycle_s + inside * BURST_S / cycle_s


def call(  # noqa: ANN201 - JSON
    port: int, method: str, path: str, document: object = None
):
    """Ask the programming interface."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    body = None if document is None else json.dumps(document)
    link.request(method, path, body, {"Content-Type": "application/json"})
    answer = link.getresponse()
    text = answer.read()
    link.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:400]!r}")
    return json.loads(text)


@contextmanager
def installation(folder: Path, port: int, serving: str = "") -> Iterator[int]:
    """Run all processes of an installation; give the first one's id."""
    (folder / "driftline.toml").write_text(
        f"[server]\nport = {port}\n[dashboard]\nport = {free_port()}\n"
        f'[metrics]\nbackground_port = 0\n[storage]\nroot = "{folder / "root"}"\n'
        f"[serving]\nserverless_idle_s = {IDLE_S}\n{serving}"
    )
    command, log = [sys.executable, "-m", "driftline", "up"], folder / "log"
    with log.open("w") as sink, subprocess.Popen(command, cwd=folder, stderr=sink) as up:
        try:
            while "ready; Ctrl-C" not in log.read_text():
                if up.poll() is not None:
                    raise RuntimeError(f"ended before it was ready: {log.read_text()}")
                time.sleep(0.1)
            yield up.pid
        finally:
            up.terminate()
            up.wait(120)


def memory(pid: int) -> dict[str, float]:
    """Return the share of each kind of process in MiB, and how many there are."""
    found: dict[str, float] = defaultdict(float)
    for one in below(pid):
        try:
            found[name_of(one)] += memory_mib(one)
            found["processes"] += 1
        except (OSError, ValueError):  # Ended meanwhile, as idle workers do.
            continue
    found["all"] = sum(value for name, value in found.items() if name != "processes")
    return found


def captured(root: Path, endpoint: str) -> tuple[int, int]:
    """Return the rows that callers were answered with, and those of shadows."""
    data = Dataset(str(root), endpoint).open()
    if data is None:
        return 0, 0
    flags = data.to_table(["flags"])["flags"]
    shadows = pc.sum(is_flagged(pc.fill_null(flags, 0), Flag.SHADOW)).as_py() or 0
    return len(flags) - shadows, shadows


def job(folder: Path, number: int) -> dict[str, object]:
    """Describe a job whose rows are captured."""
    return {
        "transform_job_name": f"job-{number}",
        "endpoint_name": "nightly",
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(folder / "rows.csv")}},
            "content_type": "text/csv", "split_type": "Line",
        },
        "transform_output": {"s3_output_path": str(folder / "root" / "outputs" / f"job-{number}")},
        "batch_strategy": "SingleRecord",
        "data_capture_config": {},
    }  # fmt: skip


def soak(folder: Path, requests: int, seconds: float) -> bool:
    """Send the requests and print what was found; whether nothing was lost."""
    save(folder)
    port, root = free_port(), folder / "root"
    seen: set[int] = set()
    rows: list[str] = []
    with installation(folder, port) as pid:
        applied = call(port, "POST", "/api/v1/apply", {"resources": resources(folder)})
        states = {name: one["state"] for name, one in applied["endpoints"].items()}
        if set(states.values()) != {"InService"}:
            raise RuntimeError(f"not in service: {states}")
        callers = Callers(port, requests, seconds)
        began = time.monotonic()
        threads = callers.start()
        for tenth in range(1, TENTHS + 1):
            call(port, "POST", "/api/v1/transform-jobs", job(folder, tenth))
            while any(one.is_alive() for one in threads) and (
                time.monotonic() < began + tenth * seconds / TENTHS
            ):
                seen |= set(below(pid))
                time.sleep(1)
            found = memory(pid)
            rows.append(_row(time.monotonic() - began, callers, found))
            print(rows[-1], file=sys.stderr)
        for thread in threads:
            thread.join()
        took_s = time.monotonic() - began
        expected = {**callers.answered, "nightly": TENTHS * JOB_ROWS}
        counts = _drained(root, expected)
        shadow = call(port, "GET", "/api/v1/endpoints/shadowed")
    left = [one for one in seen if _is_ours(one, folder)]
    _report(requests, took_s, callers, rows)
    return _told(expected, counts, shadow, left)


def _row(after_s: float, callers: Callers, found: Mapping[str, float]) -> str:
    names = ("all", "server", "background", "models", "processes")
    values = [f"{found.get(name, 0.0):.0f}" for name in names]
    return f"| {after_s:.0f} | {sum(callers.answered.values()):,} | {' | '.join(values)} |"


def _drained(root: Path, expected: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Wait until all that was answered is in its table, or for as long as that may take."""
    until = time.monotonic() + DRAIN_S
    while True:
        counts = {name: captured(root, name) for name in expected}
        is_whole = all(counts[name][0] >= count for name, count in expected.items())
        if is_whole or time.monotonic() > until:
            return counts
        time.sleep(2)


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether a process that we saw still runs; its number may be another's by now."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False


def _report(requests: int, took_s: float, callers: Callers, rows: list[str]) -> None:
    print("# A long time of requests to every form of hosting\n")
    print(
        f"`bench/hosting_soak.py --requests {requests}`, {datetime.now(UTC):%Y-%m-%d}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f} at the end: {sum(callers.answered.values()):,} requests in "
        f"{took_s:.0f} s, by callers on the same machine.\n"
    )
    print("| after s | answered | all, PSS MiB | server | background | models | processes |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows))
    print()
    for what, count in callers.refused.most_common(10):
        print(f"refused {count:,} times: {what}\n")


def _told(
    expected: Mapping[str, int],
    counts: Mapping[str, tuple[int, int]],
    shadow: Mapping[str, Any],
    left: list[int],
) -> bool:
    print("| endpoint | answered | captured | of shadows |")
    print("|---|---:|---:|---:|")
    for name, count in expected.items():
        print(f"| {name} | {count:,} | {counts[name][0]:,} | {counts[name][1]:,} |")
    print(f"\nShadow: `{json.dumps(shadow.get('status', shadow))[:300]}`. "
          f"Processes that outlived their installation: {len(left)}.")  # fmt: skip
    return not left and all(counts[name][0] == count for name, count in expected.items())


def main() -> None:
    """Print the document; exit with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=432_000)
    parser.add_argument("--seconds", type=float, default=1_200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not soak(Path(name).resolve(), given.requests, given.seconds):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
