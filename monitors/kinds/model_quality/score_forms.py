"""Whether the scores of a window came in another form than the reference's.

On another scale, as percents or log-odds, none of them is read: those that lie between 0 and 1 by
chance mean something else. Scores of single rows that lie outside, however many, are left out by
themselves: they are a scale only where those inside are no denser than just beyond. Or turned: 1 -
score in place of score, whose estimates would be taken at their word, and whose area under the
curve is as good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special, stats

from driftline.baseline.answers import ANY, ROUNDING, Answers, read_answers
from driftline.monitors.kinds.model_quality.blocks import MIN_SUPPORT
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.monitors.results.violation import plural

PERCENT = 0.01
# As percents, at least this part of the rows that would lie above 1 do; on another scale, scores
# just beyond 0 or 1 are at least so dense as between them.
MOST = 0.5
# Parts of the reference, in order of time, whose scores show how far usual ones lie from all.
PARTS = 10
# The distance of Kolmogorov and Smirnov that chance exceeds once in a hundred times.
CHANCE = 1.63


def read_on_scale(
    known: Answers | None,
    table: pa.Table,
    **named: Any,  # noqa: ANN401 - as read_answers takes them
) -> Answers:
    """Read answers; none whose scores all are on another scale, also where these lie in 0 to 1."""
    answers = read_answers(table, limits=None if known is None else known.limits, **named)
    if known is not None:
        answers = replace(answers, naive_error=known.naive_error)
    usual = None if known is None else known.probability
    if not answers.impossible or usual is None or not len(usual):
        return answers
    rows = len(answers) + answers.impossible
    some = f"({plural(answers.impossible, 'row')} outside 0 to 1)"
    every = read_answers(table, limits=ANY, **named).probability
    assert every is not None  # The reference has scores.
    if answers.percents and _is_percent(every, usual):
        scale = f"in what looks like percent {some}: divide by 100"
    elif not _runs_on(every):
        return answers
    elif mend := _log_odds(every, usual):
        scale = f"in what looks like log-odds {some}: apply a {mend}"
    else:
        scale = f"on another scale {some[:-1]}, as dense just beyond)"
    return replace(answers.take(slice(0)), impossible=rows, scale=scale)


def _is_percent(scores: Numbers, usual: Numbers) -> bool:
    """Whether a hundredth of scores is distributed as the reference's, and those up to 1 are not.

    Of the reference, what is above 1% is beyond 1 then.
    """
    outside, inside = _outside(scores), scores[~_outside(scores)].ravel()
    expected = usual > PERCENT if usual.ndim == 1 else (usual > PERCENT).any(axis=1)
    if outside.mean() < expected.mean() * MOST:
        return False
    near = _distance(scores.ravel() * PERCENT, usual.ravel())
    return not len(inside) or _distance(inside, usual.ravel()) >= 2.0 * near


def _runs_on(scores: Numbers) -> bool:
    """Whether scores do not stop at 0 and 1: they are about as dense just beyond.

    By rows, and by values that differ: -1 in place of any number of scores is one value.
    """
    if not len(scores):
        return False  # All are infinite.
    for values in (scores.ravel(), np.unique(scores)):
        inside = np.count_nonzero(~_outside(values))
        below = np.count_nonzero((values >= -1.0) & (values < -ROUNDING))
        above = np.count_nonzero((values > 1.0 + ROUNDING) & (values <= 2.0))
        if max(below, above) < inside * MOST:
            return False
    return True


def _outside(scores: Numbers) -> NDArray[np.bool_]:
    """Return which rows have a score outside 0 to 1, shape (rows,)."""
    outside = (scores < -ROUNDING) | (scores > 1.0 + ROUNDING)
    return np.asarray(outside if outside.ndim == 1 else outside.any(axis=1))


def _log_odds(scores: Numbers, usual: Numbers) -> str:
    """Return the function by which scores become distributed as the reference's; "" for none."""
    is_one = scores.ndim == 1
    likely = special.expit(scores) if is_one else special.softmax(scores, axis=1)
    near, far = (_distance(one.ravel(), usual.ravel()) for one in (likely, scores))
    return ("sigmoid" if is_one else "softmax") if far >= 2.0 * near else ""


def why_turned(reference: Answers, scored: Answers) -> str:
    """Return why a window's scores look turned; "" where they do not.

    Either they rank predictions the other way round than the reference's, or their mirror image
    lies as near to the reference's scores as its own parts do, and they lie more than twice as far.
    """
    usual, said = reference.probability, scored.probability
    if reference.problem != "binary" or usual is None or said is None:
        return ""
    here, there = _lead(scored), _lead(reference)
    if here * there < 0.0:
        return "scores rank predictions the other way round than the reference's"
    near, far = _distance(1.0 - said, usual), _distance(said, usual)
    if far < 2.0 * near:
        return ""
    order = np.arange(len(usual)) if reference.time_us is None else reference.time_us.argsort()
    parts = np.array_split(usual[order], PARTS)
    most = max(_distance(one, usual) for one in parts) + CHANCE / np.sqrt(len(said))
    if near > most or far < 2.0 * most:
        return ""
    return "1 - score is distributed as the reference's scores are, score is not"


def _distance(some: Numbers, others: Numbers) -> float:
    return float(stats.ks_2samp(some, others, method="asymp").statistic)


def _lead(answers: Answers) -> float:
    """Return by how much rows predicted positive have the higher score; 0 where few tell."""
    assert answers.probability is not None  # Checked by whoever asks.
    is_positive = answers.answer == 1
    if min(is_positive.sum(), (~is_positive).sum()) < MIN_SUPPORT:
        return 0.0
    return float(answers.probability[is_positive].mean() - answers.probability[~is_positive].mean())
