"""Answers of the model, embeddings and free text: single columns, judged by the rule of all others.

The answers' counts are exact on both sides; what stands for embeddings and text is counted in the
samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.derived_rows import UNKNOWN_HOUR, DerivedRows
from driftline.baseline.sample import RowSample
from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import Decider, Decision
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.evaluation import reference_columns
from driftline.monitors.kinds.multivariate.scores import cell_counts

HOUR_US = 3_600_000_000


def shared(budget: Budget, share: float) -> Budget:
    """Give a part of a budget, 0-1, to one of several questions."""
    return replace(budget, false_alarms_per_year=budget.false_alarms_per_year * share)


def judge_answers(
    baseline: Baseline,
    counts: Mapping[str, NDArray[np.int64]],
    rows: int,
    *,
    length: timedelta | None,
    budget: Budget,
) -> Decision:
    """Judge the model's answers, each column by its cells."""
    known = reference_columns(baseline)
    names = [one.name for one in baseline.signature.outputs if one.name in known]
    references = {name: known[name] for name in names}
    decider = Decider(references, baseline.blocks, length, budget)
    return decider.judge(WindowCounts(None, None, rows, counts))


def judge_derived(
    sample: RowSample, window: RowSample, *, length: timedelta | None, budget: Budget
) -> Decision:
    """Judge what stands for embeddings and free text."""
    known, found = sample.derived, window.derived
    if known is None or found is None:
        return Decision({}, {}, 0.0)
    counts = cell_counts(known.codes, known.cells)
    references = {
        name: ReferenceColumn(known.cells[name], counts[name].astype(np.float64))
        for name in known.codes
    }
    decider = Decider(references, _blocks(known, sample.hours), length, budget)
    now = cell_counts(found.codes, found.cells)
    return decider.judge(WindowCounts(None, None, len(window), now))


def _blocks(known: DerivedRows, hours: NDArray[np.int64] | None) -> BlockCounts | None:
    """Count the sampled rows by the hour."""
    if hours is None:
        return None
    timed = hours != UNKNOWN_HOUR
    counter = BlockCounter({name: cell.size for name, cell in known.cells.items()})
    codes = {name: found[timed].astype(np.int64) for name, found in known.codes.items()}
    counter.update(hours[timed] * HOUR_US, codes)
    return counter.result()
