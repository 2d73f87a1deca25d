"""All joint questions about one window, each with its share of the budget of false alarms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.sample import RowSample
from driftline.baseline.store import Baseline
from driftline.monitors.decision.decider import Decision
from driftline.monitors.joint.blocks import time_blocks
from driftline.monitors.joint.classifier import Domain, Features, judge_domain
from driftline.monitors.joint.correlation import PairChange, judge_pairs
from driftline.monitors.joint.reading import JointReading, traits_of
from driftline.monitors.joint.reconstruction import Reconstruction, judge_reconstruction
from driftline.monitors.joint.scores import (
    Codes,
    Score,
    cell_counts,
    plan_scores,
    score_rows,
    score_tables,
)
from driftline.monitors.joint.shares import judge_answers, judge_derived, shared
from driftline.monitors.question import Question

__all__ = ["SHARES", "JointJudgement", "judge_window"]

# Of the budget of false alarms; what has nothing to judge leaves its share unspent.
SHARES = {
    "correlation": 0.3,
    "reconstruction": 0.1,
    "domain": 0.2,
    "prediction": 0.2,
    "derived": 0.2,
}
# A classifier takes seconds, and what it finds does not hurry: shorter windows go without.
SHORTEST_FOR_DOMAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class JointJudgement:
    """The answers to all joint questions about one window.

    Parameters
    ----------
    plan
        The score columns.
    pairs
        The strongest changes of correlations, most first.
    reconstruction, domain
        None where they could not be judged.
    is_domain_due
        Whether the domain classifier was to be asked.
    answers, derived
        The model's answers; what stands for embeddings and free text.
    window
        The sampled rows.
    block_count
        Blocks of the reference from which its own variation is known; 0 for none.
    """

    plan: tuple[Score, ...]
    pairs: tuple[PairChange, ...]
    reconstruction: Reconstruction | None
    domain: Domain | None
    is_domain_due: bool
    answers: Decision
    derived: Decision
    window: RowSample
    block_count: int


def judge_window(question: Question, sample: RowSample, reading: JointReading) -> JointJudgement:
    """Ask all joint questions about a window that was read."""
    baseline, budget = question.baseline, question.budget
    length = question.facts.window.length if question.facts else None
    window = reading.sampler.result()
    alpha = budget.false_alarms_per_year / budget.windows_per_year
    known, came = _present(baseline, reading.seen, sample), _present(baseline, reading.seen, window)
    codes, now, cells = _columns(baseline, known, came)
    counts, found = cell_counts(codes, cells), cell_counts(now, cells)
    plan = plan_scores(counts, cells)
    tables, spreads = score_tables(plan, counts, cells)
    own, own_spreads = score_tables(plan, found, cells)
    scores = score_rows(plan, tables, codes)
    blocks = time_blocks(sample, length, window.row_count / max(sample.row_count, 1))
    pairs = judge_pairs(
        plan,
        scores,
        score_rows(plan, own, now),
        (spreads, own_spreads),
        blocks,
        alpha=alpha * SHARES["correlation"],
    )
    reconstruction = judge_reconstruction(
        plan,
        scores,
        score_rows(plan, tables, now),
        blocks,
        alpha=alpha * SHARES["reconstruction"],
    )
    is_due = length is None or length >= SHORTEST_FOR_DOMAIN
    domain = None
    if is_due:
        names = tuple(name for name in codes if np.count_nonzero(counts[name] + found[name]) > 1)
        domain = judge_domain(
            names,
            _features(names, codes),
            _features(names, now),
            blocks,
            alpha=alpha * SHARES["domain"],
            seed=question.seed,
        )
    return JointJudgement(
        plan=plan,
        pairs=tuple(pairs),
        reconstruction=reconstruction,
        domain=domain,
        is_domain_due=is_due,
        answers=judge_answers(
            baseline,
            reading.counts,
            window.row_count,
            length=length,
            budget=shared(budget, SHARES["prediction"]),
        ),
        derived=judge_derived(known, came, length=length, budget=shared(budget, SHARES["derived"])),
        window=window,
        block_count=int(blocks.max(initial=-1)) + 1,
    )


def _present(baseline: Baseline, seen: Collection[str], sample: RowSample) -> RowSample:
    """Leave out what the data lack: a missing column is data quality's to find, and no drift.

    With any of its columns a whole vector goes: how it is seen follows from all of them.
    """
    broken = [one for one in traits_of(baseline) if not {*(one.parts or (one.column,))} <= {*seen}]
    gone = {part for one in broken for part in one.parts}
    codes = {name: one for name, one in sample.codes.items() if name in seen and name not in gone}
    derived = sample.derived and sample.derived.without({one.column for one in broken})
    return replace(sample, codes=codes, derived=derived)


def _columns(
    baseline: Baseline, sample: RowSample, window: RowSample
) -> tuple[dict[str, Codes], dict[str, Codes], dict[str, Cells]]:
    """Give the codes of both sides, derived columns in place of what they are derived of."""
    left_out: set[str] = set()
    cells = dict(baseline.cells)
    codes, now = dict(sample.codes), dict(window.codes)
    if sample.derived is not None and window.derived is not None:
        for one in traits_of(baseline):
            left_out |= {one.column, *one.parts}
        codes |= sample.derived.codes
        now |= window.derived.codes
        cells |= sample.derived.cells
    names = [name for name in codes if name not in left_out and name in now]
    return (
        {name: _inside(codes[name], cells[name]) for name in names},
        {name: _inside(now[name], cells[name]) for name in names},
        cells,
    )


def _inside(codes: Codes, cell: Cells) -> Codes:
    """Count numbers beyond the reference's range to the nearest cell within.

    No row of the reference lies there, and of any other data a few do: they would tell both sides
    apart without any change. A range that is left is for data quality to find.
    """
    last = len(cell.edges)
    if last < 2:
        return codes
    return np.where(codes <= last, np.clip(codes, 1, last - 1), codes).astype(codes.dtype)


def _features(names: tuple[str, ...], codes: dict[str, Codes]) -> Features:
    rows: list[NDArray[np.float32]] = [codes[name].astype(np.float32) for name in names]
    return np.column_stack(rows) if rows else np.zeros((0, 0), np.float32)
