"""Everything that is counted of endpoints, as JSON values that programs and people read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from driftline.capture.audit.note import read_note
from driftline.capture.audit.report import document_of, report
from driftline.capture.erasure.erasures import erasure_counts
from driftline.capture.spool.backlog import measure
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.spool.paths import read_paths
from driftline.capture.tables.dataset import read_gaps
from driftline.capture.tables.forecast import forecast


def capture_documents(
    root: str, spool_dir: Path, endpoints: Sequence[str], *, retention_days: int, now: datetime
) -> list[dict[str, Any]]:
    """Count what the tables of endpoints hold, and what is known to be lost, erased or coming.

    What is told of all endpoints is read once.
    """
    gaps, counts, paths = read_gaps(root), read_counts(spool_dir), read_paths(spool_dir)
    erased, audited, backlog = erasure_counts(root), read_note(root) or {}, measure(spool_dir)
    return [
        {
            "endpoint": name,
            "paths": paths.get(name, []),
            **document_of(report(root, name, now=now, gaps=gaps, counts=counts, audit=audited)),
            "erased": erased.get(name, 0),
            "retention_days": retention_days,
            "forecast": asdict(forecast(root, name, retention_days=retention_days, now=now)),
            "spool": asdict(backlog),
            "audit": {
                "time": audited.get("time"),
                "missing": audited.get("missing_by_endpoint", {}).get(name, 0),
                "doubled": audited.get("doubled_by_endpoint", {}).get(name, 0),
            },
        }
        for name in endpoints
    ]
