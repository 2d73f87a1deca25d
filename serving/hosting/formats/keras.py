"""Files of Keras (``model.save``), of version 3 and, as HDF5, of those before."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.tensor_model import TensorInput, TensorModel

# What Keras may compute with, in the order of its own preference.
BACKENDS = ("tensorflow", "torch", "jax")


def read(file: Path) -> TensorModel:
    """Read a model file of Keras."""
    backend = next((one for one in BACKENDS if find_spec(one) is not None), BACKENDS[0])
    os.environ.setdefault("KERAS_BACKEND", backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keras = library("keras", file)
    model = keras.saving.load_model(file, compile=False)
    inputs = [
        TensorInput(one.name, tuple(one.shape), one.dtype) for one in getattr(model, "inputs", ())
    ]

    def call(arrays: list[np.ndarray]) -> Any:  # noqa: ANN401 - foreign answer
        sent = arrays if len(arrays) > 1 else arrays[0]
        return keras.ops.convert_to_numpy(model(sent, training=False))

    return TensorModel(file, inputs or [TensorInput("input")], call)
