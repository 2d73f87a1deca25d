"""SageMaker's artefacts: model.tar.gz, with ``code/inference.py`` or without."""

from __future__ import annotations

from pathlib import Path

from driftline.serving.hosting.formats.archive import Unpacked
from driftline.serving.hosting.formats.inference_module import InferenceModule
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import ARCHIVE, MODEL_FORMATS, find_model

_unpacked = Unpacked()


def read(path: Path) -> object:
    """Read an artefact: as the model in it, or as the functions that answer for it."""
    folder = _unpacked.folder(path)
    code = folder / "code" / "inference.py"
    _refuse_requirements(folder / "code" / "requirements.txt")
    if not code.is_file():
        return _model_in(folder)
    module = InferenceModule(code, folder)
    model = module.load(folder) if module.has_model_fn else _model_in(folder)
    if not module.has_own_bodies:
        return model
    module.model = model
    return module


def _model_in(folder: Path) -> object:
    """Read the model file that stands at the top of an artefact."""
    stored = find_model(folder)
    if stored.format is MODEL_FORMATS[ARCHIVE]:
        raise ModelError(f"{stored.path.name} is an archive in an archive; expected a model file")
    return stored.format.read(stored.path)


def _refuse_requirements(file: Path) -> None:
    if not file.is_file():
        return
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    if wanted := [line for line in lines if line]:
        raise ModelError(
            f"code/requirements.txt asks for {', '.join(wanted[:5])[:200]}, and driftline installs "
            "nothing; install them where models run, and leave the file out of the archive"
        )
