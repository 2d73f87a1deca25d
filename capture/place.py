"""Where a process records to, found as the service finds it: no argument in the usual case.

Apps of other people capture with the standard library alone, so the few settings that they share
with the service are read here from the same places by the same rule: the environment, then
``driftline.toml`` in the working folder, then the defaults. Standard library only.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

__all__ = ["CapturePlace", "find_place"]

log = logging.getLogger(__name__)

_FILE_NAME = "driftline.toml"
_ROOT = ".driftline"
_PREFIX = "DRIFTLINE_"
_SPOOL_BYTES = 2 << 30
_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CapturePlace:
    """How an installation wants records to be written.

    Parameters
    ----------
    spool_dir
        Folder of the host's spool, absolute.
    spool_max_bytes
        Bytes that all spools in it may take.
    max_body_bytes
        Bytes kept of each body.
    append
        Whether a record is written "before" or "after" the last bytes of the response.
    """

    spool_dir: Path
    spool_max_bytes: int = _SPOOL_BYTES
    max_body_bytes: int = _BODY_BYTES
    append: Literal["before", "after"] = "before"


def find_place(environment: Mapping[str, str] | None = None) -> CapturePlace:
    """Find where this process records to.

    A settings file that cannot be read is logged, and the defaults hold: ``driftline up`` refuses
    to start on it with the reason, and an app must answer whatever lies beside it.

    Parameters
    ----------
    environment
        Usually left out: the process's own.
    """
    file = Path.cwd() / _FILE_NAME
    folder = file.resolve().parent if file.exists() else file.parent
    values = _values(file, os.environ if environment is None else environment)
    root = _path(folder, values.get("storage.root") or _ROOT)
    spool = values.get("capture.spool_dir")
    append = values.get("capture.append")
    return CapturePlace(
        spool_dir=_path(folder, spool) if spool else root / "spool",
        spool_max_bytes=_count(values.get("capture.spool_max_bytes"), _SPOOL_BYTES),
        max_body_bytes=_count(values.get("capture.max_body_bytes"), _BODY_BYTES),
        append="after" if append == "after" else "before",
    )


_KEYS = (
    "storage.root",
    "capture.spool_dir",
    "capture.spool_max_bytes",
    "capture.max_body_bytes",
    "capture.append",
)


def _values(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Give what is set, as text: the environment wins over the file."""
    found: dict[str, str] = {}
    sections = _read(file)
    for key in _KEYS:
        section, name = key.split(".")
        part = sections.get(section)
        if isinstance(part, dict) and name in part:
            found[key] = str(part[name])
    for variable, text in sorted(environment.items()):
        # As the service reads them: after the first part of the name in any case.
        key = variable.removeprefix(_PREFIX).lower().replace("__", ".", 1)
        if variable.startswith(_PREFIX) and key in _KEYS:
            found[key] = text
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.error("capture settings not read file=%s error=%s; the defaults hold", file, error)
        return {}


def _path(folder: Path, text: str) -> Path:
    parts = urlsplit(text)
    return (folder / (unquote(parts.path) if parts.scheme == "file" else text)).resolve()


def _count(text: str | None, default: int) -> int:
    """Read a number of bytes; what is none, the service refuses by name."""
    try:
        found = default if text is None else int(float(text) if "." in text else text)
    except (ValueError, OverflowError):
        return default
    return found if found > 0 else default
