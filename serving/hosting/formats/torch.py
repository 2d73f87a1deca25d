"""Files of PyTorch: TorchScript, exported programs, and pickled modules.

Weights alone (a ``state_dict``) are no model: the code that uses them is not in the file.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.tensor_model import TensorInput, TensorModel

_EXPORTED = ".pt2"
_MEND = (
    "save the whole model (torch.export.save, or torch.jit.script(model).save), or put it into a "
    "model.tar.gz whose code/inference.py has model_fn"
)


def read(file: Path) -> TensorModel:
    """Read a model file of PyTorch."""
    torch = library("torch", file)
    if file.suffix.lower() == _EXPORTED:
        return _exported(torch, file)
    if _is_script(file):
        return of_module(torch.jit.load(file, map_location="cpu"), file)
    found = torch.load(file, map_location="cpu", weights_only=False)
    if not isinstance(found, torch.nn.Module):
        raise ModelError(f"{file.name} holds a {type(found).__name__}, no model; {_MEND}")
    return of_module(found, file)


def of_module(module: Any, file: Path) -> TensorModel:  # noqa: ANN401 - foreign object
    """Have a module asked as an estimator is."""
    module.eval()
    return TensorModel(file, [TensorInput("input")], _Call(module))


def is_module(found: object) -> bool:
    """Whether an object is a module of PyTorch; nothing is imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(found, torch.nn.Module)


class _Call:
    """Asks a module without keeping what training would need."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - foreign object
        self._module = module
        self._torch: Any = sys.modules["torch"]

    def __call__(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return what a module answers to arrays."""
        with self._torch.inference_mode():
            found = self._module(*(self._torch.from_numpy(one) for one in arrays))
        if not isinstance(found, self._torch.Tensor):
            raise ModelError(f"the model answered a {type(found).__name__}; expected one tensor")
        return np.asarray(found.cpu().numpy())


def _is_script(file: Path) -> bool:
    """Whether a file holds TorchScript, not a pickle: that has constants beside the numbers."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _exported(torch: Any, file: Path) -> TensorModel:  # noqa: ANN401 - foreign object
    """Read a program of torch.export, which says what it takes."""
    program = torch.export.load(file)
    inputs = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs:
            tensor = node.meta["val"]
            shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
            inputs.append(TensorInput(node.name, shape, str(tensor.dtype).removeprefix("torch.")))
    return TensorModel(file, inputs, _Call(program.module()))
