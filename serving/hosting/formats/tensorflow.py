"""TensorFlow's SavedModel: a folder with ``saved_model.pb``, asked by ``serving_default``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.tensor_model import TensorInput, TensorModel

MARKER = "saved_model.pb"
SIGNATURE = "serving_default"


def read(folder: Path) -> TensorModel:
    """Read a SavedModel."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tensorflow = library("tensorflow", folder, install="tensorflow-cpu")
    loaded = tensorflow.saved_model.load(str(folder))
    signature = loaded.signatures.get(SIGNATURE)
    if signature is None:
        known = ", ".join(loaded.signatures) or "none"
        raise ModelError(
            f"{folder.name} has the signatures {known}; expected {SIGNATURE} (model.export of "
            "Keras makes it)"
        )
    answers = [*signature.structured_outputs]
    if len(answers) != 1:
        raise ModelError(f"{folder.name} answers {', '.join(answers)}; expected one tensor")
    inputs = [
        TensorInput(name, None if one.shape.rank is None else tuple(one.shape), one.dtype.name)
        for name, one in signature.structured_input_signature[1].items()
    ]

    def call(arrays: list[np.ndarray]) -> Any:  # noqa: ANN401 - foreign answer
        assert loaded is not None  # Its variables live no longer than it.
        sent = {
            one.name: tensorflow.constant(array) for one, array in zip(inputs, arrays, strict=True)
        }
        return signature(**sent)[answers[0]].numpy()

    return TensorModel(folder, inputs, call)


def newest_version(folder: Path) -> Path | None:
    """Return the SavedModel of the highest version in an artefact of TensorFlow Serving.

    It has them as ``NAME/VERSION/saved_model.pb``, or without the name; None where it has none.
    """
    found = [*folder.glob(f"*/{MARKER}"), *folder.glob(f"*/*/{MARKER}")]
    numbered = [one.parent for one in found if one.parent.name.isdecimal()]
    return max(numbered, key=lambda one: int(one.name), default=None)
