"""Tables and files of functions that rules may use."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock
from types import ModuleType

from driftline.errors import InputError

# A check that is named so is a function of a file.
FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)")

_PRINTING = RLock()


def _no_table(path: str) -> None:
    raise InputError(
        f'table "{path}": rules from this place may read none, as a baseline is data; give them to '
        "the check, or to the monitor"
    )


def _any_table(_path: str) -> None:
    """Refuse none; a function, as rules travel to other processes."""


def _no_script(name: str) -> Path:
    raise InputError(
        f'script "{name}": rules from this place may run none, as a baseline is data; give them to '
        "the check, or to the monitor"
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """What rules may read and run: nothing unless the caller allows it."""

    check_table: Callable[[str], None] = _no_table  # Refuses a path or URI.
    script: Callable[[str], Path] = _no_script  # Returns the file of a script's name, or refuses.
    discreet: bool = False  # Whether errors of functions may quote nothing, which may be a row.


NOTHING = Reach()
# For rules that a caller names on a machine of their own.
EVERYTHING = Reach(_any_table, Path)


def scripts_named(rules: Iterable[object]) -> tuple[str, ...]:
    """Return the files whose functions are checks of these rules, as they are declared."""
    checks = (str(rule.get("check")) for rule in rules if isinstance(rule, Mapping))
    found = (FUNCTION.fullmatch(check) for check in checks)
    return tuple(dict.fromkeys(one["file"] for one in found if one is not None))


def load_function(
    reach: Reach, name: str, what: str = "check", takes: str = "one that takes a table"
) -> Callable[..., object]:
    """Return the function that ``FILE.py:FUNCTION`` names; InputError where there is none."""
    found = FUNCTION.fullmatch(name)
    assert found is not None, "the name was looked at"
    path = reach.script(found["file"])
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f'{what} "{name}": {path} cannot be read ({error.strerror})') from error
    function = getattr(_module(path.resolve(), source, reach.discreet), found["function"], None)
    if not callable(function):
        raise InputError(
            f'{what} "{name}": {path.name} has no function "{found["function"]}"; expected {takes}'
        )
    return function  # type: ignore[no-any-return] # Checked to be callable.


@lru_cache(maxsize=32)
def _module(path: Path, source: bytes, discreet: bool) -> ModuleType:
    """Run a file once for each of its versions.

    Python's loader would take stale bytecode for this version where both have the same second and
    size, and leaves bytecode beside the file.
    """
    # Data classes and pickle look a module up by its name; by that of its path no other meets it.
    name = f"_driftline_checks_{hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with printing_aside():
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    except (Exception, SystemExit) as error:  # Foreign code: whatever it raises is its defect.
        sys.modules.pop(name, None)
        raise InputError(
            f"{path.name} cannot be loaded ({defect(error, discreet=discreet)}); fix the file"
        ) from error
    return module


def defect(error: BaseException, *, discreet: bool) -> str:
    """Describe what foreign code raised: its type, and what it says where that may be shown."""
    name = type(error).__name__
    if discreet:
        return name
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - foreign code, too: its type is all that it tells.
        return name


@contextmanager
def printing_aside() -> Iterator[None]:
    """Redirect prints of foreign code to standard error: standard output may be a document."""
    # One thread at a time: two that put the stream back in another order would lose it.
    with _PRINTING, redirect_stdout(sys.stderr):
        yield
