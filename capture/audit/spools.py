"""The spools that audits have seen: kept outside the tables, which may lose them.

A log entry that the disk lost takes its rows and its watermarks with it. A later audit then finds
here up to which number a spool was once complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from driftline.capture.tables.storage import get_file, put_file

FOLDER = "audit"
_NAME = "spools.json"


class KnownSpool(NamedTuple):
    """Up to which number a spool was once found complete, and the endpoints of its records."""

    complete: int
    endpoints: tuple[str, ...]


def read_spools(root: str) -> dict[str, KnownSpool]:
    """Read the spools that earlier audits have seen; none where the file cannot be read."""
    data = get_file(root, FOLDER, _NAME)
    try:
        document = json.loads(data or b"{}")
        return {
            name: KnownSpool(complete, tuple(names)) for name, (complete, names) in document.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def write_spools(root: str, spools: Mapping[str, KnownSpool]) -> None:
    """Write the spools below the storage root, atomically."""
    put_file(root, FOLDER, _NAME, json.dumps(spools).encode())
