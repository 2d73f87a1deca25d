"""A server with one multi-model endpoint, whose models are real and small."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

HEADERS = {"content-type": "text/csv"}
SETTINGS = (
    "workers",
    "trust_pickle",
    "timeout_s",
    "reach",
)  # Of the server; all else is the Model's.


def store_frame(rows: int = 400, seed: int = 5) -> pd.DataFrame:
    """Return numbers and a label that the sum of two of them decides."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, 3)), columns=["price", "stock", "visits"])
    noise = random.normal(0, 0.5, rows)
    return frame.assign(sold=(frame["price"] + frame["stock"] + noise > 0).astype("int64"))


def fitted(seed: int = 5) -> LogisticRegression:
    frame = store_frame(seed=seed)
    return LogisticRegression().fit(frame[["price", "stock", "visits"]], frame["sold"])


@pytest.fixture(scope="session")
def store_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Save twelve models that answer differently."""
    folder = tmp_path_factory.mktemp("models")
    for number in range(12):
        skops.io.dump(fitted(seed=number), folder / f"{number:02}.skops")
    return sorted(folder.iterdir())


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Return what asks one model of an endpoint."""

    def invoke(
        server: Any, model: str | bytes | None, row: str = "0.5,0.1,0", more: Any = None
    ) -> Any:
        headers = [*{**HEADERS, **(more or {})}.items()]
        if model is not None:
            headers.append(("X-Amzn-SageMaker-Target-Model", model))
        return server.client.post("/endpoints/stores/invocations", content=row, headers=headers)

    return invoke


@pytest.fixture
def prefix(tmp_path: Path, store_models: list[Path]) -> Path:
    """Return a folder of models that a test may change."""
    folder = tmp_path / "prefix"
    (folder / "north").mkdir(parents=True)
    for file in store_models:
        (folder / "north" / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def stores(start: Any, declare: Any, tmp_path: Path, prefix: Path) -> Iterator[Callable[..., Any]]:
    """Return what starts the server and applies the endpoint, with fields of its model."""
    reference = tmp_path / "reference.parquet"
    store_frame().to_parquet(reference, index=False)
    opened = []

    def begin(*, is_signed: bool = True, trust_event_time: bool = False, **given: Any) -> Any:
        settings = {key: given.pop(key) for key in SETTINGS if key in given}
        (tmp_path / "server").mkdir(exist_ok=True)
        context = start(tmp_path / "server", **settings)
        server = context.__enter__()
        opened.append(context)
        model = {"mode": "MultiModel", "model_data_prefix": str(prefix), **given}
        baseline = [declare("Baseline", "stores", data=str(reference), label="sold")]
        endpoint = {"model": "stores", "trust_event_time": trust_event_time}
        if is_signed:
            endpoint["baseline"] = "stores"
        answer = server.apply(
            declare("Model", "stores", **model),
            *(baseline if is_signed else []),
            declare("Endpoint", "stores", **endpoint),
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["endpoints"]["stores"]["state"] == "InService", json.dumps(
            answer.json()
        )
        return server

    def stop() -> None:
        while opened:
            opened.pop().__exit__(None, None, None)

    begin.stop = stop  # type: ignore[attr-defined] # For tests that look at what is left.
    yield begin
    stop()
