"""Many models behind one endpoint in a bound of memory: hit rate, times, memory of all processes.

``python bench/multi_model.py [--models 2000] [--requests 6000] [--limits 32 1024]``: logistic
regressions of 20 numbers, each a skops file; a server with one worker; every model is asked once,
then requests whose models follow Zipf's law (exponent 1.1). Results are in multi_model.md.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression
from sqlalchemy import create_engine

from bench.processes import below, memory_mib
from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.serving.metrics.traffic import INSTANCES, NAMESPACE
from tests.servers.ports import free_port

COLUMNS = [f"x{number}" for number in range(20)]
ROW = ",".join("0.25" for _ in COLUMNS)
CALLERS = 4


def save_models(folder: Path, count: int) -> None:
    """Save models that answer differently."""
    random = np.random.default_rng(1)
    rows = pd.DataFrame(random.normal(size=(200, len(COLUMNS))), columns=COLUMNS)
    model = LogisticRegression().fit(rows, rows["x0"] > 0)
    coefficients = model.coef_
    folder.mkdir()
    for number in range(count):
        model.coef_ = coefficients + random.normal(size=coefficients.shape)
        skops.io.dump(model, folder / f"{number:05}.skops")


def ask(client: httpx.Client, names: Sequence[str]) -> list[float]:
    """Ask models from several callers at once; return milliseconds."""

    def one(name: str) -> float:
        began = time.perf_counter()
        answer = client.post(
            "/endpoints/many/invocations",
            content=ROW,
            headers={"content-type": "text/csv", "X-Amzn-SageMaker-Target-Model": name},
        )
        answer.raise_for_status()
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(one, names))


def told(database: Path, namespace: str, name: str) -> tuple[float, float, float]:
    """Return count, sum and maximum of a metric of the endpoint."""
    key = metric_key(namespace, name, {"EndpointName": "many", "VariantName": "AllTraffic"})
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    request = SeriesRequest(key, end - timedelta(hours=2), end, 60, needs_distribution=True)
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        found = list(read_many(connection, [request])[0].values())
    engine.dispose()
    return (
        sum(one.sample_count for one in found),
        sum(one.sum for one in found),
        max((one.maximum for one in found), default=0.0),
    )


def measure(models: Path, names: list[str], limit_mb: int, requests: int) -> None:
    """Run one server with one bound and print what was measured."""
    with tempfile.TemporaryDirectory() as place:
        port = free_port()
        settings = f'[server]\nport = {port}\n[storage]\nroot = "{place}/root"\n'
        Path(place, "driftline.toml").write_text(settings)
        command = [sys.executable, "-m", "driftline", "up", "--only", "server"]
        with Path(place, "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _apply(client, models, limit_mb)

                def memory() -> float:
                    return sum(memory_mib(one) for one in below(process.pid))

                ask(client, names[:1])
                first = memory()
                sweep = ask(client, names)
                swept = memory()
                random = np.random.default_rng(2)
                drawn = [names[one % len(names)] for one in random.zipf(1.1, requests)]
                zipf = ask(client, drawn)
                print(
                    f"memory_limit_mb={limit_mb} PSS MiB: one model {first:.0f}, all asked "
                    f"{swept:.0f}, at the end {memory():.0f}; first calls ms "
                    f"p50 {np.median(sweep):.1f} p99 {np.quantile(sweep, 0.99):.1f}; then "
                    f"p50 {np.median(zipf):.1f} p99 {np.quantile(zipf, 0.99):.1f}"
                )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        database = Path(place, "root", "driftline.db")
        asked, hits, _ = told(database, NAMESPACE, "ModelCacheHit")
        # The sweep misses each model once, whatever the bound.
        misses = asked - hits - len(names)
        print(f"  hit rate of the {requests:,} later requests {1 - misses / requests:.3f}")
        for name in ("ModelDownloadingTime", "ModelLoadingTime", "ModelUnloadingTime"):
            count, total, largest = told(database, NAMESPACE, name)
            mean = total / count / 1000 if count else 0.0
            print(f"  {name} n={count:,.0f} mean {mean:.2f} ms, longest {largest / 1000:.1f} ms")
        print(f"  LoadedModelCount at most {told(database, INSTANCES, 'LoadedModelCount')[2]:.0f}")


def _apply(client: httpx.Client, models: Path, limit_mb: int) -> None:
    """Declare the endpoint as soon as the server answers."""
    spec = {
        "mode": "MultiModel", "model_data_prefix": str(models), "memory_limit_mb": limit_mb,
    }  # fmt: skip
    resources = [
        {"kind": "Model", "name": "many", "spec": spec},
        {"kind": "Endpoint", "name": "many", "spec": {"model": "many"}},
    ]
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    client.post("/api/v1/apply", json={"resources": resources}).raise_for_status()


def main() -> None:
    """Measure each bound in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--limits", type=int, nargs="+", default=[32, 1024])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        models = Path(place, "models")
        save_models(models, given.models)
        names = sorted(file.name for file in models.iterdir())
        size = sum(file.stat().st_size for file in models.iterdir())
        print(f"{given.models:,} models of {size / given.models / 1024:.1f} KiB each")
        for limit in given.limits:
            measure(models, names, limit, given.requests)


if __name__ == "__main__":
    main()
