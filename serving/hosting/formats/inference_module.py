"""``inference.py`` of a SageMaker artefact: its functions, called as SageMaker's toolkit does.

Where it lacks one, the toolkit's own is called. Numbers stay float64 in it: the toolkit's
scikit-learn image makes float32 of them, which changes whole numbers above 2**24. Arrays of objects
are refused: unpickling them would run the caller's code.
"""

from __future__ import annotations

import csv
import importlib.util
import inspect
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from driftline.errors import InputError
from driftline.formats.media_types import media_type
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.bodies.predictions import as_json, csv_text
from driftline.serving.hosting.formats.model_format import BodyModel, ModelError, ModelFailedError
from driftline.serving.hosting.own_folders import own_folder

# How many arguments each is called with; one more is the context.
FUNCTIONS = {"model_fn": 1, "input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4}
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
_EXPECTED = f"expected {JSON}, {CSV} or {NPY}"
# What code of SageMaker's containers looks for.
_VARIABLES = ("SM_MODEL_DIR", "SAGEMAKER_SUBMIT_DIRECTORY")


class InferenceModule(BodyModel):
    """The functions of one ``inference.py``, and the model that they loaded."""

    def __init__(self, file: Path, model_dir: Path) -> None:
        self._name = file.name
        properties = {"model_dir": str(model_dir), "gpu_id": None}
        self._context = SimpleNamespace(system_properties=properties)
        module = _imported(file, model_dir)
        self._functions = {name: self._function(module, name) for name in FUNCTIONS}
        own = {name for name, function in self._functions.items() if function is not None}
        steps = sorted(own & {"input_fn", "predict_fn", "output_fn"})
        if "transform_fn" in own and steps:
            raise ModelError(f"{self._name} has transform_fn beside {', '.join(steps)}; keep one")
        self.has_model_fn = "model_fn" in own
        self.has_own_bodies = bool(own - {"model_fn"})
        self.model: Any = None

    def load(self, model_dir: Path) -> Any:  # noqa: ANN401 - foreign object
        """Return what ``model_fn`` loads."""
        load = self._functions["model_fn"]
        assert load is not None
        with _raising(f"{self._name}: model_fn"):
            return load(str(model_dir))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Answer one request by the functions, those of the toolkit where there are none."""
        is_any = not accept.strip() or "*/*" in accept
        accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON) if is_any else accept
        try:  # Functions get these as text.
            sent: Any = body.decode() if media_type(content_type) in (JSON, CSV) else body
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8 text (byte {error.start})") from None
        if (transform := self._functions["transform_fn"]) is not None:
            return _body(transform(self.model, sent, content_type, accept), accept, "transform_fn")
        read, predict, write = (
            self._functions[name] or default for name, default in _DEFAULTS.items()
        )
        prediction = predict(read(sent, content_type), self.model)
        return _body(write(prediction, accept), accept, "output_fn")

    def _function(self, module: ModuleType, name: str) -> Callable[..., Any] | None:
        function = getattr(module, name, None)
        if function is None:
            return None
        expected = FUNCTIONS[name]
        if not callable(function):
            raise ModelError(f"{self._name}: {name} is no function")
        count = len(inspect.signature(function).parameters)
        if count == expected:
            return function  # type: ignore[no-any-return] # Checked to be callable.
        if count == expected + 1:
            return lambda *arguments: function(*arguments, self._context)
        raise ModelError(
            f"{self._name}: {name} takes {count} arguments; expected {expected}, or "
            f"{expected + 1} with the context"
        )


@contextmanager
def imports_apart() -> Iterator[None]:
    """Import modules of an artifact so that the next artifact gets its own.

    For a process that holds many models: each has a module ``inference``, and others of the same
    names beside it. A function that imports one of these only when it is called does not find it.
    """
    path, before = list(sys.path), {name: os.environ.get(name) for name in _VARIABLES}
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        place = f"{own_folder()}{os.sep}"
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(place):
                del sys.modules[name]
        for entry in [one for one in sys.path_importer_cache if one.startswith(place)]:
            del sys.path_importer_cache[entry]


def _imported(file: Path, model_dir: Path) -> ModuleType:
    os.environ.update(zip(_VARIABLES, (str(model_dir), str(file.parent)), strict=True))
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    with _raising(f"{file.name}: its import"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _raising(what: str) -> Iterator[None]:
    """Refuse an artefact whose code raises; its log gets the whole of it."""
    try:
        yield
    # Foreign code may raise anything.
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(f"{what} raised {type(error).__name__}: {reason}") from error


def _body(answer: Any, accept: str, function: str) -> tuple[bytes, str]:  # noqa: ANN401 - foreign object
    kind = accept.partition(",")[0].partition(";")[0].strip()
    if isinstance(answer, tuple) and len(answer) == 2:
        answer, kind = answer
    if isinstance(answer, str):
        answer = answer.encode()
    if not isinstance(answer, bytes | bytearray | memoryview) or not isinstance(kind, str):
        raise ModelFailedError(
            500, f"{function} returned {type(answer).__name__}; expected text or bytes"
        )
    return bytes(answer), kind


def _input_fn(body: Any, content_type: str) -> np.ndarray:  # noqa: ANN401 - text or bytes
    """Read a body as an array; one of a single row or value becomes (1, n)."""
    kind = media_type(content_type)
    try:
        if kind == JSON:
            document = json.loads(body)
            is_named = isinstance(document, dict) and "instances" in document
            found = _array(document["instances"] if is_named else document)
        elif kind == CSV:
            found = _array([line for line in csv.reader(io.StringIO(body)) if line])
        elif kind == NPY:
            found = np.load(io.BytesIO(body), allow_pickle=False)
        else:
            raise UnsupportedMediaError(f'Content-Type is "{content_type[:80]}"; {_EXPECTED}')
    except (ValueError, EOFError, csv.Error, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"the body is not {kind} ({reason})") from error
    return found.reshape(1, -1) if found.ndim < 2 else found


def _array(rows: Any) -> np.ndarray:  # noqa: ANN401 - JSON, or cells
    """Return numbers where every value is one, or missing; else the values as they are."""
    found = np.array(rows, dtype=object)
    try:
        numbers: np.ndarray = np.where(found == "", np.nan, found).astype(np.float64)
    except (TypeError, ValueError):
        return found
    return numbers


def _output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:  # noqa: ANN401 - foreign object
    """Write what a model predicted: a JSON list, a line of CSV for each row, or an array."""
    kind = media_type(accept)
    found = np.asarray(prediction)
    if kind == JSON:
        return as_json(found.tolist()), JSON
    if kind == CSV:
        rows = found.tolist() if found.ndim > 1 else [[one] for one in found.ravel().tolist()]
        return csv_text(rows), CSV
    if kind == NPY:
        sink = io.BytesIO()
        np.save(sink, found, allow_pickle=False)
        return sink.getvalue(), NPY
    raise NotAcceptableError(f'Accept is "{accept[:80]}"; {_EXPECTED}')


_DEFAULTS: Mapping[str, Callable[..., Any]] = {
    "input_fn": _input_fn,
    "predict_fn": lambda data, model: model.predict(data),
    "output_fn": _output_fn,
}
