"""Rows of which an attribution is so large that nothing could be told of all others beside it.

One of 1e6 among a thousand rows moves the order, the shares and the level alike. Such rows are left
out, counted, and judged for themselves, as predictions that are no numbers are.

Shapes: N rows, M features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.attribution.explained import Explained
from driftline.monitors.kinds.attribution.importance import Attributions
from driftline.monitors.results.unusable import FAR, Unusable

Rows = Mapping[str, NDArray[np.float32]]
# The size that few rows of a reference pass.
TOP = 0.99


def without_absurd(found: Explained, stored: Attributions) -> tuple[Explained, Unusable, Unusable]:
    """Leave out rows of absurd attributions; and count them in the window, and in the reference.

    Of other units are all rows of a window, and most of its rows are no faults: the limit is far
    beyond what either side's usually are. None is left out beside a reference that kept such rows,
    as one of an older version may: its means hold them, too.
    """
    sizes, before = _sizes(found.rows), _sizes(stored.rows)
    if not len(sizes) or not before.any():
        return found, Unusable(noun="attribution"), Unusable(noun="attribution")
    limit = max(_limit(before), FAR * float(np.quantile(sizes, 0.5, method="lower")))
    if (before > limit).any():
        return found, Unusable(noun="attribution"), Unusable(noun="attribution")
    is_far, known = sizes > limit, len(before) + stored.absurd
    count, rows = int(np.count_nonzero(is_far)), len(sizes)
    words = f"beyond {limit:.3g}, a thousand times what is usual ({_largest(found)})"
    window = Unusable(rows, impossible=count, words=words, noun="attribution")
    usual = Unusable(known, impossible=stored.absurd, noun="attribution")
    return (_of(found, ~is_far) if count else found), window, usual


def sound_rows(found: Explained) -> Explained:
    """Leave out rows of absurd attributions of a reference, as of a window."""
    sizes = _sizes(found.rows)
    if not sizes.any() or sizes.max() <= (limit := _limit(sizes)):
        return found
    return _of(found, sizes <= limit)


def _limit(sizes: NDArray[np.float64]) -> float:
    """Return what no row of a reference is as large as, whose attributions are not all 0."""
    return FAR * float(np.quantile(sizes[sizes > 0.0], TOP))


def _sizes(rows: Rows) -> NDArray[np.float64]:
    """Return each row's largest attribution, of whatever output, shape (N,)."""
    found = [one.max(axis=1, initial=0.0) for one in rows.values()]
    return np.asarray(np.max(found, axis=0) if found else [], dtype=np.float64)


def _largest(found: Explained) -> str:
    """Name the feature and the size of the largest attribution."""
    tops = [one.max(axis=0, initial=0.0) for one in found.rows.values()]
    most = np.max(tops, axis=0)
    at = int(np.argmax(most))
    return f'"{found.features[at]}": {float(most[at]):.3g}'


def _of(found: Explained, kept: NDArray[np.bool_]) -> Explained:
    """Take some of the rows that were explained."""
    at = np.flatnonzero(kept)
    return replace(
        found,
        rows={label: rows[at] for label, rows in found.rows.items()},
        signed={label: rows[at] for label, rows in found.signed.items()},
        hours=None if found.hours is None else found.hours[at],
        pointers=[found.pointers[place] for place in at.tolist()] if found.pointers else (),
    )
