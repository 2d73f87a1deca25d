"""One span of windows against the reference: every set of every column at once.

Shapes: W columns, C cells and S scanned sets of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.layout import Indices, Layout, divide
from driftline.monitors.drift_test.reference_model import Expectation
from driftline.monitors.drift_test.significance import (
    MIN_ROWS,
    Comparison,
    Numbers,
    critical_value,
    likelihood_ratio,
    unseen_share,
)
from driftline.monitors.drift_test.spans import Span

# Rows per cell, shape (C,), and whether each column was counted, shape (W,).
Merged = tuple[NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class SpanScan:
    """The scan of one span."""

    span: Span
    counts: NDArray[np.int64]  # Rows of the span by cell, shape (C,).
    expected: Numbers  # Shares by cell, shape (C,).
    rows: Numbers  # By column, shape (W,).
    reference_rows: Numbers  # Rows behind the expected shares, shape (W,).
    # By set, shape (S,): of all rows for empty and unfit ones, else of rows with a value.
    share: Numbers
    part: Numbers  # What the shares are shares of, as a share of all rows, shape (S,).
    known_part: Numbers
    comparison: Comparison  # Of all sets.
    ratios: Numbers  # Of all sets, shape (S,).
    largest_ratio: Numbers  # Of each column, shape (W,).
    critical_value: Numbers  # That at which a violation begins, shape (W,).
    judged: NDArray[np.bool_]  # Columns with enough rows on both sides, shape (W,).

    @property
    def violated(self) -> NDArray[np.bool_]:
        """Which columns are a violation, shape (W,)."""
        return self.judged & (self.largest_ratio > self.critical_value)

    def strongest(self, layout: Layout, columns: NDArray[np.bool_]) -> Indices:
        """Return each column's decisive set, (W,); only entries of ``columns`` are meaningful.

        Where nothing exceeds the tolerance, it is the strongest set without it.
        """
        gained = self.share >= self.comparison.known
        found = layout.strongest(self.ratios, gained)
        quiet = np.flatnonzero(layout.spread(columns & (self.largest_ratio <= 0)))
        if quiet.size:
            ratios, own = np.minimum(self.ratios, 0.0), self.comparison.take(quiet)
            ratios[quiet] = likelihood_ratio(
                own.known, own.known_rows, self.share[quiet], own.rows, tolerance=0.0
            )
            ratios[quiet] /= own.effect
            found = np.where(self.largest_ratio <= 0, layout.strongest(ratios, gained), found)
        return found


def merge_spans(layout: Layout, spans: Sequence[Span]) -> list[Merged]:
    """Add up the windows of each span; a column counts where each window has it.

    Spans end with the same window, so each is the one before it and some earlier windows.
    """
    windows = max((span.windows for span in spans), key=len, default=())
    ends = {len(span.windows) for span in spans}
    counts = np.zeros(layout.cell_starts[-1], dtype=np.int64)
    present = np.ones(len(layout), dtype=np.bool_)
    by_length: dict[int, Merged] = {}
    for length, window in enumerate(windows, 1):
        more, there = layout.flatten(window.cells)
        counts += more
        present &= there
        if length in ends:
            by_length[length] = counts.copy(), present.copy()
    return [by_length[len(span.windows)] for span in spans]


def scan_span(
    layout: Layout,
    span: Span,
    merged: Merged,
    expectation: Expectation,
    *,
    tolerance: Numbers,
    alpha: float,
) -> SpanScan:
    """Weigh all sets of a span.

    Parameters
    ----------
    layout
        The judged columns.
    span, merged
        With rows enough, and its counts as ``merge_spans`` gives them.
    expectation
        What the reference expects of it.
    tolerance
        Per column, shape (W,): a set of share p may move by ``2 tolerance sqrt(p (1 - p))``,
        which is the tolerance itself at p = 1/2.
    alpha
        As ``alpha_per_test`` gives it for this span.
    """
    counts, present = merged
    rows = layout.rows(counts)
    judged = present & (rows >= MIN_ROWS) & (layout.reference_rows >= MIN_ROWS)
    m, n = np.maximum(rows, 1.0), expectation.rows
    shares = np.minimum(layout.sets(counts) / layout.spread(m), 1.0)
    expected = np.minimum(layout.sets(expectation.cells), 1.0)
    part, known_part = (layout.bases(one, np.ones(len(layout))) for one in (shares, expected))
    known = divide(expected, known_part, 0.0)
    share = divide(shares, part, known)
    known = _with_unseen(layout, known, share, layout.spread(layout.reference_rows) * known_part)
    comparison = Comparison(
        known=known,
        known_rows=np.maximum(layout.spread(n) * known_part, 1.0),
        rows=np.maximum(layout.spread(m) * part, 1.0),
        tolerance=2.0 * layout.spread(tolerance) * np.sqrt(known * (1.0 - known)),
        effect=expectation.effect,
        cluster_effect=expectation.cluster_effect,
        shift_effect=expectation.shift_effect,
        middle=layout.middles,
    )
    ratios, out = np.zeros(known.size), np.flatnonzero(np.abs(share - known) > comparison.tolerance)
    ratios[out] = comparison.take(out).ratio(share[out])
    return SpanScan(
        span=span,
        counts=counts,
        expected=expectation.cells,
        rows=rows,
        reference_rows=expectation.rows,
        share=share,
        part=part,
        known_part=known_part,
        comparison=comparison,
        ratios=ratios,
        largest_ratio=layout.largest(ratios),
        critical_value=critical_value(alpha, layout.set_counts.astype(np.float64)),
        judged=judged,
    )


def _with_unseen(layout: Layout, known: Numbers, share: Numbers, values: Numbers) -> Numbers:
    """Raise the expected share of unseen values to the upper limit that values seen once foretell.

    Shares are of the rows that hold values, of which the reference has ``values``. The reference
    counts a value seen once as unseen. Rows that are not unseen in the window belong to the other
    known values: a window of the reference's own rows, or of returning customers, has no new names
    at all.

    References
    ----------
    Good, Biometrika 40, 1953.
    """
    unseen, rest = layout.unseen, layout.rest
    if not unseen.size:
        return known
    found = known.copy()
    foretold = unseen_share(layout.spread(layout.once)[unseen], values[unseen])
    found[unseen] = np.minimum(np.maximum(foretold, known[unseen]), share[unseen])
    some = rest >= 0
    at = rest[some]
    least = known[at] - np.maximum(foretold - known[unseen], 0.0)[some]
    most = known[at] + np.maximum(known[unseen] - share[unseen], 0.0)[some]
    found[at] = np.clip(share[at], np.maximum(least, 0.0), most)
    return found
