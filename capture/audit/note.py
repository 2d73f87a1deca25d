"""The last audit as a document below the storage root: for metrics, doctor and the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from driftline.capture.audit.audit import Audit
from driftline.capture.audit.spools import FOLDER
from driftline.capture.tables.storage import get_file, put_file

LAST = "last.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAudit(Audit):
    """What the last audit found: where every number that spools gave has gone."""

    adds_up: bool = field()
    missing_by_endpoint: Mapping[str, int]
    doubled_by_endpoint: Mapping[str, int]


def document_of(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON values."""
    document = LastAudit(
        **asdict(audit),
        adds_up=audit.adds_up,
        missing_by_endpoint=audit.by_endpoint(lambda spool: spool.missing),
        doubled_by_endpoint=audit.by_endpoint(lambda spool: spool.doubled),
    )
    return asdict(document) | {"time": audit.time.isoformat()}


def note_audit(root: str, audit: Audit) -> None:
    """Keep an audit as the last one."""
    write_note(root, document_of(audit))


def write_note(root: str, document: Mapping[str, Any], name: str = LAST) -> None:
    """Write the audit's document atomically."""
    put_file(root, FOLDER, name, json.dumps(document).encode())


def read_note(root: str, name: str = LAST) -> dict[str, Any] | None:
    """Read the last audit's document; None without a readable one."""
    data = get_file(root, FOLDER, name)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
