"""The rows of a window, and those of the windows before it together with them.

An hour may hold too few rows for a change that a day shows at once, so small windows pool
backwards. Each span is judged like a window of its length; they share one budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.capture.windows.window import Window
from driftline.monitors.kinds.multivariate.scores import Codes

# Windows of each span, with the one that is judged. Longer ones would find little more, and go on
# alarming for long when what was wrong is mended.
SPANS = (1, 4, 16)
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Earlier:
    """Sampled rows of the windows right before; n rows.

    Parameters
    ----------
    codes
        By column: the cell of each row, shape (n,).
    hours
        int64, shape (n,): hours since 1970-01-01T00:00Z, `UNKNOWN_HOUR` where there is no time.
    start
        Of the first of these windows.
    """

    codes: Mapping[str, Codes]
    hours: np.ndarray
    start: datetime


@dataclass(frozen=True, eq=False)
class Span:
    """Rows of the last windows.

    Parameters
    ----------
    windows
        How many.
    codes
        By column: the cell of each row, shape (n,).
    length
        In time; None where nobody knows.
    """

    windows: int
    codes: Mapping[str, Codes]
    length: timedelta | None

    def __len__(self) -> int:
        return len(next(iter(self.codes.values()))) if self.codes else 0


def spans_of(
    now: Mapping[str, Codes], window: Window | None, earlier: Earlier | None
) -> Iterator[Span]:
    """Give the spans that end with a window, the shortest first; each has more rows."""
    yield Span(1, now, None if window is None else window.length)
    if window is None or earlier is None:
        return
    held = 0
    there = round((window.end - earlier.start) / window.length)
    for wanted in SPANS[1:]:
        windows = min(wanted, there)
        length = windows * window.length
        first = (window.end - length - EPOCH) // HOUR
        inside = np.flatnonzero((earlier.hours >= first) & (earlier.hours != UNKNOWN_HOUR))
        if len(inside) > held:
            held = len(inside)
            codes = {
                name: np.concatenate([earlier.codes[name][inside], own])
                for name, own in now.items()
            }
            yield Span(windows, codes, length)
