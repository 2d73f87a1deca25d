"""``inference.py`` of a SageMaker artefact: its functions, called as SageMaker's toolkit does."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from driftline.errors import InputError
from driftline.formats.media_types import media_type
from driftline.serving.hosting.formats import default_functions
from driftline.serving.hosting.formats.model_format import BodyModel, ModelError, ModelFailedError
from driftline.serving.hosting.own_folders import own_folder

# How many arguments each is called with; one more is the context.
FUNCTIONS = {"model_fn": 1, "input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4}
# The types whose bodies functions get as text.
_TEXT = (default_functions.JSON, default_functions.CSV)
DEFAULT_ACCEPT = default_functions.JSON
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
        accept = DEFAULT_ACCEPT if is_any else accept
        try:
            sent: Any = body.decode() if media_type(content_type) in _TEXT else body
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8 text (byte {error.start})") from None
        if (transform := self._functions["transform_fn"]) is not None:
            return _body(transform(self.model, sent, content_type, accept), accept, "transform_fn")
        if (read := self._functions["input_fn"]) is not None:
            data = read(sent, content_type)
        else:
            data = default_functions.input_fn(body, content_type)
        predict = self._functions["predict_fn"] or default_functions.predict_fn
        prediction = predict(data, self.model)
        if (write := self._functions["output_fn"]) is not None:
            return _body(write(prediction, accept), accept, "output_fn")
        return default_functions.output_fn(prediction, accept)

    def _function(self, module: ModuleType, name: str) -> Callable[..., Any] | None:
        """Return a function that takes the plain arguments; None when there is none."""
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
    """Import the module, with its folder on the path as in SageMaker's containers."""
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
    """Return body and type of what a function answered: a body, or both."""
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
