"""Scores rows: how rare a row as unusual is in the reference, as a power of ten.

A row is unusual by its rarest value (`ColumnTerms`), or by values that do not go together: by its
local outlier factor among rows of the reference, where numbers stand as normal scores and levels as
points of equal distance. The greater of the two, in nats, counts, less the cost of two looks. A
row's score depends on the baseline alone, not on other rows.

References
----------
Breunig, Kriegel, Ng and Sander, SIGMOD 2000 (LOF); scikit-learn's LocalOutlierFactor with novelty.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import SAMPLE_ROWS
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.outliers.columns import Codes, ColumnTerms, Numbers, column_terms
from driftline.monitors.results.violation import plural
from driftline.one_thread import on_one_thread

Flags = NDArray[np.bool_]

# A row is an outlier from here: as odd as one in 10,000 rows
# (docs/reference/statistics.md, "Outliers").
OUTLIER_SCORE = 4.0
# Or from where at most so many rows of the reference's sample lie, if that is less.
SAMPLE_OUTLIERS = 10
# Of what is odd by chance, the part that single columns have; the rest, all of them together.
ALONE = 0.1
# Fewer rows of a reference do not tell what is odd.
LEAST_ROWS = 100
NEIGHBOURS = 12
# Rows of the reference that others are measured by.
MOST_POINTS = 2_000
# Differences below a tenth of a standard deviation are none: equal rows are spread by so much.
RESOLUTION = 0.1
# Rows that follow each other may be of one session: a stretch is whole in its part of the sample.
STRETCHES, FOLDS = 52, 4
# A number has two tails, of which ranks in the middle of a cell or beyond all may halve each.
LOOKS = 4
# The share of a sample that shows how its tail falls, and the fewest rows that do.
TAIL_SHARE, FEWEST_EXCESSES = 0.02, 20
# Digits that are the same however rows are cut into batches: sums of products are rounded anew.
DIGITS = 4
# Beyond one row in a million it is all extrapolation: from there surprises grow as logarithms.
FAR = math.log(1e6)
# Columns that a reason names, from one in ten on, and not beside another that is so much rarer.
NAMED, LEAST_TERM, LEAST_PART = 3, 2.3, 1 / 3
APART = "{} does not go with the other columns as in the reference"


@dataclass(frozen=True, eq=False)
class Joint:
    """Rows of a reference by which others are measured."""

    points: Numbers  # Shape (points, axes).
    model: Any  # scikit-learn's, which has no types.
    known: Numbers  # Factors of the reference's sample, held out, ascending.

    def nats(self, points: Numbers) -> Numbers:
        """Return how rare rows are, shape (rows,)."""
        return _rarity(self.known, _factors(self.model, points))


@dataclass(frozen=True, eq=False)
class RowScorer:
    """Scores rows against one baseline."""

    terms: tuple[ColumnTerms, ...]
    near: tuple[Flags, ...]  # By column: whether rows of a cell have neighbours in the reference.
    joint: Joint | None  # None where there are fewer than two columns.
    sample_scores: Numbers  # Of the reference's own sample, float64, shape (rows,).
    sample_repeats: Flags
    sample_hours: NDArray[np.int64] | None
    threshold: float  # The score from which a row is an outlier.

    @property
    def columns(self) -> tuple[str, ...]:
        """The scored columns."""
        return tuple(one.cells.column for one in self.terms)

    def require(self, names: Collection[str]) -> None:
        """Refuse columns without any scored one."""
        if set(self.columns).isdisjoint(names):
            more = " and so on" if len(self.columns) > NAMED else ""
            raise InputError(
                f"the data have none of the baseline's {plural(len(self.columns), 'feature')}; "
                f"expected {', '.join(self.columns[:NAMED])}{more}"
            )

    def score(self, batch: pa.RecordBatch) -> ScoredRows:
        """Score rows; where they lack a column, the others score them alone."""
        codes, terms, points = _placed(self.terms, batch)
        is_near = _all_near(self.near, codes)
        together = np.zeros(batch.num_rows)
        if self.joint is not None:
            together[is_near] = self.joint.nats(points[is_near])
        return ScoredRows(self, codes, terms, points, _alone(terms), together)


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Some rows with their scores; of n rows and C columns."""

    scorer: RowScorer
    codes: Codes  # Of each value's cell, shape (C, n).
    terms: Numbers  # How rare each value is, in nats, shape (C, n).
    points: Numbers  # Shape (n, axes).
    alone: Numbers  # How rare each row is by its rarest value, and by all together, shape (n,).
    together: Numbers

    @cached_property
    def scores(self) -> Numbers:
        """Score of each row, shape (n,)."""
        return _scores(self.alone, self.together)

    @property
    def is_odd(self) -> Flags:
        """Whether each row is an outlier, shape (n,)."""
        return self.scores >= self.scorer.threshold

    @property
    def with_values(self) -> list[str]:
        """The columns in which any row has a value."""
        least = self.codes.min(axis=1, initial=np.iinfo(np.int64).max)
        return [
            one.cells.column
            for one, code in zip(self.scorer.terms, least, strict=True)
            if code < one.cells.size - 2
        ]

    def explain(self, rows: Codes) -> list[tuple[str, str]]:
        """Return why rows are unusual, and the column that makes each so most; "" for none.

        Words name cells of the reference, never a value.
        """
        farthest, found = self._farthest(rows), []
        for row, apart in zip(rows.tolist(), farthest, strict=True):
            terms, columns = self.terms[:, row], self.scorer.columns
            order = np.argsort(-terms, kind="stable")[:NAMED]
            least = max(LEAST_TERM, terms[order[0]] * LEAST_PART)
            named = [at for at in order.tolist() if terms[at] >= least]
            words = [self.scorer.terms[at].words[self.codes[at, row]] for at in named]
            column = columns[named[0]] if named else ""
            if self.together[row] > max(self.alone[row], 0.0):
                column = columns[apart]
                words.insert(0, APART.format(column))
            found.append(("; ".join(words), column))
        return found

    def _farthest(self, rows: Codes) -> list[int]:
        """Return the column in which each row lies farthest from its neighbours' mean."""
        joint = self.scorer.joint
        if joint is None or not len(rows):
            return [0] * len(rows)
        points = self.points[rows]
        near = joint.model.kneighbors(points, return_distance=False)
        squares = np.cumsum((points - joint.points[near].mean(axis=1)) ** 2, axis=1)
        ends = np.cumsum([one.axes for one in self.scorer.terms])
        upto = np.hstack([np.zeros((len(rows), 1)), squares])[:, ends]
        farthest: list[int] = np.argmax(np.diff(upto, axis=1, prepend=0.0), axis=1).tolist()
        return farthest


def repeats(codes: Codes) -> Flags:
    """Return whether each row, of cells (C, n), repeats the one before it, as in a session."""
    return np.append(np.zeros(1, np.bool_), (codes[:, 1:] == codes[:, :-1]).all(axis=0))


def row_scorer(baseline: Baseline) -> RowScorer:
    """Fit a scorer to a baseline."""
    profile, kept = baseline.profile, baseline.rows
    rows = 0 if kept is None else kept.table.num_rows
    if profile is None or kept is None or rows < LEAST_ROWS:
        raise InapplicableKindError(
            f"the baseline keeps a sample of {plural(rows, 'row')}; outliers need {LEAST_ROWS} at "
            "least: make it again from more data with: driftline baseline DATA"
        )
    rows = min(rows, SAMPLE_ROWS)
    some = np.linspace(0, kept.table.num_rows - 1, rows).astype(np.int64)
    (batch,) = kept.table.take(pa.array(some)).combine_chunks().to_batches()
    cells, columns = baseline.cells, profile.columns
    names = [
        column.name
        for column in baseline.signature.columns
        if column.role == "feature" and column.name in cells
        and column.name in batch.schema.names
        and columns[column.name].cell_counts is not None
        # Numbers without any finite value have no ranks.
        and (cells[column.name].edges or not cells[column.name].is_number)
    ]  # fmt: skip
    if not names:
        raise InapplicableKindError(
            "the baseline's sample of rows holds no feature, which outliers are measured by; make "
            "it again from data of now with: driftline baseline DATA"
        )
    terms = tuple(column_terms(cells[one], columns[one], batch.column(one)) for one in names)
    codes, rarities, points = _placed(terms, batch)
    least = NEIGHBOURS * max(1.0, rows / MOST_POINTS)
    near = []
    for one, code in zip(terms, codes, strict=True):
        near.append(np.bincount(code, minlength=one.cells.size) >= (least if one.axes else 0))
        near[-1][: -2 if one.cells.is_number else 0] = True
    joint, together = None, np.zeros(rows)
    if np.count_nonzero([one.axes for one in terms]) > 1:
        joint, together = _fit_joint(points, _all_near(near, codes))
    scores, is_repeated = _scores(_alone(rarities), together), repeats(codes)
    first = np.sort(scores[~is_repeated])[-SAMPLE_OUTLIERS - 1 :]
    threshold = min(OUTLIER_SCORE, float(first[0]) + 10.0**-DIGITS)
    hours = None
    if (time := kept.roles.timestamp) is not None:
        is_known, moments = event_times(batch.column(time))
        hours = np.full(rows, UNKNOWN_HOUR, np.int64)
        hours[is_known] = moments // HOUR_US
    return RowScorer(terms, tuple(near), joint, scores, is_repeated, hours, threshold)


def _placed(
    columns: Sequence[ColumnTerms], batch: pa.RecordBatch
) -> tuple[Codes, Numbers, Numbers]:
    """Return rows' cells and terms, shape (columns, rows), and points, shape (rows, axes).

    A column that rows lack is rare by nothing, and unfit.
    """
    names, rows = set(batch.schema.names), batch.num_rows
    codes = np.stack([np.full(rows, one.cells.size - 1) for one in columns])
    terms, points = np.zeros(codes.shape), [np.zeros((rows, one.axes)) for one in columns]
    for at, one in enumerate(columns):
        if one.cells.column in names:
            codes[at] = one.codes(batch)
            terms[at], points[at] = one.of_rows(batch, codes[at])
    return codes, terms, np.hstack(points)


def _all_near(near: Sequence[Flags], codes: Codes) -> Flags:
    """Return whether rows have neighbours in all columns, shape (rows,)."""
    found = [one[code] for one, code in zip(near, codes, strict=True)]
    return np.asarray(np.all(found, axis=0))


def _fit_joint(points: Numbers, is_near: Flags) -> tuple[Joint, Numbers]:
    """Fit on a sample; return also how rare its own rows are, in nats, shape (rows,).

    Each quarter of the sample is measured by the others.
    """
    # A heavy package that only this kind needs.
    from sklearn.neighbors import LocalOutlierFactor

    random = np.random.default_rng(0)
    # As many points in each model: factors grow with them.
    size = min(MOST_POINTS, len(points) * (FOLDS - 1) // FOLDS)

    def fit(rows: Numbers) -> tuple[Any, Numbers]:
        few = rows[random.permutation(len(rows))[:size]]
        few = few + random.normal(scale=RESOLUTION, size=few.shape)
        with on_one_thread():
            return LocalOutlierFactor(min(NEIGHBOURS, len(few) - 1), novelty=True).fit(few), few

    fold = np.arange(len(points)) * STRETCHES // len(points) % FOLDS
    factors = np.zeros(len(points))
    for one in range(FOLDS):
        factors[fold == one] = _factors(fit(points[fold != one])[0], points[fold == one])
    factors[~is_near] = 0.0
    model, few = fit(points)
    known = np.sort(factors)
    return Joint(few, model, known), _rarity(known, factors)


def _factors(model: Any, points: Numbers) -> Numbers:  # noqa: ANN401 - It has no types.
    """Return the logarithms of the local outlier factors, shape (rows,)."""
    if not len(points):
        return np.zeros(0)
    with on_one_thread():
        return np.asarray(np.log(np.maximum(-model.score_samples(points), 1.0)))


def _rarity(known: Numbers, factors: Numbers) -> Numbers:
    """Return minus the logarithm of the share of ascending factors at or above others, in nats.

    Beyond the last, the tail is exponential, with the mean excess of the last fiftieth, taken two
    standard errors longer: a small sample underestimates rarity, never the reverse.

    References
    ----------
    Pickands, Annals of Statistics 3, 1975 (peaks over a threshold).
    """
    excess = known[known > (knot := np.quantile(known, 1.0 - TAIL_SHARE))] - knot
    scale = 1.0
    if len(excess) >= FEWEST_EXCESSES:
        scale = min(1.0, float(excess.mean()) * (1.0 + 2.0 / math.sqrt(len(excess))))
    above = len(known) - np.searchsorted(known, factors)
    beyond = np.maximum(factors - known[-1], 0.0) / scale
    return np.asarray(np.log(len(known) / np.maximum(above, 1)) + beyond)


def _alone(terms: Numbers) -> Numbers:
    """Return how rare the rarest of terms, (columns, rows), is, after Bonferroni."""
    return np.asarray(terms.max(axis=0) - math.log(LOOKS * len(terms)) + math.log(ALONE))


def _scores(alone: Numbers, together: Numbers) -> Numbers:
    """Return the score of the greater rarity, corrected for two looks."""
    surprise = np.maximum(alone, together + math.log1p(-ALONE))
    surprise = np.minimum(surprise, FAR) + np.log1p(np.maximum(surprise - FAR, 0.0))
    return np.asarray(np.round(np.maximum(surprise, 0.0) / math.log(10.0), DIGITS))
