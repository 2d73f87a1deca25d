"""What a finding says: which drift is held back, why, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.results.violation import percent
from driftline.monitors.warm_up.warm_up import (
    FITTING_SPAN,
    FITTING_WINDOWS,
    Finding,
    StableSpan,
)

COLUMNS_NAMED = 3
# Of so many values at most it is striking that all have equal shares.
BALANCED_MOST = 12
EQUAL_RATIO = 1.1
UNEQUAL_RATIO = 2.0


def difference(drift: ColumnDrift, reference: ReferenceColumn) -> str:
    """Say how a column differs from its reference."""
    what = (
        f"{percent(drift.share_window)} of rows {drift.predicate.phrase} "
        f"(reference {percent(drift.share_reference)})"
    )
    if _is_balanced(reference.counts) and not _is_balanced(drift.window_counts, UNEQUAL_RATIO):
        what += ", where the reference looks rebalanced: its values have equal shares"
    return what


def _is_balanced(counts: np.ndarray, ratio: float = EQUAL_RATIO) -> bool:
    """Say whether a column has few values, all of them about equally often."""
    found = counts[counts > 0]
    return 2 <= found.size <= BALANCED_MOST and bool(found.max() <= ratio * found.min())


def finding_text(found: Finding, monitor: str) -> str:
    """Word the finding as a cause: what is held back first, then the mend."""
    names = sorted(found.grounds)
    first = next((name for name in names if name in found.words), names[0])
    shown = _names([first, *(name for name in names if name != first)])
    has = "differs" if len(names) == 1 else "differ"
    reasons = {
        "misfit": f"{shown} {has} from the reference since the first window",
        "no_times": (
            f"{shown} {has} from a reference without times, which does not tell how much its "
            "own windows vary"
        ),
        "shuffled": (
            f"{shown} {has} from a reference that looks shuffled: its windows vary no more than "
            "independent rows, production's much more"
        ),
    }
    ground = found.grounds[first]
    how = f" ({first}: {found.words[first]})" if first in found.words else ""
    until = (
        ""
        if ground == "misfit"
        else f" until {FITTING_WINDOWS} windows and {FITTING_SPAN.days} days have shown how much"
    )
    return (
        f"{reasons[ground]}{how}; drift is held back{until}. {_proposal(found.stable, monitor)}; "
        f"or judge by the reference as it is: driftline monitor commission {monitor} --accept"
    )


def _names(names: Iterable[str]) -> str:
    found = list(names)
    more = len(found) - COLUMNS_NAMED
    if more > 0:
        return f"{', '.join(found[:COLUMNS_NAMED])} and {more} more"
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else found[0]


def _proposal(stable: StableSpan | None, monitor: str) -> str:
    if stable is None:
        return (
            "No three days, or longer windows, agree with each other yet: driftline monitor "
            f"commission {monitor} names them as soon as they do"
        )
    return (
        f"Its windows agree with each other in {stable.row_count:,} rows, so take a baseline of "
        f"them: driftline monitor baseline {monitor} --from {_time(stable.start)} "
        f"--to {_time(stable.end)}"
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
