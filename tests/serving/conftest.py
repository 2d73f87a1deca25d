"""Real models, a real database and a real server on a free port."""

import contextlib
import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sqlalchemy import Engine

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.errors import InputError
from driftline.orphans import children
from driftline.serving.app import create_app
from driftline.serving.context import ServerContext
from driftline.serving.hosting import worker_process
from driftline.serving.resources.endpoints import signature_of, trusts_event_time
from driftline.settings.settings import Settings, sections
from tests.kit.resources import resource
from tests.kit.waiting import wait
from tests.servers.answering import listening
from tests.servers.postgres import new_sqlite, open_url
from tests.sinking import sink_all

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
# Whose models are of classes of their own, which workers import as those of an installed package.
MODULES = Path(__file__).parents[1] / "fixtures" / "serving"


@dataclass(frozen=True)
class Trained:
    """A model on disk, its training data on disk and in memory."""

    file: Path
    reference: Path
    frame: pd.DataFrame
    model: Any

    @property
    def inputs(self) -> pd.DataFrame:
        """The columns that the model takes."""
        return self.frame[["carrier", "origin", "distance", "temp"]]

    def csv(self, rows: slice) -> str:
        """Return some rows as a request body."""
        return self.inputs[rows].to_csv(header=False, index=False)

    def flights(self, **endpoint: Any) -> list[dict[str, Any]]:
        """Return model, baseline and endpoint of one name."""
        return [
            resource("Model", "flights", path=str(self.file)),
            resource("Baseline", "flights", data=str(self.reference), label="late"),
            resource("Endpoint", "flights", model="flights", baseline="flights", **endpoint),
        ]


def make_frame(rows: int = 600, seed: int = 7) -> pd.DataFrame:
    """Return flights: two texts, a whole number, a fraction with gaps, and a label."""
    random = np.random.default_rng(seed)
    temperature = random.normal(55, 18, rows).round(2)
    temperature[::50] = np.nan
    frame = pd.DataFrame(
        {
            "carrier": random.choice(["UA", "AA", "DL"], rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows),
            "distance": random.integers(100, 3000, rows),
            "temp": temperature,
        }
    )
    late = (frame["distance"] / 3000 + random.normal(0, 0.3, rows)) > 0.5
    return frame.assign(late=late.astype("int64"))


def make_model(frame: pd.DataFrame) -> Pipeline:
    """Fit a pipeline that takes text and numbers by name."""
    prepare = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
            ("numbers", StandardScaler(), ["distance"]),
        ]
    )
    model = Pipeline([("prepare", prepare), ("classify", LogisticRegression())])
    return model.fit(frame[["carrier", "origin", "distance", "temp"]], frame["late"])


@pytest.fixture(scope="session", autouse=True)
def one_fork_server() -> Iterator[None]:
    """Have workers import models of modules of ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(MODULES))
        worker_process.fork_server().close()  # It has another path.
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained"))


def train(folder: Path) -> Trained:
    """Fit the model of the flights, and save it and its data in a folder."""
    frame = make_frame()
    model = make_model(frame)
    skops.io.dump(model, folder / "late.skops")
    frame.to_parquet(folder / "train.parquet", index=False)
    return Trained(folder / "late.skops", folder / "train.parquet", frame, model)


@dataclass
class Running:
    """A server that answers on a real port, and where its state lies."""

    url: str
    root: Path
    engine: Engine
    client: httpx.Client
    context: Any

    def apply(self, *resources: dict[str, Any], dry_run: bool = False) -> httpx.Response:
        """Apply as the command does: wait for what follows; an answer of 400 if any fails."""
        body = {"resources": list(resources), "dry_run": dry_run}
        answer = self.client.post("/api/v1/apply", json=body)
        if answer.is_success and not dry_run:
            shown = self.client.headers.get("authorization", "")
            with Client(self.url, token=shown.removeprefix("Bearer ") or None) as client:
                try:
                    status, said = 200, client.wait_until_ready(answer.json())
                except InputError as error:
                    status, said = 400, {"error": {"code": "failed", "message": str(error)}}
            return httpx.Response(status, json=said, request=answer.request)
        return answer

    def must_apply(self, *resources: dict[str, Any]) -> None:
        """Apply, and want everything ready."""
        answer = self.apply(*resources)
        assert answer.status_code == 200, answer.text

    def invoke(self, name: str, body: bytes | str, **headers: str) -> httpx.Response:
        kept = {key.replace("_", "-"): value for key, value in headers.items()}
        kept.setdefault("content-type", "text/csv")
        return self.client.post(f"/endpoints/{name}/invocations", content=body, headers=kept)

    @staticmethod
    def error_of(response: httpx.Response) -> dict[str, str]:
        """Return code and message, after checking the one form that errors have."""
        found = json.loads(response.content)
        # Of invocations there is the same for SageMaker's clients (sagemaker_errors.py).
        of_clients = {"Message", "OriginalStatusCode", "OriginalMessage", "LogStreamArn"}
        assert set(found) - of_clients == {"error"}
        assert found.get("Message", found["error"]["message"]) == found["error"]["message"]
        assert set(found["error"]) == {"code", "message"}
        assert "Traceback" not in found["error"]["message"]
        assert "\n" not in found["error"]["message"]
        return found["error"]

    def sink_all(self) -> None:
        """Store what was captured, by the signatures that are declared."""
        sink_all(
            self.root,
            self.context.spool_dir,
            lambda name: signature_of(self.engine, name),
            trusts_event_time=lambda name: trusts_event_time(self.engine, name),
        )

    def captured(self, name: str, column: str) -> list[Any]:
        """Store what was captured; return a column of an endpoint's rows."""
        self.sink_all()
        return Dataset(str(self.root), name).open().to_table([column])[column].to_pylist()

    def metric(self, endpoint: str, name: str, namespace: str = "AWS/SageMaker") -> tuple[int, Any]:
        """Return how often a metric was put within the minute of the tests, and the sum."""
        key = metric_key(namespace, name, {"EndpointName": endpoint, "VariantName": "AllTraffic"})
        with self.engine.connect() as connection:
            request = SeriesRequest(key, NOW, NOW + timedelta(minutes=1), 60)
            found = read_many(connection, [request])[0].get(0)
        return (0, 0) if found is None else (found.sample_count, found.sum)

    def send_hours(self, rows: pd.DataFrame, start: datetime, hours: int = 24) -> None:
        """Invoke flights with twenty rows each hour, each day with the same, and store them."""
        for hour in range(hours):
            first = hour % 24 * 20
            answer = self.invoke(
                "flights",
                rows.iloc[first : first + 20].to_csv(header=False, index=False),
                x_driftline_event_time=(start + timedelta(hours=hour)).isoformat(),
            )
            assert answer.status_code == 200, answer.text
        self.sink_all()

    def worker_ids(self) -> list[int]:
        """Find the worker processes of this server, which its fork server has forked."""
        parent = worker_process.fork_server().pid
        return [] if parent is None else sorted(children(parent))


CONTEXT = {field.name for field in fields(ServerContext)}


def settings_of(
    folder: Path, root: Path | None = None, *, dashboard_url: str = "", **values: Any
) -> Settings:
    """Return settings of a server in a folder; each value goes to the section that has its key."""
    found: dict[str, dict[str, Any]] = {
        "storage": {"root": str(root or folder / "root"), "local_dir": str(folder)},
        "dashboard": {"external_url": dashboard_url},
    }
    for key, value in values.items():
        section = next(
            name
            for name in ("serving", "capture", "notify", "scheduler", "server", "auth")
            if key in sections()[name].model_fields
        )
        found.setdefault(section, {})[key] = value
    return Settings(**found, folder=folder)


@contextlib.contextmanager
def running(folder: Path, *, database: str = "", **settings: Any) -> Iterator[Running]:
    """Run the whole server in a thread, on a port of its own; on SQLite if not told otherwise."""
    engine = open_url(database or new_sqlite(folder))
    root = folder / "root"
    root.mkdir(exist_ok=True)
    limits = {name: settings.pop(name) for name in CONTEXT & settings.keys()}
    context = ServerContext(
        settings=settings_of(folder, root, **settings),
        engine=engine,
        **{"now": lambda: NOW} | limits,
    )
    try:
        with listening(create_app(context)) as port:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Running(url, root, engine, client, context)
    finally:
        engine.dispose()


def wait_for(condition: Callable[[], Any], timeout_s: float = 90.0) -> Any:
    """Wait until something holds; by default far longer than a busy machine takes for anything."""
    return wait(condition, within_s=timeout_s, every_s=0.02)


@pytest.fixture(scope="session")
def start() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    """Return what starts a server in a folder, with settings."""
    return running


@pytest.fixture(scope="session")
def declare() -> Callable[..., dict[str, Any]]:
    """Return what writes a resource: kind, name, spec."""
    return resource


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Return what waits for a condition."""
    return wait_for


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Client]:
    """Return a client of the server of the file."""
    with Client(server.url) as found:
        yield found


def saved(module: str, kind: str, folder: Path, *given: Any) -> Path:
    """Save a model of a class of ours, which workers can import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(MODULES)
        model = getattr(importlib.import_module(module), kind)(*given)
    joblib.dump(model.fit() if hasattr(model, "fit") else model, folder / f"{kind}.joblib")
    return folder / f"{kind}.joblib"


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a slow model."""
    return saved("slow_model", "Slow", tmp_path_factory.mktemp("slow"))
