"""Whether the scores of two classes came turned: 1 - score in place of score.

Estimates take scores at their word, and the area under the curve of turned ones is as good.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.monitors.kinds.model_quality.skill import MIN_SUPPORT

# Parts of the reference, in order of time, whose scores show how far usual ones lie from all.
PARTS = 10
# The distance of Kolmogorov and Smirnov that chance exceeds once in a hundred times.
CHANCE = 1.63


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
