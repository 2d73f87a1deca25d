"""Adjusts expected shares for context columns, such as a holiday or a region."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from driftline.baseline.context_groups import ContextGroups
from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.reference_model import Expectation
from driftline.monitors.drift_test.significance import Numbers
from driftline.stats.calendar_regression import hour_design
from driftline.stats.day_scores import hour_ridge


@dataclass(frozen=True, eq=False)
class Given:
    """What the shares of columns hang on besides their time; G groups of all declared columns.

    Each row of the reference's sample is explained by its hour, weekday and season and by its
    groups, so that a holiday in winter is told from winter. A span is then compared with a
    reference that has its groups: each share moves by what its coefficients say of the difference.

    References
    ----------
    Goodman, "Ecological regressions and behavior of individuals", American Sociological Review 18,
    1953 (shares explained by shares); Cobb and Van Looveren, "Context-aware drift detection", ICML
    2022 (given the context, what has changed).
    """

    groups: tuple[tuple[int, ContextGroups], ...]  # Declared columns: their places and groups.
    # What a share changes by where a group comes up by 1, shape (G, C); 0 for declared columns.
    coefficients: Numbers
    # Of the coefficients of a share whose variance is 1, shape (G, G).
    covariance: Numbers

    @classmethod
    def of(cls, layout: Layout, sample: RowSample, context: Sequence[str]) -> Given:
        """Learn from a reference's rows; only judged context columns count."""
        hours = sample.hours
        rows = np.arange(len(sample)) if hours is None else np.flatnonzero(hours != UNKNOWN_HOUR)
        codes = {name: one[rows] for name, one in sample.codes.items()}
        groups = tuple(
            (at, ContextGroups.of(one.reference.cells, one.reference.counts))
            for at, one in enumerate(layout.columns)
            if one.name in context and one.name in codes
        )
        calendar = np.ones((rows.size, 1))
        if hours is not None and rows.size:
            calendar = hour_design(hours[rows], float(np.ptp(hours[rows])) / 24)
        own = [one.indicators[codes[layout.names[at]]] for at, one in groups]
        first = sum(one.shape[1] for one in own)
        ridge, weights = hour_ridge(np.hstack([*own, calendar])), np.ones(rows.size)
        cells = _row_cells(layout, codes, [layout.names[at] for at, _ in groups])
        coefficients = ridge.fit(weights, cells)[:first]
        return cls(groups, coefficients, ridge.covariance(weights)[:first, :first])

    def adjust(
        self, layout: Layout, counts: NDArray[np.int64], expectation: Expectation
    ) -> Expectation:
        """Return the expectation for a span's own mix of groups; `counts` are its rows by cell.

        The effects of declared columns multiply: what moves a column by two steps leaves few rows
        where it began.
        """
        usual, first = expectation.cells, 0
        factor, changes = np.ones(usual.size), [np.zeros(0)]
        for at, one in self.groups:
            own = slice(*layout.cell_starts[at : at + 2])
            # Rows whose value is not known are as expected; other checks tell of them.
            expected, part = one.shares(usual[None, own])[0], one.known_part(counts[None, own])[0]
            change = counts[own] @ one.indicators / max(counts[own].sum(), 1) - part * expected
            own_coefficients = self.coefficients[first : first + change.size]
            first += change.size
            moved = np.maximum(usual + change @ own_coefficients, 0.0)
            factor *= np.divide(moved, usual, out=np.zeros(usual.size), where=usual > 0)
            changes.append(change)
        moved = usual * factor
        sums = layout.rows(moved)
        moved *= layout.spread_cells(layout.rows(usual) / np.where(sums > 0, sums, 1.0))
        # The coefficients' own error, as if fewer rows had been seen.
        whole = np.concatenate(changes)
        error = float(whole @ self.covariance @ whole)
        is_given = layout.rows(np.abs(self.coefficients).sum(axis=0)) > 0
        rows = expectation.rows
        fewer = rows / (1.0 + np.maximum(rows, 1.0) * error)
        return replace(expectation, cells=moved, rows=np.where(is_given, fewer, rows))


def _row_cells(
    layout: Layout, codes: Mapping[str, NDArray[np.unsignedinteger]], but: Collection[str]
) -> sparse.csr_array:
    """Return each row's cells over all columns, as 0 or 1, shape (n, C)."""
    places = [
        codes[name] + layout.cell_starts[at]
        for at, name in enumerate(layout.names)
        if name in codes and name not in but
    ]
    count = next(iter(codes.values())).size if codes else 0
    flat = np.stack(places, axis=1).ravel() if places else np.zeros(0, np.int64)
    starts = np.arange(count + 1) * len(places)
    shape = count, int(layout.cell_starts[-1])
    return sparse.csr_array((np.ones(flat.size), flat, starts), shape=shape)
