"""Prometheus and Alertmanager doing what the alarms of bench/alarms.py do, as near as they come.

An exporter of this process serves all series; Prometheus scrapes them once a minute from five
targets and has two times 10,000 alerting rules: a plain comparison, and the nearest to 2 of 3
minutes, ``sum_over_time((load > bool 99)[3m:1m]) >= 2``; alerts go to Alertmanager. It runs in real
time, so its minutes are real minutes. What it says of itself is measured: the duration of its rule
groups, its CPU, its disk.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

__all__ = ["measure_prometheus", "programs"]

TARGETS = 5
GROUPS = 8  # As many as the parts of driftline's evaluator.
INTERVAL_S = 60
RULES = {
    "plain": "{selector} > 99",
    "2 of 3 minutes": "sum_over_time(({selector} > bool 99)[3m:1m]) >= 2",
}

# What a program says of itself: names with labels, and numbers.
_Own = list[tuple[str, float]]


def programs() -> tuple[str, str] | None:
    """Find the two programs on the PATH; None when one is missing."""
    prometheus = shutil.which("prometheus")
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return (prometheus, alertmanager) if prometheus and alertmanager else None


def measure_prometheus(alarms: int, metrics: int, minutes: int) -> list[str]:
    """Run both for some minutes with each kind of rule; give a part of a page of Markdown."""
    lines = [
        "| Prometheus and Alertmanager | " + " | ".join(RULES) + " |",
        "|---|" + "---:|" * len(RULES),
    ]
    found = [_run(rule, alarms, metrics, minutes) for rule in RULES.values()]
    lines += [f"| {name} | " + " | ".join(one[name] for one in found) + " |" for name in found[0]]
    lines += ["", "Its disk is the whole folder, write-ahead log and all, by samples stored.", ""]
    return lines


def _run(rule: str, alarms: int, metrics: int, minutes: int) -> dict[str, str]:
    """Run both programs with one kind of rule; give what they say of themselves."""
    found = programs()
    assert found is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = stack.enter_context(_exporter(metrics))
        ports = _free_ports(3)
        _write_settings(folder, rule, alarms, metrics, source, ports[1])
        stack.enter_context(
            _program(
                found[1], f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address=",
            )
        )  # fmt: skip
        stack.enter_context(
            _program(
                found[0], f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{ports[0]}",
            )
        )  # fmt: skip
        at = f"http://127.0.0.1:{ports[0]}"
        _wait_for(f"{at}/-/ready")
        # The first minute reads all series for the first time.
        time.sleep(INTERVAL_S * 2)
        before = _own_metrics(at)
        cycles = []
        for minute in range(minutes):
            time.sleep(INTERVAL_S)
            now = _own_metrics(at)
            cycles.append(_sum(now, "prometheus_rule_group_last_duration_seconds"))
            print(f"prometheus: minute {minute + 1}: {cycles[-1]:.2f} s", file=sys.stderr)
        after = _own_metrics(at)
        size = sum(one.stat().st_size for one in (folder / "data").rglob("*") if one.is_file())
    seconds = _difference(after, before, "process_cpu_seconds_total")
    samples = _sum(after, "prometheus_tsdb_head_samples_appended_total")
    missed = _difference(after, before, "prometheus_rule_group_iterations_missed_total")
    return {
        "rule groups, wall s a cycle, added up: median (most)": (
            f"{np.median(cycles):.2f} ({max(cycles):.2f})"
        ),
        "CPU s a minute, scrapes and rules": f"{seconds / minutes:.2f}",
        "resident memory, MiB": f"{_sum(after, 'process_resident_memory_bytes') / 2**20:.0f}",
        "alerts that fire": f"{_firing(after):,.0f}",
        "cycles missed": f"{missed:.0f}",
        "bytes on disk a sample, young head": f"{size / samples:.1f}",
    }


@contextmanager
def _exporter(metrics: int) -> Iterator[int]:
    """Serve the series, a fifth of them a target; each scrape sees new values."""
    rng = np.random.default_rng(20260115)
    is_high = np.zeros(metrics, dtype=bool)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = int(self.path.rpartition("/")[2])
            chosen = range(target, metrics, TARGETS)
            if target == 0:
                is_high[:] = is_high ^ (rng.random(metrics) < 0.01)
            values = np.where(is_high, 200.0, rng.uniform(0, 10, metrics))
            lines = [
                f'load{{host="host-{index // 10:05}",core="{index % 10}"}} {values[index]:.3f}\n'
                for index in chosen
            ]
            body = "".join(["# TYPE load gauge\n", *lines]).encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _write_settings(
    folder: Path, rule: str, alarms: int, metrics: int, source: int, alertmanager: int
) -> None:
    scrapes = [
        {
            "job_name": f"target-{target}",
            "metrics_path": f"/{target}",
            "static_configs": [{"targets": [f"127.0.0.1:{source}"]}],
        }
        for target in range(TARGETS)
    ]
    settings = {
        "global": {
            "scrape_interval": f"{INTERVAL_S}s",
            "scrape_timeout": "30s",
            "evaluation_interval": f"{INTERVAL_S}s",
        },
        "rule_files": [f"{folder}/rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]
        },
        "scrape_configs": scrapes,
    }
    groups = [
        {
            "name": f"group-{group}",
            "rules": [
                {
                    "alert": f"alarm {number:05}",
                    "expr": rule.format(selector=_selector(number * (metrics // alarms))),
                    "labels": {"severity": "page"},
                }
                for number in range(group, alarms, GROUPS)
            ],
        }
        for group in range(GROUPS)
    ]
    receivers = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    (folder / "rules.yml").write_text(json.dumps({"groups": groups}))
    (folder / "alertmanager.yml").write_text(json.dumps(receivers))


def _selector(index: int) -> str:
    return f'load{{host="host-{index // 10:05}",core="{index % 10}"}}'


@contextmanager
def _program(*words: str) -> Iterator[None]:
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    ) as process:
        yield
        process.terminate()


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _own_metrics(at: str) -> _Own:
    with urllib.request.urlopen(f"{at}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    found = [(name, float(value)) for name, _, value in lines]
    with urllib.request.urlopen(f"{at}/api/v1/alerts", timeout=30) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return [*found, ("firing", float(len(alerts)))]


def _sum(found: _Own, name: str) -> float:
    return sum(value for one, value in found if one.partition("{")[0] == name)


def _difference(after: _Own, before: _Own, name: str) -> float:
    return _sum(after, name) - _sum(before, name)


def _firing(found: _Own) -> float:
    return _sum(found, "firing")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
