"""Whether the scores of a window came in another form than the reference's.

On another scale none of them is read: those that lie between 0 and 1 by chance mean something
else. Or turned: 1 - score in place of score, whose estimates would be taken
at their word, and whose area under the curve is as good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.answers import ANY, Answers, read_answers
from driftline.monitors.kinds.model_quality.blocks import MIN_SUPPORT
from driftline.monitors.results.score_scale import distance, scale_of

# Parts of the reference, in order of time, whose scores show how far usual ones lie from all.
PARTS = 10
# A reference with fewer scores of 0 and 1 than this part has others in any window.
MOSTLY = 0.5
# The distance of Kolmogorov and Smirnov that chance exceeds once in a hundred times.
CHANCE = 1.63


def read_on_scale(
    known: Answers | None,
    table: pa.Table,
    **named: Any,  # noqa: ANN401 - as read_answers takes them
) -> Answers:
    """Read answers; none whose scores all are on another scale, also where these lie in 0 to 1."""
    answers = read_answers(table, limits=None if known is None else known.limits, **named)
    usual = None if known is None else known.probability
    if not answers.impossible or usual is None or not len(usual):
        return answers
    every = read_answers(table, limits=ANY, **named).probability
    assert every is not None  # The reference has scores.
    if not (scale := scale_of(every, answers.impossible)):
        return answers
    rows = len(answers) + answers.impossible
    return replace(answers.take(slice(0)), impossible=rows, scale=scale)


def why_turned(reference: Answers, scored: Answers) -> str:
    """Return why a window's scores look turned, or are classes; "" where they do not.

    Turned they rank predictions the other way round than the reference's, or their mirror image
    lies as near to the reference's scores as its own parts do, and they lie more than twice as far.
    """
    usual, said = reference.probability, scored.probability
    if reference.problem != "binary" or usual is None or said is None:
        return ""
    if np.isin(said, (0.0, 1.0)).all() and np.isin(usual, (0.0, 1.0)).mean() < MOSTLY:
        return "all scores are 0 or 1: classes in place of scores?"
    here, there = _lead(scored), _lead(reference)
    if here * there < 0.0:
        return "scores rank predictions the other way round than the reference's"
    near, far = distance(1.0 - said, usual), distance(said, usual)
    if far < 2.0 * near:
        return ""
    order = np.arange(len(usual)) if reference.time_us is None else reference.time_us.argsort()
    parts = np.array_split(usual[order], PARTS)
    most = max(distance(one, usual) for one in parts) + CHANCE / np.sqrt(len(said))
    if near > most or far < 2.0 * most:
        return ""
    return "1 - score is distributed as the reference's scores are, score is not"


def _lead(answers: Answers) -> float:
    """Return by how much rows predicted positive have the higher score; 0 where few tell."""
    assert answers.probability is not None  # Checked by whoever asks.
    is_positive = answers.answer == 1
    if min(is_positive.sum(), (~is_positive).sum()) < MIN_SUPPORT:
        return 0.0
    return float(answers.probability[is_positive].mean() - answers.probability[~is_positive].mean())
