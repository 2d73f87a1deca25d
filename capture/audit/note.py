"""The last audit as a document below the storage root: for metrics, doctor and the pages.

Also what was dropped by then, so that the next audit can tell what was dropped since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from driftline.capture.audit.audit import Audit
from driftline.capture.audit.ledger import FOLDER, read_ledger
from driftline.capture.tables.dataset import Gap, read_gaps
from driftline.capture.tables.storage import get_file, put_file

LAST = "last.json"


def document_of(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON values."""
    document = asdict(audit)
    return {
        **document,
        "time": audit.time.isoformat(),
        "requests": dict(audit.requests),
        "adds_up": audit.adds_up,
        "missing_by_endpoint": audit.by_endpoint(lambda spool: spool.missing),
        "doubled_by_endpoint": audit.by_endpoint(lambda spool: spool.doubled + spool.torn),
    }


def note_audit(root: str, audit: Audit) -> dict[str, Any]:
    """Keep an audit as the last one, with what was dropped by then; return its document."""
    gaps = read_gaps(root)
    carried = read_ledger(root).carried
    endpoints_of = {gap.spool_id: carried.get(gap.spool_id, []) for gap in gaps}
    document = {
        **document_of(audit),
        "dropped": dropped_by_endpoint(gaps, endpoints_of),
        "uncounted": uncounted_by_endpoint(gaps, endpoints_of),
    }
    write_note(root, document)
    return document


def dropped_by_endpoint(
    gaps: Iterable[Gap], endpoints_of: Mapping[str, Iterable[str]]
) -> dict[str, int]:
    """Sum the records that gaps count, by endpoint."""
    return _summed(gaps, endpoints_of, lambda gap: gap.records or 0)


def uncounted_by_endpoint(
    gaps: Iterable[Gap], endpoints_of: Mapping[str, Iterable[str]]
) -> dict[str, int]:
    """Count the gaps of unknown size, by endpoint."""
    return _summed(gaps, endpoints_of, lambda gap: int(gap.records is None))


def _summed(
    gaps: Iterable[Gap], endpoints_of: Mapping[str, Iterable[str]], count: Callable[[Gap], int]
) -> dict[str, int]:
    sums: dict[str, int] = {}
    for gap in gaps:
        names = (gap.endpoint,) if gap.endpoint else endpoints_of.get(gap.spool_id, ())
        for name in names:
            sums[name] = sums.get(name, 0) + count(gap)
    return sums


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
