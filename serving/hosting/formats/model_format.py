"""A format of models as one value."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

from driftline.errors import InputError

BODIES = "bodies"  # The kind of models that answer bodies instead of rows.
NOT_EXPLAINED = (
    "the model reads and writes bodies by functions of its own (inference.py) or a command, so "
    "that its answers cannot be explained; leave the attribution monitor out"
)


def thread_count() -> int:
    """Return how many threads a model may compute by, as its environment says; one by default."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, int(first)) if first.isdecimal() else 1


class ModelError(InputError):
    """A model file cannot be served."""


class ModelFailedError(Exception):
    """A model refuses a request, with the status that its own server would have answered."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status


class BodyModel(ABC):
    """A model that reads and writes bodies itself; driftline hands them on as they come."""

    @abstractmethod
    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Return the body of an answer, and its content type.

        Raises
        ------
        InputError
            When our own functions, not the model's, cannot read or write a body.
        """


@dataclass(frozen=True, slots=True)
class SignedModel:
    """A model, and the columns that its file names, in the order in which the model takes them.

    ``types``: "double", "int64", "bool", "string" or "timestamp" of each.
    """

    model: object
    names: tuple[str, ...]
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A model's description of itself when it is loaded."""

    kind: str  # "classifier" answers classes, "estimator" numbers, "bodies" what it likes.
    feature_names: tuple[str, ...] | None
    feature_count: int | None
    class_type: str  # "double" for numbers.
    classes: tuple[str, ...]  # As text, in the model's order; empty for numbers.
    has_probability: bool
    # Of the columns, where the model says so: "double", "int64", "bool" or "string".
    feature_types: tuple[str, ...] | None = None
    # Values a row; None where nobody knows before it is asked.
    answer_width: int | None = None
    # As text, of columns that have few; a value that is none of them is missing to the model.
    categories: Mapping[str, tuple[str, ...]] | None = None


# Of models that answer bodies: what is in them is the model's business.
OF_BODIES = Description(BODIES, None, None, "string", (), has_probability=False)


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
        with the path of the file, or folder, and returns a fitted model that has ``predict``, and
        ``classes_`` and ``predict_proba`` where it is a classifier, as scikit-learn's have; a
        ``SignedModel``; or a ``BodyModel``. What it cannot read it refuses by ``ModelError``.
    runs_code
        Whether reading such a file can run code that is in it. Then it has to be trusted.
    noun
        What such a file is, in the sentence that refuses it for that.
    has_common_suffix
        Whether files of these suffixes are more often something else: in a folder, a model of any
        other format goes first.
    markers
        Files of which each makes a folder that holds it a model of this format, as a whole.
    """

    suffixes: tuple[str, ...]
    reader: str
    runs_code: bool = False
    noun: str = "a file"
    has_common_suffix: bool = False
    markers: tuple[str, ...] = ()

    def read(self, path: Path) -> object:
        """Read a model; only ever in a worker process."""
        module, _, name = self.reader.partition(":")
        return cast("Callable[[Path], object]", getattr(import_module(module), name))(path)


def library(name: str, file: Path, *, install: str | None = None) -> ModuleType:
    """Import the library that reads a model, or say how to install it."""
    try:
        # Here, not above: whoever serves other models needs none of these libraries.
        return import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        needs = "" if missing == name else f" and needs {missing}"
        raise ModelError(
            f"{file.name} is a model of {name}{needs}, which is not installed where models run; "
            f"install it there (pip install {missing if needs else install or name})"
        ) from error
