"""Losses by endpoint: what gaps count, and gaps of unknown size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from driftline.capture.tables.dataset import Gap


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
