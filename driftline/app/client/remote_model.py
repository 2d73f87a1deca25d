"""A model of a running server, to be explained from afar: asked over HTTP, never too fast."""

from __future__ import annotations

import json
import threading
import time
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa

from driftline.app.client.connection import ServerCalls, api_path
from driftline.app.client.credentials import settings_here
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.shapley import Contributions
from driftline.serving.hosting.formats.table import model_suffixes
from driftline.serving.hosting.model_process import ModelProcess, open_model

# Rows of one request; far below the server's limit of bytes.
BATCH_ROWS = 2_000
TIMEOUT_S = 120.0


class RemoteModel(ServerCalls):
    """An endpoint's model, as its server answers (a ModelPredictor).

    After each answer it rests as long as the answer took, so that at most half of the endpoint's
    time goes to explaining.
    """

    method = "permutation"

    def __init__(self, server: str, endpoint: str) -> None:
        super().__init__(server, settings=settings_here, timeout_s=TIMEOUT_S)
        self._endpoint = endpoint
        try:
            self._look(endpoint)
        except BaseException:
            self.close()
            raise

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
        found = self._get("endpoints", endpoint)
        variants = [one for one in found["status"]["variants"] if not one["shadow"]]
        if not variants:
            raise InputError(f'endpoint "{endpoint}" has no model on this server; give a file')
        # The one that answers: ``predictions`` asks that with the largest share, too.
        asked = max(variants, key=itemgetter("share"))
        made = self._get("models", asked["model"])["status"]
        if "file" not in made:
            raise InputError(f'endpoint "{endpoint}" has many models; give the file of one')
        signature, about = found["status"]["signature"], made["description"]
        columns = [] if signature is None else signature["features"]
        names = [one["name"] for one in columns if one["role"] == "feature"]
        known = tuple(names) or tuple(about["feature_names"] or ())
        self.model: str = made["digest"]
        self.features: tuple[str, ...] | None = known or None
        self._classes: tuple[str, ...] = tuple(about["classes"])
        chosen: str | None = found["status"].get("positive")
        self.positive = (chosen or self._classes[-1]) if len(self._classes) == 2 else ""
        self.labels = self._classes if len(self._classes) > 2 else ()
        units = "probability" if about["has_probability"] else "class"
        self.units = units if self._classes else "value"
        self.method_units = self.units

    def _ask(self, rows: pa.Table) -> np.ndarray:
        path = api_path("endpoints", self._endpoint, "predictions")
        body = json.dumps({"instances": rows.to_pylist()}, default=str)
        headers = {"content-type": "application/json"}
        answers = self._json("POST", path, content=body, headers=headers)["predictions"]
        if self.units == "probability":
            return np.array([one["probability"] for one in answers], dtype=np.float64)
        predictions = [one["prediction"] for one in answers]
        if self.units == "value":
            return np.array(predictions, dtype=np.float64)
        texts = np.array([one if isinstance(one, str) else json.dumps(one) for one in predictions])
        if self.labels:
            return np.asarray(texts[:, None] == np.array(self.labels), dtype=np.float64)
        return np.asarray(texts == self.positive, dtype=np.float64)


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
    is_file = path.name.lower().endswith(model_suffixes())
    return not (path.exists() or is_file or len(path.parts) > 1)
