"""A model of a running server, to be explained from afar: asked over HTTP, never too fast."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pyarrow as pa

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.monitors.kinds.attribution.shapley import Contributions
from driftline.serving.hosting.explain import ModelProcess, open_model
from driftline.serving.hosting.model_files import PICKLE_SUFFIXES, SKOPS_SUFFIXES

# Rows of one request; far below the server's limit of bytes.
BATCH_ROWS = 2_000
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


class RemoteModel:
    """An endpoint's model, as its server answers (a ModelPredictor).

    After each answer it rests as long as the answer took, so that at most half of the endpoint's
    time goes to explaining.
    """

    method = "permutation"

    def __init__(self, server: str, endpoint: str) -> None:
        self._http = httpx.Client(base_url=server.rstrip("/"), timeout=TIMEOUT)
        self._name = quote(endpoint, safe="")
        try:
            self._look(endpoint)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's answers, shape (n,) or (n, classes)."""
        rest = threading.Event()
        parts = []
        for first in range(0, rows.num_rows, BATCH_ROWS):
            began = time.monotonic()
            parts.append(self._ask(rows.slice(first, BATCH_ROWS)))
            if first + BATCH_ROWS < rows.num_rows:
                rest.wait(time.monotonic() - began)
        return np.concatenate(parts)

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Refuse: over HTTP a model only answers."""
        raise InputError(
            "a model behind HTTP does not explain itself; expected to be asked by rows"
        )

    def _look(self, endpoint: str) -> None:
        """Learn what the model takes and answers."""
        found = self._json("GET", f"/api/v1/endpoints/{self._name}")
        if found["spec"]["model"] is None:
            raise InputError(f'endpoint "{endpoint}" has no model on this server; give a file')
        model = quote(found["spec"]["model"], safe="")
        made = self._json("GET", f"/api/v1/models/{model}")["status"]
        signature, about = found["status"]["signature"], made["description"]
        columns = [] if signature is None else signature["features"]
        names = [one["name"] for one in columns if one["role"] == "feature"]
        known = tuple(names) or tuple(about["feature_names"] or ())
        self.model: str = made["digest"]
        self.features: tuple[str, ...] | None = known or None
        self._classes: tuple[str, ...] = tuple(about["classes"])
        self._positive: str | None = found["status"].get("positive")
        self.labels = self._classes if len(self._classes) > 2 else ()
        units = "probability" if about["has_probability"] else "class"
        self.units = units if self._classes else "value"
        self.method_units = self.units

    def _ask(self, rows: pa.Table) -> np.ndarray:
        body = json.dumps({"instances": rows.to_pylist()}, default=str)
        found = self._json("POST", f"/api/v1/endpoints/{self._name}/predictions", body)
        answers = found["predictions"]
        if self.units == "probability":
            return np.array([one["probability"] for one in answers], dtype=np.float64)
        predictions = [one["prediction"] for one in answers]
        if self.units == "value":
            return np.array(predictions, dtype=np.float64)
        texts = np.array([one if isinstance(one, str) else json.dumps(one) for one in predictions])
        if self.labels:
            return np.asarray(texts[:, None] == np.array(self.labels), dtype=np.float64)
        return np.asarray(texts == (self._positive or self._classes[-1]), dtype=np.float64)

    def _json(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(
                method, path, content=body, headers={"content-type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"no server answers at {self._http.base_url} ({error}); "
                "start one with: driftline up"
            ) from error
        try:
            found: dict[str, Any] = response.json()
        except ValueError as error:
            raise UnavailableError(f"{path}: the answer is no JSON") from error
        if response.is_success:
            return found
        message = str(found.get("error", {}).get("message", response.status_code))
        if response.status_code == 404:
            raise NotFoundError(message)
        if response.status_code >= 500 or response.status_code == 429:
            raise UnavailableError(message)
        raise InputError(message)


def open_named(
    model: str, *, trust_pickle: bool, server: str, positive: str | tuple[str, ...] | None = None
) -> ModelProcess | RemoteModel:
    """Open a model by what people write: a path, or the name of an endpoint of a server."""
    if is_endpoint_name(model):
        return RemoteModel(server, model)
    return open_model(Path(model), trust_pickle=trust_pickle, positive=positive)


def is_endpoint_name(model: str) -> bool:
    """Whether a model is named by an endpoint, not by a path."""
    path = Path(model)
    is_file = path.suffix.lower() in SKOPS_SUFFIXES + PICKLE_SUFFIXES
    return not (path.exists() or is_file or len(path.parts) > 1)
