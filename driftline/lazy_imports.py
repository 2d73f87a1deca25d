"""Keeps imports that a process does not use out of it, so that it starts fast.

pyarrow imports pandas, where it is installed, with the first array, to recognize its types; a
command line never meets a pandas object unless it makes one. SciPy's special functions import every
part of NumPy, its Fortran compiler and its test tools, too. Both together are half of the time that
a check of a small file takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# Parts of NumPy that are imported when somebody looks at them, and that are slow.
UNUSED = ("char", "ctypeslib", "f2py", "polynomial", "rec", "testing", "typing")


class _Refuse(MetaPathFinder):
    """Finds everything as it was found before, but some packages."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse the packages; leave all else to the next finder."""
        if fullname in self._packages:
            raise ModuleNotFoundError(f"{fullname} is left out at the start", name=fullname)


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Import as if packages were not installed, but for those that have been imported before."""
    finder = _Refuse(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _placed(names: Any, placeholders: Mapping[str, ModuleType]) -> Iterator[None]:  # noqa: ANN401 - of modules, or of one
    """Put placeholders where names are missing, and take those away that still are there."""
    placed = {name: one for name, one in placeholders.items() if name not in names}
    names.update(placed)
    try:
        yield
    finally:
        for name, placeholder in placed.items():
            if names.get(name) is placeholder:
                del names[name]


def without_parts_of_numpy() -> AbstractContextManager[None]:
    """Show whoever looks at every part of NumPy placeholders for those that are slow."""
    parts = {name: ModuleType(f"numpy.{name}") for name in UNUSED}
    return _placed(vars(import_module("numpy")), parts)


class _Late:
    """A name of a module, which is imported when the name is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *arguments: object, **named: object) -> object:
        return self._found()(*arguments, **named)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # What the interpreter asks of any object is no use of this one.
            raise AttributeError(name)
        return getattr(self._found(), name)

    def _found(self) -> Any:  # noqa: ANN401 - whatever the module holds
        return getattr(import_module(self._module), self._name)


def late(*modules: str) -> AbstractContextManager[None]:
    """Defer the imports of functions in the block until they are called.

    Modules that have been imported before stay as they are.
    """
    placeholders = {name: ModuleType(name) for name in modules}
    for module, placeholder in placeholders.items():
        vars(placeholder)["__getattr__"] = partial(_late_name, module)
    return _placed(sys.modules, placeholders)


def _late_name(module: str, name: str) -> _Late:
    if name.startswith("__"):  # Such as a __path__, which only a package has.
        raise AttributeError(name)
    return _Late(module, name)


class _LatePandas(MetaPathFinder):
    """Waits for the first import of pandas, to let pyarrow look again after it."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Find pandas as everybody does, with a loader that tells pyarrow; leave all else."""
        if fullname != "pandas" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        found = find_spec(fullname)
        if found is not None and found.loader is not None:
            execute = found.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                import_module("pyarrow").table({}).to_pandas()

            found.loader.exec_module = exec_module  # type: ignore[method-assign]
        return found


def start_lean_process() -> None:
    """Do what `start_lean` does, for a process that also speaks HTTP and keeps running.

    The packages for terminal colours, which httpx imports for its own command line, stay out.
    """
    start_lean()
    with without("pygments"):
        import_module("httpx")


def start_lean() -> None:
    """Import pyarrow without pandas and SciPy's functions without all of NumPy.

    For processes that need no pandas objects, before anything else has imported the two; later it
    changes nothing. pandas can still be imported, by custom checks for one, and pyarrow knows its
    objects from then on. So can the parts of NumPy.
    """
    if "pandas" not in sys.modules:
        with without("pandas"):
            import_module("pyarrow").scalar(0)
        sys.meta_path.insert(0, _LatePandas())
    with without_parts_of_numpy():
        import_module("scipy.special")
