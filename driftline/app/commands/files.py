"""Files that commands take: resources in YAML or JSON, and documents in JSON."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from driftline.errors import InputError
from driftline.formats.syntax import syntax_fault
from driftline.validation import require_unicode


def read(file: Path | str) -> bytes:
    """Read a file; - is standard input."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def read_lines(file: Path | str) -> list[str]:
    """Read the lines of a text file that hold anything."""
    lines = _text(file).removeprefix("\ufeff").split("\n")
    return [line.strip() for line in lines if line.strip()]


def read_document(file: Path | str) -> dict[str, Any]:
    """Read the one object of a YAML or JSON file."""
    found = read_resources(file)
    if len(found) != 1:
        raise InputError(f"{file}: {len(found)} documents; expected one")
    return found[0]


def _text(file: Path | str) -> str:
    try:
        return read(file).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8; expected a text file") from error


def read_resources(file: Path | str) -> list[dict[str, Any]]:
    """Read the objects of a YAML or JSON file: one, a list, or several documents."""
    text = _text(file)
    try:
        documents = [json.loads(text)]  # Ten times as fast.
    except (ValueError, RecursionError):
        documents = _yaml_documents(file, text)
    found = [one for entry in documents for one in (entry if isinstance(entry, list) else [entry])]
    for one in found:
        if not isinstance(one, dict):
            raise InputError(f"{file}: {one!r} is no resource; expected kind, name and spec")
    require_unicode(found, str(file))
    if not found:
        raise InputError(f"{file}: holds no resource; expected kind, name and spec")
    return found


def _yaml_documents(file: Path | str, text: str) -> list[Any]:
    import yaml  # Here: commands that read no such file need none of it.

    try:
        documents = [entry for entry in yaml.safe_load_all(text) if entry]
        # Times as texts: the server reads them itself.
        return list(json.loads(json.dumps(documents, default=_time_text)))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = syntax_fault(error, text)
        raise InputError(f"{file}: no YAML or JSON of resources: {reason}") from error


def _time_text(value: object) -> str:
    if isinstance(value, date):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no value of a resource; expected a text")
