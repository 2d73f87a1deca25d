"""Libraries that read models and are not part of driftline."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from driftline.serving.hosting.formats.model_format import ModelError


def library(name: str, file: Path, *, install: str | None = None) -> ModuleType:
    """Import the library that reads a model, or say how to install it."""
    try:
        # Here, not above: whoever serves other models needs none of these libraries.
        return importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        needs = "" if missing == name else f" and needs {missing}"
        raise ModelError(
            f"{file.name} is a model of {name}{needs}, which is not installed where models run; "
            f"install it there (pip install {missing if needs else install or name})"
        ) from error
