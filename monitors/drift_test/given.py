"""How shares move with the columns that others are judged given, such as a holiday or a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from driftline.baseline.context_groups import context_groups, group_members
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

    members: tuple[tuple[int, Numbers], ...]  # Declared columns: places, `group_members`.
    # What a share changes by where a group comes up by 1, shape (G, C); 0 for declared columns.
    coefficients: Numbers
    # Of the coefficients of a share whose variance is 1, shape (G, G).
    covariance: Numbers

    @classmethod
    def of(cls, layout: Layout, sample: RowSample, context: Sequence[str]) -> Given:
        """Learn from a reference's rows; of the declared columns those that are judged count."""
        hours = sample.hours
        rows = np.arange(len(sample)) if hours is None else np.flatnonzero(hours != UNKNOWN_HOUR)
        groups = {
            at: context_groups(one.reference.cells, one.reference.counts)
            for at, one in enumerate(layout.columns)
            if one.name in context and one.name in sample.codes
        }
        members = tuple((at, group_members(one)) for at, one in groups.items())
        calendar = np.ones((rows.size, 1))
        if hours is not None and rows.size:
            calendar = hour_design(hours[rows], float(np.ptp(hours[rows])) / 24)
        own = [one[sample.codes[layout.names[at]][rows]] for at, one in members]
        first = sum(one.shape[1] for one in own)
        ridge, weights = hour_ridge(np.hstack([*own, calendar])), np.ones(rows.size)
        # One column of ones and zeros for each cell: of each row one cell of each column.
        columns = [
            at for at, name in enumerate(layout.names) if at not in groups and name in sample.codes
        ]
        cells = [sample.codes[layout.names[at]][rows] + layout.cell_starts[at] for at in columns]
        places = np.stack(cells, axis=1).ravel() if cells else np.zeros(0, np.int64)
        ends = np.arange(rows.size + 1) * len(columns)
        shape = rows.size, int(layout.cell_starts[-1])
        table = sparse.csr_array((np.ones(places.size), places, ends), shape=shape)
        coefficients = ridge.fit(weights, table)[:first]
        return cls(members, coefficients, ridge.covariance(weights)[:first, :first])

    def adjust(
        self, layout: Layout, counts: NDArray[np.int64], expectation: Expectation
    ) -> Expectation:
        """Return what is expected of a span that has its own groups.

        Parameters
        ----------
        counts
            Rows of the span by cell, shape (C,).
        expectation
            What the reference expects of a span of its times.
        """
        usual = expectation.cells
        shares = counts / layout.spread_cells(np.maximum(layout.rows(counts), 1.0))
        change = np.zeros(0)
        for at, one in self.members:
            own = slice(*layout.cell_starts[at : at + 2])
            # A column that did not come tells nothing; the check of columns tells of it.
            came = float(shares[own].any())
            change = np.append(change, came * (shares[own] - usual[own]) @ one)
        moved = np.maximum(usual + change @ self.coefficients, 0.0)
        sums = layout.rows(moved)
        moved *= layout.spread_cells(layout.rows(usual) / np.where(sums > 0, sums, 1.0))
        # The coefficients' own error, as if fewer rows had been seen.
        error = np.full(len(layout), float(change @ self.covariance @ change))
        error[[at for at, _ in self.members]] = 0.0
        rows = expectation.rows
        return replace(expectation, cells=moved, rows=rows / (1.0 + np.maximum(rows, 1.0) * error))
