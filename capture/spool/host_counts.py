"""The counts of a host's taps since its first spool, read without asking any process.

Each tap counts in pages beside its spool (``traffic``, ``drops``), which outlive it. When a spool
is stored and removed, its counts are added to one file in the spool folder, so that the sums only
grow. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from driftline.capture.spool.counters import read_counters, read_drops
from driftline.capture.spool.folder import replace_file, spools_in
from driftline.capture.spool.quota import COUNTERS_NAME

TOTALS_NAME = ".totals"


@dataclass(slots=True)
class EndpointCounts:
    """The counts of a host's taps for one endpoint.

    ``sampled``: requests chosen to be recorded; ``dropped``: sampled ones not recorded, by reason.
    """

    requests: int = 0
    sampled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def read_counts(folder: Path) -> dict[str, EndpointCounts]:
    """Sum the counts of all taps of a spool folder, dead ones and removed spools included."""
    while True:
        counts, folded = _read_totals(folder)
        for spool in spools_in(folder):
            if spool.name not in folded:
                _add(counts, spool)
        # A spool that was folded while we read would be missing, or be there twice.
        if _read_totals(folder)[1] == folded:
            return counts


def keep_counts(folder: Path, spool_id: str) -> None:
    """Add a spool's counts to the totals before it is removed; repeating has no effect.

    Only for the one process that removes spools. Best effort: what cannot be written is missing
    from the sums only.
    """
    with suppress(OSError):
        counts, folded = _read_totals(folder)
        if spool_id in folded:
            return
        _add(counts, folder / spool_id)
        # Those that are gone for good need not be remembered.
        left = {entry for entry in folded if (folder / entry).exists()} | {spool_id}
        document = {
            "folded": sorted(left),
            "endpoints": {name: _packed(entry) for name, entry in counts.items()},
        }
        replace_file(folder / TOTALS_NAME, json.dumps(document).encode(), is_synced=True)


def _add(counts_by_endpoint: dict[str, EndpointCounts], spool: Path) -> None:
    for traffic in read_counters(spool / COUNTERS_NAME):
        counts = counts_by_endpoint.setdefault(traffic.endpoint, EndpointCounts())
        counts.requests += traffic.requests
        counts.sampled += traffic.sampled
    with suppress(NotADirectoryError):
        for drop in read_drops(spool / COUNTERS_NAME):
            counts = counts_by_endpoint.setdefault(drop.endpoint, EndpointCounts())
            counts.dropped[drop.reason] = counts.dropped.get(drop.reason, 0) + drop.records


def _read_totals(folder: Path) -> tuple[dict[str, EndpointCounts], set[str]]:
    """Return the sums of removed spools, and which of these may still be listed."""
    try:
        document = json.loads((folder / TOTALS_NAME).read_text(encoding="utf-8"))
        totals = {
            name: EndpointCounts(*totals_of) for name, totals_of in document["endpoints"].items()
        }
        return totals, set(document["folded"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}, set()


def _packed(counts: EndpointCounts) -> tuple[int, int, Mapping[str, int]]:
    return counts.requests, counts.sampled, counts.dropped
