"""Scores rows: how rare a row as unusual is in the reference, as a power of ten.

A row is unusual by one very rare value (the strongest tail of any column) or by values that do not
go together (`joint`). The greater of the two, in nats, counts, less the cost of two looks. A row's
score depends on the baseline alone, not on other rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.outliers.clusters import cluster_size
from driftline.monitors.kinds.outliers.joint import Joint, fit_joint
from driftline.monitors.kinds.outliers.levels import LevelTerms, level_terms
from driftline.monitors.kinds.outliers.rarity import Codes
from driftline.monitors.kinds.outliers.terms import NumberTerms, number_terms
from driftline.monitors.results.notes import missing_note
from driftline.monitors.results.violation import plural

# A row is an outlier from here: as odd as one in 10,000 rows
# (docs/reference/statistics.md, "Outliers").
OUTLIER_SCORE = 4.0
# Or from where at most so many units of the reference's sample lie, if that is less.
SAMPLE_OUTLIERS = 10
# Of what is odd by chance, the part that single columns have; the rest has all of them together.
ALONE = 0.1
# Fewer rows of a reference do not tell what is odd.
LEAST_ROWS = 100
# Columns that a message names.
NAMED = 3
WITHOUT_JOINT = "; so each column is looked at alone, not whether values go together"
# Digits that are the same however rows are cut into batches: sums of products are rounded anew.
DIGITS = 4
# Beyond one row in a million it is all extrapolation: from there surprises grow as logarithms.
FAR = math.log(1e6)

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RowScorer:
    """Scores rows against one baseline."""

    numbers: tuple[NumberTerms, ...]
    levels: tuple[LevelTerms, ...]
    joint: Joint | None  # None where there is but one column.
    cost: float  # What it costs to take the strongest of all terms, in nats.
    sample_scores: Numbers  # Of the reference's own sample, float64, shape (rows,).
    sample_hours: NDArray[np.int64] | None
    unit: int  # So many rows that follow one another count as one, such as those of a session.
    threshold: float  # The score from which a row is an outlier.

    @property
    def columns(self) -> tuple[str, ...]:
        """The scored columns."""
        return (
            *(number.column for number in self.numbers),
            *(level.column for level in self.levels),
        )

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the scored columns that are not among these."""
        return tuple(column for column in self.columns if column not in set(names))

    def missing_note(self, missing: Sequence[str]) -> str:
        """Return a sentence on the columns that the data lack; empty where they lack none."""
        is_alone = self.joint is not None and not set(missing).isdisjoint(self.joint.columns)
        return missing_note(missing) + (WITHOUT_JOINT if is_alone else "")

    def require(self, names: Sequence[str]) -> None:
        """Refuse columns without any scored one."""
        if self.columns and len(self.missing(names)) == len(self.columns):
            more = " and so on" if len(self.columns) > NAMED else ""
            raise InputError(
                f"the data have none of the baseline's {plural(len(self.columns), 'feature')}; "
                f"expected {', '.join(self.columns[:NAMED])}{more}"
            )

    def score(self, batch: pa.RecordBatch) -> Numbers:
        """Score rows; where they lack a column, the tails of the others score them alone."""
        alone, together = self.parts(batch)
        return _score(alone, together)

    def parts(self, batch: pa.RecordBatch) -> tuple[Numbers, Numbers]:
        """Return the rarity of rows, in nats, by their rarest value and by all values together."""
        names, rows = set(batch.schema.names), batch.num_rows
        strongest = np.zeros(rows, np.float32)
        values: dict[str, Numbers] = {}
        for number in self.numbers:
            if number.column in names:
                codes, values[number.column] = number.codes(batch)
                for terms in number.tails(codes, values[number.column]):
                    np.maximum(strongest, terms, out=strongest)
        for level in self.levels:
            if level.column in names:
                np.maximum(strongest, level.of_rows(batch), out=strongest)
        alone = strongest.astype(np.float64) - self.cost
        if self.joint is None:
            return alone, np.zeros(rows)
        return alone, self.joint.nats(values, self._cells(batch), rows)

    def placed(self, batch: pa.RecordBatch) -> tuple[Mapping[str, Numbers], Mapping[str, Codes]]:
        """Return numbers and cells by column for `Joint`."""
        names = batch.schema.names
        numbers = [one for one in self.numbers if one.column in names]
        return {one.column: one.codes(batch)[1] for one in numbers}, self._cells(batch)

    def _cells(self, batch: pa.RecordBatch) -> Mapping[str, Codes]:
        texts = [] if self.joint is None else [one.level for one in self.joint.levels]
        names = batch.schema.names
        return {one.column: one.codes(batch) for one in texts if one.column in names}


def _score(alone: Numbers, together: Numbers) -> Numbers:
    """Return the score of the greater rarity, corrected for two looks."""
    surprise = np.maximum(alone, together + math.log1p(-ALONE))
    surprise = np.minimum(surprise, FAR) + np.log1p(np.maximum(surprise - FAR, 0.0))
    return np.asarray(np.round(np.maximum(surprise, 0.0) / math.log(10.0), DIGITS))


def row_scorer(baseline: Baseline) -> RowScorer:
    """Fit a scorer to a baseline."""
    sample, profile = baseline.sample, baseline.profile
    if sample is None or profile is None:
        raise InapplicableKindError(
            "the baseline keeps no sample of rows, which outliers are measured by; make it again "
            "from its data with: driftline baseline DATA"
        )
    if len(sample) < LEAST_ROWS:
        raise InapplicableKindError(
            f"the baseline was made of {len(sample):,} rows; outliers need {LEAST_ROWS} at least"
        )
    names = [
        column.name
        for column in baseline.signature.columns
        if column.role == "feature" and column.name in baseline.cells
        and column.name in sample.codes
        and profile.columns[column.name].cell_counts is not None
    ]  # fmt: skip
    if not names and any(one.role == "feature" for one in baseline.signature.columns):
        raise InapplicableKindError(
            "the baseline's sample of rows holds none of its features, as when each was made anew; "
            "make it again from data of now with: driftline baseline DATA"
        )
    if not names:
        raise InapplicableKindError(
            "the baseline has no features; expected one column at least to look at"
        )
    pairs = [(baseline.cells[name], profile.columns[name]) for name in names]
    numbers = tuple(number_terms(*pair) for pair in pairs if pair[0].is_number)
    levels = tuple(level_terms(*pair) for pair in pairs if not pair[0].is_number)
    strongest = np.zeros(len(sample), np.float32)
    for number in numbers:
        for terms in number.tails(sample.codes[number.column]):
            np.maximum(strongest, terms, out=strongest)
    random = np.random.default_rng(0)
    for level in levels:
        own = level.of_codes(sample.codes[level.column], random)
        np.maximum(strongest, own, out=strongest)
    found = fit_joint(numbers, levels, profile.columns, sample.codes)
    joint, together = (None, np.zeros(len(sample))) if found is None else found
    # Of taking the strongest of all terms (Bonferroni), and of looking at both.
    looks = sum(one.tail_count for one in numbers) + sum(one.tail_count for one in levels)
    cost = math.log(looks) - (0.0 if joint is None else math.log(ALONE))
    scores = _score(strongest.astype(np.float64) - cost, together)
    unit = round(cluster_size(baseline, names))
    threshold = _threshold(scores, SAMPLE_OUTLIERS * unit)
    return RowScorer(numbers, levels, joint, cost, scores, sample.hours, unit, threshold)


def _threshold(scores: Numbers, most: int) -> float:
    """Return the score that at most so many rows of the sample reach."""
    known, counts = np.unique(scores, return_counts=True)
    is_few = np.cumsum(counts[::-1])[::-1] <= most
    above = float(known[-1]) + 10.0**-DIGITS
    return min(OUTLIER_SCORE, float(known[is_few][0]) if is_few.any() else above)
