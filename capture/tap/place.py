"""Finds where a process records to, by the same rules as the service.

Captured apps use the standard library alone, so the few settings that they share with the service
are read here from the same sources in the same order: the environment, ``driftline.toml`` in the
working folder, the defaults. Standard library only.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tap.target import DEFAULT_HEADERS

log = logging.getLogger(__name__)

_FILE_NAME = "driftline.toml"
_ROOT = ".driftline"
_PREFIX = "DRIFTLINE_"


@dataclass(frozen=True, slots=True)
class CapturePlace:
    """The capture settings of an installation.

    ``spool_max_bytes``: bytes that all spools in it may take; ``max_body_bytes``: bytes kept of
    each body.
    """

    spool_dir: Path
    spool_max_bytes: int = 2 << 30
    max_body_bytes: int = 1 << 20
    max_inflight_bytes: int = 64 << 20
    headers: tuple[str, ...] = DEFAULT_HEADERS

    def open_spool(self, now_ns: Callable[[], int]) -> SpoolWriter:
        """Return a writer to the spool; it makes nothing there before the first record."""
        return SpoolWriter(self.spool_dir, max_bytes=self.spool_max_bytes, now_ns=now_ns)


def find_place(environment: Mapping[str, str] | None = None) -> CapturePlace:
    """Find where this process records to.

    A settings file that cannot be read is logged, and the defaults hold: ``driftline up`` refuses
    to start on it with the reason, and an app must answer all the same.
    """
    file = Path.cwd() / _FILE_NAME
    folder = file.resolve().parent if file.exists() else file.parent
    values = _values(file, os.environ if environment is None else environment)
    root = values.get("storage.root") or _ROOT
    # Of a root elsewhere, as in a bucket, the spool stays on this machine.
    is_elsewhere = "://" in root and not root.startswith("file:")
    local = values.get("storage.local_dir") or (_ROOT if is_elsewhere else root)
    spool = values.get("capture.spool_dir")
    usual = CapturePlace(_path(folder, spool) if spool else _path(folder, local) / "spool")
    headers = values.get("capture.headers")
    return replace(
        usual,
        spool_max_bytes=_count(values, "spool_max_bytes", usual.spool_max_bytes),
        max_body_bytes=_count(values, "max_body_bytes", usual.max_body_bytes),
        headers=usual.headers if headers is None else tuple(_parts(headers)),
    )


_KEYS = (
    "storage.root",
    "storage.local_dir",
    *(f"capture.{entry.name}" for entry in fields(CapturePlace)),
)


def _values(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings as text: the environment overrides the file."""
    values: dict[str, str] = {}
    sections = _read(file)
    for key in _KEYS:
        section, name = key.split(".")
        part = sections.get(section)
        if isinstance(part, dict) and name in part:
            value = part[name]
            values[key] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    for variable, text in sorted(environment.items()):
        # As the service reads them: after the first part of the name in any case.
        key = variable.removeprefix(_PREFIX).lower().replace("__", ".", 1)
        if variable.startswith(_PREFIX) and key in _KEYS:
            values[key] = text
    return values


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


def _count(values: Mapping[str, str], name: str, default: int) -> int:
    """Parse a whole number of bytes; the default when it is not one."""
    text = values.get(f"capture.{name}")
    try:
        count = default if text is None else int(text)
    except ValueError:
        return default
    return count if count > 0 else default


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
