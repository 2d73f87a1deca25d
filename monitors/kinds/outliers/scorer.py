"""A score for each row: how seldom the reference has a row as odd, as a power of ten.

Three things make a row odd: many values that are each a little rare (ECOD's sum of tails), one that
is very rare (the strongest term), and values that do not go together (the distance along the
correlations). Each is made a surprise in nats, and the greatest counts, less what looking three
times costs. So a score of 4 is reached by at most one row in 10,000 of what the reference is a
sample of. All of it follows from the baseline: the score of a row hangs on no other row.

References
----------
Li et al., "ECOD", IEEE TKDE 35, 2022: the sum of left tails, of right tails, or of those on the
skewed side, whichever is largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.outliers.density import Density, fit_density
from driftline.monitors.kinds.outliers.joint import Joint, cross_fitted, fit_joint
from driftline.monitors.kinds.outliers.levels import LevelTerms, level_terms
from driftline.monitors.kinds.outliers.rarity import Rarity, fit_rarity
from driftline.monitors.kinds.outliers.terms import Floats, NumberTerms, number_terms
from driftline.monitors.results.violation import plural

# A row is an outlier from here: as odd as one in 10,000 rows
# (docs/reference/statistics.md, "Outliers").
OUTLIER_SCORE = 4.0
# Fewer rows of a reference do not tell what is odd.
LEAST_ROWS = 100
# Columns that a message names.
NAMED = 3
# Digits that are the same however rows are cut into batches: sums of products are rounded anew.
DIGITS = 4
# Beyond one row in a million it is all extrapolation: from there surprises grow as logarithms.
FAR = math.log(1e6)

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes each row odd, in nats; shapes: (rows,)."""

    tails: Floats  # ECOD's score.
    strongest: Floats  # The largest term of any column.
    # Half of the squared distance along the correlations; None without them.
    distance: Numbers | None
    # How far the row lies from others, stretched; None where that says nothing more.
    density: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Surprises:
    """How rare each part is, in nats; shapes: (rows,)."""

    tails: Numbers  # Of single columns, all together or the strongest.
    distance: Numbers
    density: Numbers
    looks: int  # How many are looked at, the strongest column apart.

    @property
    def score(self) -> Numbers:
        """One score of all; their chances together bound that of the greatest."""
        surprise = np.maximum(np.maximum(self.tails, self.distance), self.density)
        surprise -= math.log(self.looks)
        surprise = np.minimum(surprise, FAR) + np.log1p(np.maximum(surprise - FAR, 0.0))
        return np.asarray(np.round(np.maximum(surprise, 0.0) / math.log(10.0), DIGITS))


@dataclass(frozen=True, eq=False)
class RowScorer:
    """Scores rows against one baseline."""

    numbers: tuple[NumberTerms, ...]
    levels: tuple[LevelTerms, ...]
    joint: Joint | None  # None when the correlations are not known.
    tails: Rarity
    distance: Rarity | None
    density: Density | None  # None where there is but one column.
    company: Rarity | None  # Of the density.
    sample_scores: Numbers  # Of the reference's own sample, float64, shape (rows,).
    sample_hours: NDArray[np.int64] | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are looked at."""
        return (
            *(number.column for number in self.numbers),
            *(level.column for level in self.levels),
        )

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Name the columns that are looked at and are not among these."""
        return tuple(column for column in self.columns if column not in set(names))

    def require(self, names: Sequence[str]) -> None:
        """See that some of the columns are among these."""
        if self.columns and len(self.missing(names)) == len(self.columns):
            more = " and so on" if len(self.columns) > NAMED else ""
            raise InputError(
                f"the data have none of the baseline's {plural(len(self.columns), 'feature')}; "
                f"expected {', '.join(self.columns[:NAMED])}{more}"
            )

    def score(self, batch: pa.RecordBatch) -> Numbers:
        """Score rows; a column that they lack makes none of them odd."""
        return self._surprises(self.parts(batch)).score

    def parts(self, batch: pa.RecordBatch) -> Parts:
        """Measure what makes rows odd."""
        names, rows = set(batch.schema.names), batch.num_rows
        gathered = _Gathered(rows, len(self.numbers))
        found: dict[str, Numbers] = {}
        for place, number in enumerate(self.numbers):
            if number.column in names:
                codes, values = number.codes(batch)
                found[number.column] = values
                terms = number.tails(codes, values)
                gathered.add_number(number, *terms)
                number.normal.of_rows(codes, values, terms, gathered.normal[place])
        for level in self.levels:
            if level.column in names:
                gathered.add(level.of_rows(batch))
        parts = gathered.parts(self.joint)
        if self.density is None:
            return parts
        texts = self.density.levels
        cells = {one.column: one.level.codes(batch) for one in texts if one.column in names}
        return replace(parts, density=self.density.of_rows(found, cells, rows))

    def surprises(self, batch: pa.RecordBatch) -> Surprises:
        """Return how rare each part of what makes rows odd is."""
        return self._surprises(self.parts(batch))

    def _surprises(self, parts: Parts) -> Surprises:
        return _surprises(parts, self.tails, self.distance, self.company, self.cost)

    @property
    def cost(self) -> float:
        """What it costs to take the strongest of all terms, in nats."""
        return _cost(self.numbers, self.levels)


class _Gathered:
    """Sums of terms while columns are looked at."""

    def __init__(self, rows: int, numbers: int) -> None:
        self.left, self.right, self.skewed, self.strongest = np.zeros((4, rows), np.float32)
        self.normal = np.full((numbers, rows), np.nan)

    def add_number(self, number: NumberTerms, left: Floats, right: Floats) -> None:
        """Add both tails of a column."""
        self.left += left
        self.right += right
        self.skewed += left if number.is_left_skewed else right
        np.maximum(self.strongest, left, out=self.strongest)
        np.maximum(self.strongest, right, out=self.strongest)

    def add(self, terms: Floats) -> None:
        """Add a column without sides."""
        self.left += terms
        self.right += terms
        self.skewed += terms
        np.maximum(self.strongest, terms, out=self.strongest)

    def parts(self, joint: Joint | None) -> Parts:
        """Return what was gathered."""
        tails = np.maximum(np.maximum(self.left, self.right), self.skewed)
        return Parts(tails, self.strongest, joint.distance(self.normal) if joint else None)


def row_scorer(baseline: Baseline) -> RowScorer:
    """Learn from a baseline what is odd."""
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
    gathered = _Gathered(len(sample), len(numbers))
    random = np.random.default_rng(0)
    depth = random.random(len(sample))
    for place, number in enumerate(numbers):
        codes = sample.codes[number.column]
        gathered.add_number(number, *number.tails(codes))
        gathered.normal[place] = number.normal.of_sample(codes, depth)
    for level in levels:
        gathered.add(level.of_codes(sample.codes[level.column], random))
    known = gathered.parts(None)
    tails, joint, distance = fit_rarity(known.tails), fit_joint(gathered.normal), None
    crossed = cross_fitted(gathered.normal) if joint else None
    if crossed is None:
        joint = None
    else:
        distance = fit_rarity(crossed)
    apart = fit_density(numbers, levels, profile.columns, sample.codes, depth)
    density, far = apart or (None, None)
    company = None if far is None else fit_rarity(far)
    parts = Parts(known.tails, known.strongest, crossed, far)
    scores = _surprises(parts, tails, distance, company, _cost(numbers, levels)).score
    return RowScorer(
        numbers, levels, joint, tails, distance, density, company, scores, sample.hours
    )


def _cost(numbers: Sequence[NumberTerms], levels: Sequence[LevelTerms]) -> float:
    """Return what it costs to take the strongest of all terms, in nats (Bonferroni)."""
    tails = sum(number.tail_count for number in numbers) + sum(level.tail_count for level in levels)
    return math.log(tails)


def _surprises(
    parts: Parts, tails: Rarity, distance: Rarity | None, company: Rarity | None, cost: float
) -> Surprises:
    alone: Numbers = np.maximum(tails.of(parts.tails), parts.strongest - cost)
    nothing = np.zeros(len(alone))
    return Surprises(
        alone,
        nothing if distance is None or parts.distance is None else distance.of(parts.distance),
        nothing if company is None or parts.density is None else company.of(parts.density),
        looks=2 + (distance is not None) + (company is not None),
    )
