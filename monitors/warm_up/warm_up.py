"""The warm-up of a monitor: how well a new version of its baseline fits production.

A reference may never have looked like production: rows without times, or another population. Its
drift alarms would not stop. So, while a monitor is new to a version of its baseline, such drift is
suppressed, and one violation says why and what to do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.times import EPOCH
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import JsonValue

Reason = Literal["no_times", "misfit"]
# The warm-up lasts until both are reached: a fortnight holds each day of the week twice, and
# fewer windows do not tell how much windows differ (docs/reference/statistics.md).
WARM_UP_SPAN = timedelta(days=14)
WARM_UP_WINDOWS = 14
COLUMNS_NAMED = 3

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class StableSpan:
    """Consecutive windows that agree with each other in every column."""

    start: datetime
    end: datetime
    row_count: int

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values."""
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "row_count": self.row_count,
        }


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The state of a monitor's warm-up before a window is evaluated."""

    monitor: str
    is_running: bool = True
    has_times: bool = True  # Whether the reference is known by the hour.
    # Of the warm-up, before this window; later only where the reference lacks times.
    history: tuple[WindowCounts, ...] = ()
    # After the warm-up, while spans reach back to the first window.
    past: tuple[WindowCounts, ...] = ()
    ended_at: datetime | None = None
    # By column that differs since the first window: how, in words.
    misfits: Mapping[str, str] = field(default_factory=dict)
    is_reported: bool = False  # In the report of another window.
    is_accepted: bool = False

    @property
    def suppresses_all(self) -> bool:
        """Whether all drift is suppressed, as it is unknown how much windows vary."""
        return self.is_running and not self.is_accepted and not self.has_times

    @property
    def has_first_windows(self) -> bool:
        """Whether it is known what columns were like in the first windows."""
        return self.is_running or bool(self.history or self.past)

    @property
    def replaces_hours(self) -> bool:
        """Whether the windows of the warm-up show how much windows vary, as no reference does."""
        return not self.is_running and bool(self.history) and not self.has_times

    @property
    def learnt_from(self) -> tuple[Hashable, ...]:
        """The identity of the windows that replace the reference's hours; empty for none."""
        if not self.replaces_hours:
            return ()
        # These windows may be evaluated anew, and they differ per monitor.
        return self.monitor, *((window.start, window.row_count) for window in self.history)

    def reference_hours(
        self, blocks: BlockCounts | None, references: Mapping[str, ReferenceColumn]
    ) -> BlockCounts | None:
        """Return the reference by the hour, or the windows that stand for it."""
        return production_blocks(self.history, references) if self.replaces_hours else blocks


@dataclass(frozen=True, slots=True)
class SuppressedDrift:
    """The drift of one window that is suppressed."""

    reasons: Mapping[str, Reason]  # By column.
    # By column that differs since the first window: how.
    differences: Mapping[str, str] = field(default_factory=dict)
    stable: StableSpan | None = None  # What a baseline could be made of.
    text: str = ""  # Empty where it was reported before.

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {
            "grounds": dict(sorted(self.reasons.items())),
            "is_shuffled": False,  # No longer tested; readers of older reports ask for it.
            "stable": None if self.stable is None else self.stable.to_dict(),
            "text": self.text,
        }

    def describe(self, monitor: str) -> str:
        """Return the words of a cause: what is suppressed first, then the fix.

        The monitor is named as the commands name it; "": one of Python's, that has methods.
        """
        names = sorted(self.reasons)
        first = next((name for name in names if name in self.differences), names[0])
        shown = _joined_names([first, *(name for name in names if name != first)])
        has = "differs" if len(names) == 1 else "differ"
        causes = {
            "misfit": f"{shown} {has} from the reference since the first window",
            "no_times": (
                f"{shown} {has} from a reference without times, which does not tell how much its "
                "own windows vary"
            ),
        }
        reason = self.reasons[first]
        how = f" ({first}: {self.differences[first]})" if first in self.differences else ""
        until = (
            ""
            if reason == "misfit"
            else f" until {WARM_UP_WINDOWS} windows and {WARM_UP_SPAN.days} days have shown how "
            "much"
        )
        accept = f"driftline monitor commission {monitor} --accept" if monitor else "accept()"
        return (
            f"{causes[reason]}{how}; drift is held back{until}. "
            f"{_proposal(self.stable, monitor)}; or judge by the reference as it is: {accept}"
        )


def is_over(begun_at: datetime, window_count: int, until: datetime) -> bool:
    """Whether the warm-up is over."""
    return window_count >= WARM_UP_WINDOWS and until - begun_at >= WARM_UP_SPAN


def production_blocks(
    windows: Sequence[WindowCounts], references: Mapping[str, ReferenceColumn]
) -> BlockCounts:
    """Return the windows as blocks of a reference whose shares are the reference's own.

    Differences between windows, season among them, are production's; the mean of all windows is
    the reference's, so that a difference since the first window is still one.
    """
    first = [(window.start - EPOCH) // HOUR for window in windows if window.start is not None]
    hours, at = np.unique(np.array(first, dtype=np.int64), return_inverse=True)
    counts = {}
    for name, reference in references.items():
        if not reference.row_count or not all(name in window.cells for window in windows):
            continue
        blocks = np.zeros((hours.size, reference.counts.size))
        np.add.at(blocks, at, np.stack([window.cells[name] for window in windows]).astype(float))
        counts[name] = _centred(blocks, reference.counts / reference.row_count)
    return BlockCounts(hours, counts)


def _centred(counts: Numbers, shares: Numbers) -> np.ndarray:
    """Move the shares of blocks, of counts of shape (B, C), so that their mean is (C,) `shares`."""
    rows = counts.sum(axis=1, keepdims=True)
    block_shares = counts / np.maximum(rows, 1.0)
    moved = np.maximum(block_shares - counts.sum(axis=0) / max(rows.sum(), 1.0) + shares, 0.0)
    moved /= np.maximum(moved.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    centred: np.ndarray = np.rint(moved * rows).astype(np.int32)
    return centred


def _joined_names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - COLUMNS_NAMED
    if more > 0:
        return f"{', '.join(listed[:COLUMNS_NAMED])} and {more} more"
    return " and ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else listed[0]


def _proposal(stable: StableSpan | None, monitor: str) -> str:
    if stable is None:
        later = f": driftline monitor commission {monitor} names them as soon as they do"
        return "No three days, or longer windows, agree with each other yet" + later * bool(monitor)
    fix = f"driftline monitor baseline {monitor} --from" if monitor else "Baseline.fit, of"
    return (
        f"Its windows agree with each other in {stable.row_count:,} rows, so take a baseline of "
        f"them: {fix} {stable.start:%Y-%m-%dT%H:%M:%SZ} {'--' * bool(monitor)}to "
        f"{stable.end:%Y-%m-%dT%H:%M:%SZ}"
    )
