"""Everything that is counted of endpoints, as JSON values that programs and people read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from driftline.capture.audit.note import read_note
from driftline.capture.audit.report import TableDocument, document_of, report
from driftline.capture.erasure.erasures import erasure_counts
from driftline.capture.spool.backlog import Backlog, measure
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.spool.paths import read_paths
from driftline.capture.tables.dataset import read_gaps
from driftline.capture.tables.forecast import Forecast, forecast


@dataclass(frozen=True)
class AuditedEndpoint:
    """What the last audit said of an endpoint."""

    time: str | None
    missing: int
    doubled: int


@dataclass(frozen=True, kw_only=True)
class CaptureDocument(TableDocument):
    """Everything that is counted of an endpoint."""

    endpoint: str
    paths: Sequence[str]
    erased: int
    retention_days: int
    forecast: Forecast
    spool: Backlog
    audit: AuditedEndpoint


def capture_documents(
    root: str, spool_dir: Path, endpoints: Sequence[str], *, retention_days: int, now: datetime
) -> list[CaptureDocument]:
    """Count what the tables of endpoints hold, and what is known to be lost, erased or coming.

    What is told of all endpoints is read once.
    """
    gaps, counts, paths = read_gaps(root), read_counts(spool_dir), read_paths(spool_dir)
    erased, audited, backlog = erasure_counts(root), read_note(root) or {}, measure(spool_dir)
    return [
        CaptureDocument(
            **vars(
                document_of(report(root, name, now=now, gaps=gaps, counts=counts, audit=audited))
            ),
            endpoint=name,
            paths=paths.get(name, []),
            erased=erased.get(name, 0),
            retention_days=retention_days,
            forecast=forecast(root, name, retention_days=retention_days, now=now),
            spool=backlog,
            audit=AuditedEndpoint(
                audited.get("time"),
                audited.get("missing_by_endpoint", {}).get(name, 0),
                audited.get("doubled_by_endpoint", {}).get(name, 0),
            ),
        )
        for name in endpoints
    ]
