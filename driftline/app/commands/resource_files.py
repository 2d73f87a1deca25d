"""Files of resources, YAML or JSON, as ``apply`` takes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from driftline.errors import InputError

_SCHEDULE_IN_BRACES = re.compile(r"\{[^{}\n]*?:\s*((?:cron|rate)\([^()\n]*\))")


class _Plain(yaml.SafeLoader):
    """YAML's plain values, times as the text that stands there: the server reads them itself."""


_Plain.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_resources(file: Path) -> list[dict[str, Any]]:
    """Read the resources of a YAML or JSON file: one, a list, or several documents."""
    try:
        documents = [
            entry for entry in yaml.load_all(file.read_text(encoding="utf-8"), _Plain) if entry
        ]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = file.read_text(encoding="utf-8", errors="replace")
        mend = _unquoted(text) if isinstance(error, yaml.YAMLError) else ""
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: {mend}not YAML or JSON ({reason})") from error
    except RecursionError as error:
        raise InputError(f"{file}: nested too deep; expected kind, name and spec") from error
    found = [one for entry in documents for one in (entry if isinstance(entry, list) else [entry])]
    for one in found:
        if not isinstance(one, dict):
            raise InputError(f"{file}: {one!r} is no resource; expected kind, name and spec")
    if not found:
        raise InputError(f"{file}: holds no resource; expected kind, name and spec")
    return found


def _unquoted(text: str) -> str:
    """Return which schedule in braces needs quotes: YAML ends a value there at each comma."""
    found = _SCHEDULE_IN_BRACES.search(text)
    return f'{found[1]} in {{ }} needs quotes: "{found[1]}"; ' if found else ""
