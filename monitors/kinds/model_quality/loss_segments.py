"""Where the model loses most: the level of a text column, or the hour, with the largest excess.

A row's loss is its squared error, of probabilities where there are some, else whether it was wrong.
The excess of a segment is its loss beyond what the reference's mean row would have had.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.outcomes import class_texts
from driftline.monitors.kinds.model_quality.answers import Answers
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.monitors.results.violation import Segment

HOUR = "hour of the day (UTC)"
HOUR_US = 3_600_000_000
# A column with more levels than this in one window is no segment that a person would name.
LEVELS_MAX = 200
# A segment is named when it holds so much of the excess, and so much more than its share of rows.
SEGMENT_EXCESS = 0.3
SEGMENT_LIFT = 1.5


def losses(answers: Answers) -> Numbers:
    """Give each row's loss, shape (rows,): squared error, Brier's for probabilities, or 0 and 1."""
    found: Numbers
    if answers.problem == "regression":
        found = (answers.label.astype(np.float64) - answers.answer.astype(np.float64)) ** 2
    elif answers.probability is None:
        found = (answers.label != answers.answer).astype(np.float64)
    elif answers.problem == "binary":
        found = (answers.probability - answers.label.astype(np.float64)) ** 2
    else:
        truth = np.eye(len(answers.classes))[answers.label.astype(np.intp)]
        found = ((answers.probability - truth) ** 2).sum(axis=1)
    return found


def find_segment(answers: Answers, table: pa.Table, reference: Answers | None) -> Segment | None:
    """Name the segment that holds most of the excess loss, if one stands out.

    Returns
    -------
    Segment or None
        ``share_of_culprits`` is its share of the excess, 0-1.
    """
    if not len(answers):
        return None
    loss = losses(answers)
    usual = float(losses(reference).mean()) if reference is not None and len(reference) else 0.0
    total = float(loss.sum()) - usual * len(loss)
    if total <= 0 or not np.isfinite(total):
        return None
    best: tuple[float, Segment] | None = None
    for name, codes, levels in _columns(answers, table):
        rows = np.bincount(codes, minlength=len(levels))
        excess = (np.bincount(codes, loss, len(levels)) - usual * rows) / total
        index = int(np.argmax(np.minimum(excess, 1.0) - rows / len(loss)))
        share, of_rows = float(min(excess[index], 1.0)), float(rows[index] / len(loss))
        if share < SEGMENT_EXCESS or share < SEGMENT_LIFT * of_rows:
            continue
        if best is None or share - of_rows > best[0]:
            best = (share - of_rows, Segment(name, levels[index], share, of_rows))
    return best[1] if best else None


def _columns(answers: Answers, table: pa.Table) -> list[tuple[str, NDArray[np.intp], list[str]]]:
    """Give the columns that segments are named by: each row's level, and the levels' names."""
    found = []
    for name in table.column_names:
        kind = table.schema.field(name).type
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
            continue
        texts = class_texts(table[name].take(pa.array(answers.places)))
        levels = [str(one) for one in texts.dictionary.to_pylist()]
        if 2 <= len(levels) <= LEVELS_MAX and not texts.null_count:
            codes = texts.indices.to_numpy(zero_copy_only=False).astype(np.intp)
            found.append((name, codes, levels))
    if answers.time_us is not None:
        hours = (answers.time_us // HOUR_US % 24).astype(np.intp)
        if len(np.unique(hours)) > 1:
            found.append((HOUR, hours, [f"{hour:02d}" for hour in range(24)]))
    return found
