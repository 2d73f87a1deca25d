"""Accepting a loss: from then on, what is missing for good is counted as lost.

Whoever has no copy to bring back would be told of the same loss for ever. Files that the tables
name and that nobody can read are taken from their logs, so that readers go on; numbers that are
nowhere become gaps, so that coverage counts them and audits add up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from driftline.capture.audit.account import length_of, read_accounts
from driftline.capture.audit.audit import Audit, SpoolAudit, audit
from driftline.capture.tables.dataset import Dataset, Gap, gap_folder, gap_rows
from driftline.capture.tables.rewriting import Held, held_files, rewrite
from driftline.capture.tables.table import DeltaFolder

log = logging.getLogger(__name__)

# Of two who accept the same at once, the second is refused.
_WATERMARK = "accepted"
_WRITER = "audit"


def accept(root: str, *, now: Callable[[], datetime], spool_dir: Path | None = None) -> Audit:
    """Count what is missing as lost; return the audit made after that.

    What is there twice is left, and so are spools of which retention took numbers that no audit
    has seen: there is no telling which these were.
    """
    gaps = gap_folder(root, writer=_WRITER)
    gaps.refresh()
    number = gaps.watermark(_WATERMARK) + 1
    for file in audit(root, now=now, spool_dir=spool_dir).damaged:
        endpoint, _, path = file.partition("/")
        _let_go(Dataset(root, endpoint, writer=_WRITER), path)
    result = audit(root, now=now, spool_dir=spool_dir, max_runs=None)
    lost = [gap for spool in result.found for gap in _gaps_of(spool, result.time)]
    if lost:
        gaps.append(gap_rows(lost), {_WATERMARK: number})
        log.warning("losses accepted records=%d", sum(gap.records or 0 for gap in lost))
    return audit(root, now=now, spool_dir=spool_dir)


def _gaps_of(spool: SpoolAudit, time: datetime) -> Iterator[Gap]:
    if length_of(spool.missing_runs) != spool.missing:
        return
    endpoint = spool.endpoints[0] if len(spool.endpoints) == 1 else ""
    for first, last in spool.missing_runs:
        yield Gap(spool.spool_id, last, endpoint, "missing", last - first + 1, 0, None, time)


def _let_go(folder: DeltaFolder, path: str) -> None:
    """Remove a file from the log that is gone or cannot be read."""
    folder.refresh()
    damaged = (
        [] if folder.table is None else [x for x in held_files(folder.table) if x.path == path]
    )
    if folder.table is not None and damaged and not _is_readable(folder, damaged[0]):
        rewrite(folder, folder.table, damaged, [], is_change=True, reason="loss")
        log.warning("file given up table=%s file=%s rows=%d", folder.uri, path, damaged[0].rows)


def _is_readable(folder: DeltaFolder, file: Held) -> bool:
    try:
        read_accounts(folder, [file.path])
    except (OSError, pa.ArrowInvalid):
        return False
    return True
