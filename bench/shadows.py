"""What callers wait with and without a shadow: none, one like the variant, one that hangs.

``PYTHONPATH=. python bench/shadows.py [--seconds 3] [--rounds 5]``: a whole installation
(``driftline up``), one row of CSV a request, on one connection and on sixteen. The ways are
measured in turn, and the median of the rounds is printed; client and server share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import serving_load
from sklearn.linear_model import LogisticRegression

from tests.servers.ports import free_port

HERE = Path(__file__).resolve().parent
SLOW = HERE.parent / "tests" / "fixtures" / "serving"
ROW = "0.001"  # The slow model takes a number for the seconds that it is to wait.


def resource(kind: str, name: str, **spec: object) -> dict[str, object]:
    return {"kind": kind, "name": name, "spec": spec}


def save_models(folder: Path) -> None:
    """Save a quick model, and one that waits as long as a row says."""
    sys.path.insert(0, str(SLOW))
    from slow_model import Slow  # Found through the line above.

    random = np.random.default_rng(7)
    rows = random.normal(size=(500, 1))
    quick = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
    joblib.dump(quick, folder / "quick.joblib")
    joblib.dump(Slow().fit(), folder / "slow.joblib")


def endpoint(name: str, shadow: str | None) -> dict[str, object]:
    """Declare an endpoint of the quick model, with a shadow of another."""
    shadows = [] if shadow is None else [{"variant_name": "shadow", "model_name": shadow}]
    return resource("Endpoint", name, model="quick", shadow_production_variants=shadows)


WAYS = {
    "none": (None, ROW),
    "like the variant": ("quick", ROW),
    "hangs": ("slow", "3600"),
}


def measured(port: int, name: str, row: str, connections: int, seconds: float) -> np.ndarray:
    """Return latencies of one run in milliseconds: p50, p99, and requests a second."""
    request = (
        f"POST /endpoints/{name}/invocations HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: text/csv\r\nContent-Length: {len(row)}\r\n\r\n{row}"
    ).encode()
    load = serving_load.run(port, [request], connections=connections, seconds=seconds)
    if load.failures:
        raise RuntimeError(load.first_failure.decode())
    p50, p99 = np.quantile(load.latencies_s, [0.5, 0.99]) * 1e3
    return np.array([p50, p99, load.requests / load.seconds])


def call(port: int, path: str, document: object = None) -> Any:  # noqa: ANN401 - JSON
    """Ask the programming interface."""
    body = None if document is None else json.dumps(document).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    with urllib.request.urlopen(asked, timeout=180) as answer:
        return json.load(answer)


@contextmanager
def installation(folder: Path, port: int) -> Iterator[None]:
    """Start all processes of an installation, and end them."""
    paths = os.pathsep.join((str(HERE.parent), str(SLOW)))
    with (folder / "log.txt").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "driftline", "up"], cwd=folder, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        try:
            end_s = time.monotonic() + 90
            while time.monotonic() < end_s:
                with suppress(OSError):
                    call(port, "/healthz")
                    break
                time.sleep(0.2)
            yield
        finally:
            up.terminate()
            up.wait(60)


def main() -> None:
    """Measure, and print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=float, default=3.0)
    asked.add_argument("--rounds", type=int, default=5)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, port = Path(place), free_port()
        save_models(folder)
        (folder / "driftline.toml").write_text(
            f"[server]\nport = {port}\n[dashboard]\nport = {free_port()}\n"
            f"[metrics]\nbackground_port = {free_port()}\n[serving]\ntrust_pickle = true\n"
        )
        with installation(folder, port):
            models = [
                resource("Model", one, path=str(folder / f"{one}.joblib"))
                for one in ("quick", "slow")
            ]
            ends = [endpoint(f"e{at}", way[0]) for at, way in enumerate(WAYS.values())]
            call(port, "/api/v1/apply", {"resources": [*models, *ends]})
            found: dict[tuple[int, int], list[np.ndarray]] = {}
            for _ in range(given.rounds):
                for connections in (1, 16):
                    for at, (_, row) in enumerate(WAYS.values()):
                        run = measured(port, f"e{at}", row, connections, given.seconds)
                        found.setdefault((connections, at), []).append(run)
            print(
                f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
            )
            print("| connections | shadow | p50, ms | p99, ms | requests/s |")
            print("|---|---|---|---|---|")
            for (connections, at), runs in sorted(found.items()):
                p50, p99, rate = (median(column) for column in zip(*runs, strict=True))
                way = list(WAYS)[at]
                print(f"| {connections} | {way} | {p50:.2f} | {p99:.1f} | {rate:,.0f} |")
            for at, way in enumerate(WAYS):
                variants = call(port, f"/api/v1/endpoints/e{at}")["status"]["variants"]
                for one in variants:
                    if one["shadow"]:
                        print(f"{way}: {one['mirrored']:,} mirrored, {one['dropped']:,} dropped")


if __name__ == "__main__":
    main()
