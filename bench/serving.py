"""What the bundled server costs a request, beside MLServer, BentoML and a floor, in one run.

All serve the same models of scikit-learn, one process a model, and take turns: a cell is some
seconds of one load on one of them. Given is CPU (user and system) of the whole process tree a
request: of driftline all of `driftline up`, with capture of every request, monitors and alarms;
what it stores after the load is counted, too, less what it takes at rest in that time.

- driftline: `driftline up` and `driftline deploy` with a reference, all settings as they come but
  for the ports. Several source trees in one run: --trees BEFORE AFTER.
- mlserver: `mlserver start` as it comes; mlserver-tuned: no pool of processes, no logs a request.
- bentoml: `bentoml serve` of bench/peers/serving_bento.py. It reads JSON.
- floor: bench/peers/serving_floor.py: uvicorn, one coroutine, one call of the model, no checks.

The model `onnx` is the linear one converted by `driftline model convert`; MLServer and BentoML
have no server of their own for it.

Peers are installed from bench/peers/ into environments below --cache; a peer that cannot be
installed is left out, and the report says why.

    PYTHONPATH=. python bench/serving.py --trees ../before . --systems driftline --models flights
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import serving_load
from drift import environment
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.recommend.load import Phase, request_of, run
from tests.servers.ports import free_port

HERE = Path(__file__).parent
SYSTEMS = ("driftline", "mlserver", "mlserver-tuned", "bentoml", "floor")
MODELS = ("linear", "trees", "onnx", "flights")
FEATURES, ROWS, BODIES = 20, 10_000, 500
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
LAG_S = 12.0  # Captured rows wait 10 s at most to be stored ([capture] commit_interval_s).
STORED_S = 90.0  # Longest backlog that is waited for.
BENTO = {"BENTOML_DO_NOT_TRACK": "true"}


@dataclass(frozen=True)
class Cell:
    """One load: what a body holds, and on how many connections."""

    form: str
    rows: int
    connections: int

    @property
    def name(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{rows}, {self.form}, {self.connections} conn."


CELLS = (
    Cell("csv", 1, 1), Cell("csv", 1, 16), Cell("json", 1, 1), Cell("json", 1, 16),
    Cell("csv", 1000, 1), Cell("json", 1000, 1), Cell("npy", 1000, 1),
)  # fmt: skip
TYPES = {"csv": "text/csv", "json": "application/json", "npy": "application/x-npy"}
Rows = list[list[object]]
Bodies = Callable[[str, Rows], tuple[str, str, bytes] | None]  # Path, type, body; None: not taken.


@dataclass(frozen=True)
class Made:
    """A model, its reference and rows to ask it for."""

    name: str
    file: Path
    reference: Path
    rows: Rows
    systems: tuple[str, ...] = SYSTEMS  # Which can serve it.


@dataclass(frozen=True)
class Running:
    """A server at work."""

    system: str
    port: int
    pid: int
    bodies: Bodies
    rest: Mapping[str, float] | None = None  # CPU seconds a second, of what stores after a load.

    def used_s(self) -> dict[str, float]:
        """Return the CPU seconds of its processes so far, by name."""
        found: dict[str, float] = defaultdict(float)
        for pid in serving_load.below(self.pid):
            found[serving_load.name_of(pid)] += serving_load.processor_s(pid)
        return found


@dataclass(frozen=True)
class Found:
    """What one cell gave."""

    cpu_us: float
    by_process: dict[str, float]
    rate: float
    p50_ms: float
    p99_ms: float


def make(name: str, folder: Path) -> Made:
    """Fit a model."""
    file, reference = folder / f"{name}.joblib", folder / f"{name}.parquet"
    if name == "flights":
        from driftline.app.demo.flights import FEATURES as COLUMNS
        from driftline.app.demo.flights import LABEL, load
        from driftline.app.demo.model import pipeline

        table = load(datetime.now(UTC)).select([*COLUMNS, LABEL]).slice(0, 60_000).drop_null()
        frame = table.to_pandas()
        model = pipeline().fit(frame[[*COLUMNS]], frame[LABEL])
        rows = [[*row.values()] for row in table.select(COLUMNS).slice(0, ROWS).to_pylist()]
        pq.write_table(table, reference)
    else:
        rng = np.random.default_rng(1)
        values = rng.normal(size=(ROWS, FEATURES))
        label = (values[:, :4].sum(axis=1) + rng.normal(size=ROWS) > 0).astype(int)
        kinds = {
            "linear": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
            "trees": lambda: HistGradientBoostingClassifier(random_state=0),
        }
        kinds["onnx"] = kinds["linear"]
        model = kinds[name]().fit(values, label)
        columns = {f"f{at}": values[:, at] for at in range(FEATURES)}
        pq.write_table(pa.table({**columns, "label": label}), reference)
        rows = values.tolist()
    joblib.dump(model, file)
    if name == "onnx":
        converted = file.with_suffix(".onnx")
        convert(file, converted, reference)
        return Made(name, converted, reference, rows, ("driftline", "floor"))
    return Made(name, file, reference, rows, ("driftline",) if name == "flights" else SYSTEMS)


def convert(model: Path, converted: Path, reference: Path) -> None:
    """Convert a model as a user would."""
    (model.parent / "driftline.toml").write_text("[serving]\ntrust_pickle = true\n")
    subprocess.run(
        [sys.executable, "-m", "driftline", "model", "convert", model, converted,
         "--reference", reference, "--exclude", "label"],
        cwd=model.parent, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=True,
    )  # fmt: skip


def plain(path: str, forms: Sequence[str]) -> Bodies:
    """Return what writes the bodies that driftline and the floor read."""

    def body(form: str, rows: Rows) -> tuple[str, str, bytes] | None:
        if form not in forms or (form == "npy" and any(isinstance(one, str) for one in rows[0])):
            return None
        if form == "csv":
            text = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
        elif form == "json":
            text = json.dumps({"instances": rows}).encode()
        else:
            out = io.BytesIO()
            np.save(out, np.array(rows, dtype=np.float64))
            text = out.getvalue()
        return path, TYPES[form], text

    return body


def for_mlserver(form: str, rows: Rows) -> tuple[str, str, bytes] | None:
    """Write a request of the Open Inference Protocol, for probabilities."""
    if form != "json":
        return None
    tensor = {
        "name": "rows", "shape": [len(rows), len(rows[0])], "datatype": "FP64",
        "data": [value for row in rows for value in row],
    }  # fmt: skip
    asked = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    return "/v2/models/model/infer", TYPES["json"], json.dumps(asked).encode()


def for_bentoml(form: str, rows: Rows) -> tuple[str, str, bytes] | None:
    """Write a request of BentoML."""
    if form != "json":
        return None
    return "/predict", TYPES["json"], json.dumps({"rows": rows}).encode()


@contextmanager
def started(
    system: str,
    command: Sequence[object],
    folder: Path,
    port: int,
    ready: str,
    bodies: Bodies,
    **variables: str,
) -> Iterator[Running]:
    """Start a server, and end it with all that it started."""  # fmt: skip
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*map(str, command)], cwd=folder, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **QUIET, **variables},
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}{ready}", process, folder)
            yield Running(system, port, process.pid, bodies)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a server is ready."""
    until_s = time.monotonic() + 90
    while time.monotonic() < until_s and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{url} was never ready: {(folder / 'log.txt').read_text()[-2000:]}")


@contextmanager
def driftline(name: str, tree: Path, made: Made, folder: Path) -> Iterator[Running]:
    """Start an installation, and deploy a model in it."""
    port = free_port()
    (folder / "driftline.toml").write_text(
        f"[server]\nport = {port}\n[dashboard]\nport = {free_port()}\n"
        f"[metrics]\nport = {free_port()}\n[serving]\ntrust_pickle = true\n"
    )
    command = [sys.executable, "-m", "driftline"]
    bodies = plain("/endpoints/model/invocations", ("csv", "json", "npy"))
    with started(
        name, [*command, "up"], folder, port, "/healthz", bodies, PYTHONPATH=str(tree)
    ) as up:
        subprocess.run(
            [*command, "deploy", made.file, "--name", "model", "--reference", made.reference,
             "--label", "late" if made.name == "flights" else "label",
             "--server", f"http://127.0.0.1:{port}"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(tree)}, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(f"http://127.0.0.1:{port}/readyz", _never_ends(), folder)
        time.sleep(LAG_S)
        before = up.used_s()
        time.sleep(LAG_S)
        rest = {name: (used - before.get(name, 0.0)) / LAG_S for name, used in up.used_s().items()}
        yield replace(up, rest=rest)


def _never_ends() -> subprocess.Popen[bytes]:
    class Endless:
        def poll(self) -> None:
            return None

    return Endless()  # type: ignore[return-value]


@contextmanager
def mlserver(name: str, python: Path, made: Made, folder: Path) -> Iterator[Running]:
    """Start MLServer with one model."""
    port = free_port()
    settings: dict[str, object] = {
        "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(),
        "host": "127.0.0.1",
    }  # fmt: skip
    if name == "mlserver-tuned":
        settings |= {"parallel_workers": 0, "debug": False}
        (folder / "logging.ini").write_text(
            "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n"
            "[logger_root]\nlevel=ERROR\nhandlers=h\n"
            "[handler_h]\nclass=StreamHandler\nformatter=f\nargs=(sys.stderr,)\n"
            "[formatter_f]\nformat=%(message)s\n"
        )
        settings["logging_settings"] = str(folder / "logging.ini")
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "model", "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(made.file)},
    }  # fmt: skip
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = [python.with_name("mlserver"), "start", folder]
    ready = "/v2/models/model/ready"
    with started(name, command, folder, port, ready, for_mlserver) as running:
        yield running


@contextmanager
def bentoml(python: Path, made: Made, folder: Path) -> Iterator[Running]:
    """Start BentoML with one model."""
    port = free_port()
    (folder / "serving_bento.py").write_text((HERE / "peers" / "serving_bento.py").read_text())
    command = [python.with_name("bentoml"), "serve", "serving_bento:Service", "--port", port,
               "--host", "127.0.0.1"]  # fmt: skip
    variables = {**BENTO, "SERVING_MODEL": str(made.file), "BENTOML_HOME": str(folder)}
    with started("bentoml", command, folder, port, "/readyz", for_bentoml, **variables) as running:
        yield running


@contextmanager
def floor(made: Made, folder: Path) -> Iterator[Running]:
    """Start the floor."""
    port = free_port()
    command = [sys.executable, HERE / "peers" / "serving_floor.py", port, made.file]
    bodies = plain("/", ("csv", "json", "npy"))
    with started("floor", command, folder, port, "/", bodies) as running:
        yield running


def measure(running: Running, made: Made, cell: Cell, seconds: float) -> Found | None:
    """Ask one server by one load; None where it does not take such bodies."""
    step = cell.rows
    count = 1 if step > 1 else BODIES
    parts = [made.rows[at * step : (at + 1) * step] for at in range(count)]
    written = [running.bodies(cell.form, part) for part in parts]
    requests = [request_of(running.port, *asked) for asked in filter(None, written)]
    if not requests:
        return None
    before = running.used_s()
    warm = run(running.port, requests, Phase(cell.connections, seconds=1))
    load = run(running.port, requests, Phase(cell.connections, seconds=seconds))
    rest_s = stored(running)
    asked = len(load.latencies_s)
    rest, all_asked = running.rest or {}, asked + len(warm.latencies_s)
    by_process = {
        name: (used - before.get(name, 0.0) - rest.get(name, 0.0) * rest_s) / all_asked * 1e6
        for name, used in running.used_s().items()
    }
    p50, p99 = np.quantile(load.latencies_s, [0.5, 0.99]) * 1e3
    rate = asked / load.seconds
    return Found(sum(by_process.values()), by_process, rate, float(p50), float(p99))


def stored(running: Running) -> float:
    """Wait until a server has stored what it captured; return the seconds that took."""
    if running.rest is None:
        return 0.0
    began_s = time.monotonic()
    time.sleep(LAG_S)
    at_rest = sum(running.rest.values())
    is_busy = True
    while is_busy and time.monotonic() - began_s < STORED_S:
        used_s = sum(running.used_s().values())
        time.sleep(1)
        is_busy = sum(running.used_s().values()) - used_s > 2 * at_rest + 0.05
    return time.monotonic() - began_s


def medians(found: Sequence[Found]) -> Found:
    """Return the middle of each figure."""
    names = sorted({name for one in found for name in one.by_process})
    middle = statistics.median
    return Found(
        middle(one.cpu_us for one in found),
        {name: middle(one.by_process.get(name, 0.0) for one in found) for name in names},
        middle(one.rate for one in found),
        middle(one.p50_ms for one in found),
        middle(one.p99_ms for one in found),
    )


def report(model: str, results: dict[Cell, dict[str, list[Found]]]) -> Iterator[str]:
    """Write the table of one model."""
    yield f"\n## {model}\n"
    yield "| load | server | CPU a request, µs | of which | requests/s | p50, ms | p99, ms |"
    yield "|---|---|---:|---|---:|---:|---:|"
    for cell, by_system in results.items():
        for system, found in by_system.items():
            one = medians(found)
            parts = sorted(one.by_process.items(), key=lambda part: -part[1])
            told = ", ".join(f"{name} {value:.0f}" for name, value in parts if value >= 0.5)
            yield (
                f"| {cell.name} | {system} | {one.cpu_us:,.0f} | {told} | {one.rate:,.0f} | "
                f"{one.p50_ms:.2f} | {one.p99_ms:.2f} |"
            )


def servers(
    stack: ExitStack, given: argparse.Namespace, made: Made, folder: Path, why: dict[str, str]
) -> list[Running]:
    """Start all servers of one model."""
    found = []
    for system in given.systems.split(","):
        names = [f"driftline {tree.name}" for tree in given.trees]
        trees = (
            dict(zip(names, given.trees, strict=True)) if system == "driftline" else {system: None}
        )
        for name, tree in trees.items():
            place = folder / name.replace(" ", "-")
            place.mkdir()
            if system == "driftline":
                found.append(stack.enter_context(driftline(name, tree, made, place)))
                continue
            if system not in made.systems:
                continue
            if system == "floor":
                found.append(stack.enter_context(floor(made, place)))
                continue
            python = environment(system.partition("-")[0], given.cache)
            if not isinstance(python, Path):
                why[system] = python
            elif system == "bentoml":
                found.append(stack.enter_context(bentoml(python, made, place)))
            else:
                found.append(stack.enter_context(mlserver(system, python, made, place)))
    return found


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trees", nargs="+", type=Path, default=[HERE.parent])
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--cells", default="", help="part of the names of the loads to run")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    cache = Path.home() / ".cache" / "driftline-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where peers are installed")
    given = parser.parse_args()
    given.trees = [tree.resolve() for tree in given.trees]
    return given


def main() -> None:
    """Print the report."""
    given = options()
    why: dict[str, str] = {}
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"# What the bundled server costs a request\n\n{platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load before {load}, Python {platform.python_version()}; medians "
        f"of {given.rounds} runs of {given.seconds:g} s, in turn."
    )
    for model in given.models.split(","):
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            made = make(model, Path(name))
            running = servers(stack, given, made, Path(name), why)
            results: dict[Cell, dict[str, list[Found]]] = defaultdict(lambda: defaultdict(list))
            for _ in range(given.rounds):
                for cell in CELLS:
                    if not any(part in cell.name for part in given.cells.split(";")):
                        continue
                    for one in running:
                        if (found := measure(one, made, cell, given.seconds)) is not None:
                            results[cell][one.system].append(found)
            for line in report(model, results):
                print(line)
            print()
            for one in running:
                pids = serving_load.below(one.pid)
                whole = sum(serving_load.memory_mib(pid) for pid in pids)
                print(f"- {one.system}: {whole:.0f} MiB (PSS) in {len(pids)} processes")
            sys.stdout.flush()
    for system, reason in why.items():
        print(f"\n{system} is left out, it could not be installed: {reason}")


if __name__ == "__main__":
    main()
