"""SageMaker's artefacts: model.tar.gz, with ``code/inference.py`` or without."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from driftline.serving.hosting.formats.archive import Unpacked
from driftline.serving.hosting.formats.inference_module import InferenceModule
from driftline.serving.hosting.formats.model_format import BodyModel, ModelError
from driftline.serving.hosting.formats.table import ARCHIVE, MODEL_FORMATS, find_model

UNPACKED = Unpacked()
_PROGRAM = "inference.py"


def read(path: Path) -> object:
    """Read an artefact: as the model in it, or as the functions that answer for it."""
    folder = UNPACKED.folder(path)
    program = os.environ.get("SAGEMAKER_PROGRAM", _PROGRAM).removesuffix(".py") + ".py"
    code = folder / "code" / program
    _require_installed(folder / "code" / "requirements.txt")
    if program != _PROGRAM and ("/" in program or not code.is_file()):
        raise ModelError(
            f"{path.name} has no code/{program[:80]}, which the variable SAGEMAKER_PROGRAM names"
        )
    if not code.is_file():
        if (folder / "inference.py").is_file():
            raise ModelError(
                f"{path.name} holds inference.py at its top; expected it in the folder code "
                "(code/inference.py), beside the model"
            )
        return _model_in(folder, path.name)
    module = InferenceModule(code, folder)
    if module.has_model_fn:
        model = module.load(folder)
    else:
        model = _model_in(folder, f"{path.name}, whose inference.py has no model_fn,")
    if not module.has_own_bodies:
        return model
    if isinstance(model, BodyModel):
        raise ModelError(
            f"{path.name} has functions of its own beside a model that reads bodies itself; "
            "add model_fn to them"
        )
    module.model = model
    return module


def _model_in(folder: Path, shown: str) -> object:
    stored = find_model(folder, shown)
    if stored.format is MODEL_FORMATS[ARCHIVE]:
        raise ModelError(f"{stored.path.name} is an archive in an archive; expected a model file")
    return stored.format.read(stored.path)


def _require_installed(file: Path) -> None:
    """Refuse what asks for packages that are not there, or for others than are there."""
    text = file.read_text("utf-8", errors="replace") if file.is_file() else ""
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    if missing := [why for line in lines if line and (why := _missing(line))]:
        raise ModelError(
            f"code/requirements.txt asks for {', '.join(missing[:5])[:300]}, and driftline "
            "installs nothing; install them where models run"
        )


def _missing(line: str) -> str:
    try:
        asked = Requirement(line)
        if asked.marker is not None and not asked.marker.evaluate():
            return ""
        found = version(asked.name)
    except (InvalidRequirement, PackageNotFoundError):  # Of an option of pip, too.
        return line
    is_met = asked.url is None and asked.specifier.contains(found, prereleases=True)
    return "" if is_met else f"{line} ({found} is installed)"
