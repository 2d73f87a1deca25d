"""What SageMaker's inference toolkit does where ``inference.py`` lacks a function.

Numbers stay float64: the toolkit's scikit-learn image makes float32 of them, which changes whole
numbers above 2**24. Arrays of objects are refused: unpickling them would run the caller's code.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from driftline.errors import InputError
from driftline.formats.media_types import media_type
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.bodies.predictions import as_json

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
_EXPECTED = f"expected {JSON}, {CSV} or {NPY}"


def input_fn(body: bytes, content_type: str) -> np.ndarray:
    """Read a body as an array; one of a single row or value becomes (1, n)."""
    kind = media_type(content_type)
    try:
        if kind == JSON:
            document = json.loads(body)
            is_named = isinstance(document, dict) and "instances" in document
            found = _array(document["instances"] if is_named else document)
        elif kind == CSV:
            lines = [line for line in csv.reader(io.StringIO(body.decode())) if line]
            found = _array(lines)
        elif kind == NPY:
            found = np.load(io.BytesIO(body), allow_pickle=False)
        else:
            raise UnsupportedMediaError(f'Content-Type is "{content_type[:80]}"; {_EXPECTED}')
    except (ValueError, EOFError, csv.Error, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"the body is not {kind} ({reason})") from error
    return found.reshape(1, -1) if found.ndim < 2 else found


def predict_fn(data: Any, model: Any) -> Any:  # noqa: ANN401 - foreign objects
    """Predict with the model."""
    return model.predict(data)


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:  # noqa: ANN401 - foreign object
    """Write what a model predicted: a JSON list, a line of CSV for each row, or an array."""
    kind = media_type(accept)
    found = np.asarray(prediction)
    if kind == JSON:
        return as_json(found.tolist()), JSON
    if kind == CSV:
        out = io.StringIO(newline="")
        rows = found.tolist() if found.ndim > 1 else [[one] for one in found.ravel().tolist()]
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode(), CSV
    if kind == NPY:
        sink = io.BytesIO()
        np.save(sink, found, allow_pickle=False)
        return sink.getvalue(), NPY
    raise NotAcceptableError(f'Accept is "{accept[:80]}"; {_EXPECTED}')


def _array(rows: Any) -> np.ndarray:  # noqa: ANN401 - JSON, or cells
    """Return numbers where every value is one, or missing; else the values as they are."""
    try:
        texts = [["nan" if cell == "" else cell for cell in row] for row in rows]
        return np.array(texts, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    try:
        return np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(rows, dtype=object)
