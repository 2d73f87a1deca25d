"""The table of model formats, and which of them a path holds, without opening the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from driftline.serving.hosting.formats.model_format import ModelError, ModelFormat

ARCHIVE = "model.tar.gz"
_HERE = "driftline.serving.hosting.formats"
# Of somebody else's package: an entry point of the group, a ModelFormat.
GROUP = "driftline.model_formats"
MODEL_FORMATS: Mapping[str, ModelFormat] = {
    "skops": ModelFormat((".skops",), f"{_HERE}.skops:read"),
    "pickle": ModelFormat(
        (".joblib", ".pkl", ".pickle"), "joblib:load", runs_code=True, noun="a pickle"
    ),
    "xgboost": ModelFormat(
        (".ubj", ".json"), f"{_HERE}.boosted_trees:read_xgboost", has_common_suffix=True
    ),
    "xgboost-model": ModelFormat(
        ("xgboost-model",),
        f"{_HERE}.boosted_trees:read_xgboost_artefact",
        runs_code=True,
        noun="SageMaker's file of xgboost, which may be a pickle",
    ),
    "lightgbm": ModelFormat(
        (".txt",), f"{_HERE}.boosted_trees:read_lightgbm", has_common_suffix=True
    ),
    "onnx": ModelFormat((".onnx",), f"{_HERE}.onnx:read"),
    ARCHIVE: ModelFormat(
        (".tar.gz", ".tgz"), f"{_HERE}.sagemaker:read", runs_code=True, noun="an archive"
    ),
    "mlflow": ModelFormat(
        (), f"{_HERE}.mlflow:read", runs_code=True, noun="a model of MLflow", markers=("MLmodel",)
    ),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk, a file or a folder, and its format."""

    path: Path
    format: ModelFormat


@cache
def model_formats() -> Mapping[str, ModelFormat]:
    """Return every format by its name, those of other packages last."""
    # Slow to import, and only needed by whoever looks for a model.
    from importlib.metadata import entry_points

    found = dict(MODEL_FORMATS)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
        except (Exception, SystemExit):  # Foreign code; without it the other formats go on.
            log.exception("model format=%s from=%s cannot be loaded", point.name, point.value)
            continue
        if isinstance(loaded, ModelFormat):
            found.setdefault(point.name, loaded)
        else:
            log.error("model format=%s from=%s is no ModelFormat", point.name, point.value)
    return found


def model_suffixes() -> tuple[str, ...]:
    """Return the suffixes of model files, in the order of the table."""
    return tuple(suffix for one in model_formats().values() for suffix in one.suffixes)


def find_model(path: Path, shown: str | None = None) -> StoredModel:
    """Find the model, the path itself or the only one in it; ``shown``: what errors call it."""
    if path.is_dir():
        return _in_folder(path, shown or f"folder {path}")
    if not path.is_file():
        raise ModelError(f"model {path}: no such file")
    found = format_of(path)
    if found is None:
        raise ModelError(f'model {path}: suffix "{path.suffix}"; {_expected()}')
    return StoredModel(path, found)


def require_trusted(model: StoredModel, *, trust_pickle: bool) -> None:
    """Refuse a model that can run code where such are not allowed."""
    if model.format.runs_code and not trust_pickle:
        raise ModelError(
            f"{model.path.name} is {model.format.noun}, which can run any code when it is read; "
            "save the model with skops, or allow code by [serving] trust_pickle = true"
        )


def format_of(file: Path) -> ModelFormat | None:
    """Return the format that a file's name tells; None for none."""
    name = file.name.lower()
    return next((one for one in model_formats().values() if name.endswith(one.suffixes)), None)


def _in_folder(folder: Path, shown: str) -> StoredModel:
    for whole in model_formats().values():
        if any((folder / marker).is_file() for marker in whole.markers):
            return StoredModel(folder, whole)
    files = sorted(folder.iterdir())
    models = [StoredModel(file, one) for file in files if (one := format_of(file)) is not None]
    certain = [one for one in models if not one.format.has_common_suffix]
    models = certain or models
    if len(models) != 1:
        named = ", ".join(one.path.name for one in models) or "none"
        raise ModelError(f"{shown} holds {len(models)} model files ({named}); {_expected()}")
    return models[0]


def _expected() -> str:
    return (
        f"expected one with suffix {', '.join(model_suffixes())}; other models are served as ONNX, "
        "by MLflow, or in a model.tar.gz whose code/inference.py loads them"
    )
