"""A format of models as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from driftline.errors import InputError


class ModelError(InputError):
    """A model file cannot be served."""


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """One format in which models are stored.

    Attributes
    ----------
    suffixes
        Of its files, in lower case, with the dot.
    reader
        The function that reads such a file, written as an entry point is ("package.module:name"):
        the server knows all formats and never imports a reader. It is called in the worker process
        with the file's path and returns a fitted model that has ``predict``, and ``classes_`` and
        ``predict_proba`` where it is a classifier, as scikit-learn's have. What it cannot read it
        refuses by ``ModelError``.
    runs_code
        Whether reading such a file can run code that is in it. Then it has to be trusted.
    has_common_suffix
        Whether files of these suffixes are more often something else: in a folder, a model of any
        other format goes first.
    """

    suffixes: tuple[str, ...]
    reader: str
    runs_code: bool = False
    has_common_suffix: bool = False

    def read(self, path: Path) -> object:
        """Read a model; only ever in a worker process."""
        module, _, name = self.reader.partition(":")
        return cast("Callable[[Path], object]", getattr(import_module(module), name))(path)
