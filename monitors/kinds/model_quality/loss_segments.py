"""Finds the segment in which a model became worse: the text value, or hour, with the added loss.

A segment that was always hard holds much loss but none of the added: each is compared with its own
errors in the reference, kept by level. A segment without such errors is not named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, Numbers
from driftline.baseline.losses import TYPES, LevelLosses, level_sums, row_losses
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing
from driftline.monitors.results.violation import ERROR_SHARE, Segment, SegmentChange
from driftline.monitors.root_cause.segments import ALL, NOT_NARROWED, SegmentFinding
from driftline.signature import Column
from driftline.stats.added_loss import MIN_ROWS, AddedLoss, added_loss
from driftline.stats.blocks import HOUR_US, NO_TIME
from driftline.stats.clusters import cluster_rows
from driftline.stats.decomposition import QUIET

HOUR = "hour of the day (UTC)"
# A column with more rare and new values than this in one window is no segment to name.
RARE_MAX = 200
NO_LOSSES = "not narrowed down: the baseline has no errors by segment; fit it anew"


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """Losses of a window and of the reference by the segments of one column, shape (3, S)."""

    window: Numbers
    reference: Numbers
    whole: Numbers  # Of all rows of the reference, shape (3,).
    conditions: tuple[Predicate, ...]  # Of the first segments; the others cannot be named.

    @property
    def usual(self) -> float:
        """Mean loss of all rows of the reference."""
        return float(self.whole[1] / max(self.whole[0], 1.0))


def find_loss_segment(
    answers: Answers,
    table: pa.Table,
    reference: Answers | None,
    baseline: Baseline,
) -> SegmentFinding:
    """Return the segment with most of the added loss, or why none can be named.

    `table` are the rows behind `answers`, with texts; `reference` supplies the reference's hours,
    `baseline` its losses by level.
    """
    if not len(answers):
        return SegmentFinding()
    own = row_losses(answers)
    texts = [
        one for one in baseline.signature.features
        if one.role == "feature" and one.type in TYPES and one.name in table.column_names
    ]  # fmt: skip
    if reference is None or not len(reference):
        return SegmentFinding(words=NO_LOSSES if texts else "")
    if own.mean() <= row_losses(reference).mean():
        return SegmentFinding()  # Nothing was added.
    losses = baseline.losses or {}
    columns = [
        _levels(answers, own, table[one.name], one, losses[one.name])
        for one in texts if one.name in losses
    ] + [*_hours(answers, own, reference)]  # fmt: skip
    found = _best(columns, _effect(answers, own), _loss_name(answers))
    if found is not None:
        return SegmentFinding(found)
    if texts and baseline.losses is None:
        return SegmentFinding(words=NO_LOSSES)
    return SegmentFinding(words=NOT_NARROWED if columns else "")


def _best(columns: Sequence[_Column], effect: float, loss: str) -> Segment | None:
    """Return the segment with the most loss beyond its expected part."""
    tried = sum(int((one.window[0] >= MIN_ROWS).sum()) for one in columns)
    best: tuple[float, Segment] | None = None
    for one in columns:
        found = added_loss(one.window, one.reference, one.usual, effect=effect)
        able = np.flatnonzero(found.stands(tried)[: len(one.conditions)])
        if able.size:
            at = int(able[np.argmax(found.score[able])])
            if best is None or found.score[at] > best[0]:
                best = float(found.score[at]), _segment(one, found, at, loss)
    return None if best is None else best[1]


def _effect(answers: Answers, losses: Numbers) -> float:
    """Return the design effect of a mean loss: how much more it varies than by single rows."""
    apart = losses - losses.mean()
    cluster = cluster_rows(answers.time_us)
    alone = float((apart**2).sum())
    if cluster is None or not alone:
        return 1.0
    sums = np.bincount(cluster, apart)
    count = len(sums)
    return max(float((sums**2).sum()) * count / max(count - 1, 1) / alone, 1.0)


def _levels(
    answers: Answers, losses: Numbers, values: pa.ChunkedArray, column: Column, known: LevelLosses
) -> _Column:
    """Return the losses by the levels that the reference tells apart.

    Values it had rarely or never are compared with all such values of the reference.
    """
    plain = coerce(values.take(pa.array(answers.places)).combine_chunks(), column.type)[0]
    texts = plain.cast(pa.string())
    texts = pc.if_else(is_missing(texts), pa.scalar(None, pa.string()), texts)
    coded = shortened(texts).dictionary_encode()
    levels = len(known.levels)
    at = pc.index_in(coded.dictionary, pa.array(known.levels, pa.string()))
    places = np.append(pc.fill_null(at, levels).to_numpy(zero_copy_only=False), levels + 1)
    indices = pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy(zero_copy_only=False)
    often = np.bincount(indices, minlength=places.size)
    rare = np.flatnonzero((places == levels) & (often >= MIN_ROWS))
    rare = rare if rare.size <= RARE_MAX else rare[:0]
    # Levels, empty, rare values by themselves, all others.
    home = np.array([*range(levels), levels + 1, *[levels] * (rare.size + 1)])
    to = np.where(places == levels, home.size - 1, np.minimum(places, levels))
    to[rare] = levels + 1 + np.arange(rare.size)
    shown = [*known.levels, None, *coded.dictionary.take(pa.array(rare)).to_pylist()]
    whole = known.sums.sum(axis=1)
    return _Column(
        level_sums(to[indices], losses, home.size),
        _held_against(known.sums, whole)[:, home],
        whole,
        tuple(
            Predicate(column.name, "null") if text is None else Predicate(column.name, "eq", text)
            for text in shown
        ),
    )


def _hours(answers: Answers, losses: Numbers, reference: Answers) -> Iterator[_Column]:
    """Return the hours of the day, where both sides have times."""
    if answers.time_us is None or reference.time_us is None:
        return
    usual = row_losses(reference)
    known = level_sums(_hour(reference.time_us), usual, 25)
    whole = known.sum(axis=1)
    yield _Column(
        level_sums(_hour(answers.time_us), losses, 25),
        _held_against(known, whole),
        whole,
        tuple(Predicate(HOUR, "eq", float(hour)) for hour in range(24)),
    )


def _held_against(known: Numbers, whole: Numbers) -> Numbers:
    """Return the reference's sums; unseen segments are compared with all of its rows."""
    return np.where(known[0] > 0, known, whole[:, None])


def _hour(times_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row's hour; 24 without a time, which is not named."""
    return np.where(times_us == NO_TIME, 24, times_us // HOUR_US % 24)


def _segment(column: _Column, found: AddedLoss, at: int, loss: str) -> Segment:
    """Describe a segment and its mean losses."""
    rows, losses, _ = column.window
    known, usual, _ = column.reference
    all_known, all_usual, _ = column.whole
    share, others = float(found.share[at]), all_known - known[at]
    change = SegmentChange(
        share=share,
        before=float(usual[at] / known[at]),
        now=float(losses[at] / rows[at]),
        before_elsewhere=float((all_usual - usual[at]) / others) if others else column.usual,
        now_elsewhere=float((losses.sum() - losses[at]) / max(rows.sum() - rows[at], 1.0)),
        is_all=share >= ALL and abs(float(found.rest[at])) < QUIET,
        loss=loss,
    )
    return Segment((column.conditions[at],), share, float(rows[at] / rows.sum()), change)


def _loss_name(answers: Answers) -> str:
    if answers.problem == "regression":
        return "mean squared error"
    return ERROR_SHARE if answers.probability is None else "Brier score"
