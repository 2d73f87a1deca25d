"""What was answered beside what is answered now, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import binomtest

from driftline.app.replay.sending import Answer
from driftline.formats.bodies import Sent, read_requests, read_responses
from driftline.formats.body_columns import Bodies
from driftline.formats.capture_line import CaptureLine, Side
from driftline.signature import Signature

TOLERANCE = 1e-9
_TIME = pa.timestamp("us", "UTC")


@dataclass(slots=True)
class Differences:
    """What a replay comes to."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    unread: int = 0  # Rows of which one side could not be read.
    differing: int = 0
    # By numeric output: count, sum of changes, of their squares, of their sizes, greatest size.
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; shares and means with their 95% intervals."""
        compared = self.rows - self.unread
        share = low = high = None
        if compared:
            found = binomtest(self.differing, compared)
            share, interval = found.statistic, found.proportion_ci(method="wilson")
            low, high = interval.low, interval.high
        latency = np.quantile(self.latencies_s, [0.5, 0.99]) * 1000 if self.latencies_s else None
        return {
            "requests": self.requests,
            "failed": sum(self.failures.values()),
            "failures": dict(sorted(self.failures.items())),
            "rows": self.rows,
            "unread": self.unread,
            "compared": compared,
            "differing": self.differing,
            "share_differing": share,
            "share_low": low,
            "share_high": high,
            "columns": {name: _told(sums) for name, sums in self.columns.items()},
            "latency_ms_p50": None if latency is None else float(latency[0]),
            "latency_ms_p99": None if latency is None else float(latency[1]),
        }


def _told(sums: NDArray[np.float64]) -> dict[str, float | None]:
    count, total, squares, sizes, greatest = sums.tolist()
    mean = total / count
    spread = None
    if count > 1:
        spread = 1.96 * (max(squares - count * mean**2, 0.0) / (count - 1) / count) ** 0.5
    return {
        "rows": count,
        "mean_change": mean,
        "mean_change_low": None if spread is None else mean - spread,
        "mean_change_high": None if spread is None else mean + spread,
        "mean_size": sizes / count,
        "greatest_size": greatest,
    }


def compare(
    total: Differences,
    signature: Signature | None,
    pairs: Sequence[tuple[CaptureLine, Answer]],
    *,
    tolerance: float = TOLERANCE,
) -> pa.Table:
    """Lay answers of then and now beside each other, and count what differs."""
    total.requests += len(pairs)
    for _, answer in pairs:
        if answer.reason:
            total.failures[answer.reason] += 1
        elif not answer.is_first:
            total.latencies_s.append(answer.latency_s)
    if signature is None or not signature.outputs:
        return _whole(total, pairs)
    asked = read_requests(_sent([line.request for line, _ in pairs]), signature)
    counts = np.maximum(asked.counts, 1)
    before = read_responses(_sent([line.response for line, _ in pairs]), signature, counts)
    after = read_responses(_sent([_side(answer) for _, answer in pairs]), signature, counts)
    places = np.repeat(np.arange(len(pairs)), counts)
    inside = np.arange(places.size) - (np.cumsum(counts) - counts)[places]
    known = (before.counts[places] > 0) & (after.counts[places] > 0)
    columns = _ids(pairs, places, inside)
    differs, change = np.zeros(places.size, bool), np.full(places.size, np.nan)
    for index, column in enumerate(signature.outputs):
        old, new = (_spread(one, index, places, inside) for one in (before, after))
        columns[f"{column.name}_before"], columns[f"{column.name}_after"] = old, new
        other, size = _differ(old, new, tolerance)
        differs |= other
        if size is not None:
            change = np.fmax(change, np.abs(size))
            _add(total, column.name, size[known])
    failed = np.array([bool(answer.reason) for _, answer in pairs], np.bool_)[places]
    total.rows += int((~failed).sum())
    total.unread += int((~known & ~failed).sum())
    total.differing += int((differs & known).sum())
    errors = [
        answer.reason or _both(before.errors[at], after.errors[at])
        for at, (_, answer) in enumerate(pairs)
    ]
    return _table(columns, differs, known, change, pairs, places, errors)


def _both(before: str | None, after: str | None) -> str | None:
    told = [f"{when}: {error}" for when, error in (("before", before), ("after", after)) if error]
    return "; ".join(told) or None


def _whole(total: Differences, pairs: Sequence[tuple[CaptureLine, Answer]]) -> pa.Table:
    """Compare bodies as they are, where nobody can say what is in them."""
    places = np.arange(len(pairs))
    answered = np.array([not answer.reason for _, answer in pairs], np.bool_)
    known = answered & np.array([line.response is not None for line, _ in pairs], np.bool_)
    contents = [None if line.response is None else line.response.content for line, _ in pairs]
    differs = np.array(
        [then != answer.content for then, (_, answer) in zip(contents, pairs, strict=True)],
        np.bool_,
    )
    total.rows += int(answered.sum())
    total.unread += int((answered & ~known).sum())
    total.differing += int((differs & known).sum())
    errors = [answer.reason or None for _, answer in pairs]
    columns = _ids(pairs, places, np.zeros(places.size, np.int64))
    change = np.full(places.size, np.nan)
    return _table(columns, differs, known, change, pairs, places, errors)


def _ids(
    pairs: Sequence[tuple[CaptureLine, Answer]], places: NDArray[Any], inside: NDArray[Any]
) -> dict[str, pa.Array]:
    chosen = pa.array(places)
    return {
        "event_id": pa.array([line.event_id for line, _ in pairs], pa.string()).take(chosen),
        "row_index": pa.array(inside, pa.int32()),
        "event_time": pa.array([line.time for line, _ in pairs], _TIME).take(chosen),
    }


def _table(
    columns: dict[str, pa.Array],
    differs: NDArray[np.bool_],
    known: NDArray[np.bool_],
    change: NDArray[np.float64],
    pairs: Sequence[tuple[CaptureLine, Answer]],
    places: NDArray[Any],
    errors: Sequence[str | None],
) -> pa.Table:
    latency = [None if answer.reason else answer.latency_s * 1000 for _, answer in pairs]
    return pa.table({
        **columns,
        "differs": pa.array(differs, mask=~known),
        "change": pa.array(change, mask=np.isnan(change) | ~known),
        "latency_ms": pa.array(latency, pa.float64()).take(pa.array(places)),
        "error": pa.array(errors, pa.string()).take(pa.array(places)),
    })  # fmt: skip


def _side(answer: Answer) -> Side | None:
    return None if answer.reason else Side(answer.content, answer.content_type, "BASE64")


def _sent(sides: Sequence[Side | None]) -> Sent:
    nothing = pa.nulls(len(sides), pa.string())
    kinds = [None if one is None else one.content_type for one in sides]
    return Sent(
        pa.array([b"" if one is None else one.content for one in sides], pa.binary()),
        pa.array(kinds, pa.string()),
        nothing,
        nothing,
        np.array([one is not None for one in sides], np.bool_),
        [None] * len(sides),
    )


def _spread(bodies: Bodies, index: int, places: NDArray[Any], inside: NDArray[Any]) -> pa.Array:
    """Return an output's values row by row of the requests; null where it was not read."""
    held = bodies.counts[places] > 0
    source = np.where(held, bodies.starts[places] + inside, 0)
    return bodies.columns[index].values.take(pa.array(source, pa.int64(), mask=~held))


def _differ(
    old: pa.Array, new: pa.Array, tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Mark the values that are others, and give by how much, where they are numbers."""
    one_sided = pc.xor(old.is_valid(), new.is_valid()).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(old.type) or pa.types.is_floating(old.type):
        before, after = (
            one.cast(pa.float64()).to_numpy(zero_copy_only=False) for one in (old, new)
        )
        size = after - before
        return one_sided | (np.abs(size) > tolerance), size
    if pa.types.is_nested(old.type):
        same = [one == two for one, two in zip(old.to_pylist(), new.to_pylist(), strict=True)]
        return ~np.array(same, np.bool_), None
    other = pc.fill_null(pc.not_equal(old, new), fill_value=False)
    return one_sided | other.to_numpy(zero_copy_only=False), None


def _add(total: Differences, name: str, size: NDArray[np.float64]) -> None:
    found = size[np.isfinite(size)]
    if not found.size:
        return
    sums = np.array([
        found.size, found.sum(), (found**2).sum(), np.abs(found).sum(), np.abs(found).max()
    ])  # fmt: skip
    known = total.columns.get(name)
    if known is not None:
        greatest = max(known[-1], sums[-1])
        sums = known + sums
        sums[-1] = greatest
    total.columns[name] = sums
