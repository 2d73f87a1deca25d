"""Checks whether the labels so far are a fair sample of each group's rows.

Recall and specificity are those of labelled rows. Where labels depend on the model's answer, as
with an outcome that comes first, they differ from those of all rows without any change in treatment
(docs/labels.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from driftline.monitors.kinds.bias.judgement import Finding, WindowGroup
from driftline.monitors.kinds.bias.metrics import LABEL_FREE, MISSING
from driftline.monitors.kinds.bias.reference import BiasReference
from driftline.monitors.results.metric import UNFAIR_LABELS
from driftline.monitors.results.violation import percent

# Metrics that no label of a row can change.
UNLABELLED = (*LABEL_FREE, "FT")
# Of windows whose labels lack at random, so many wait for more of them.
LEVEL = 0.01
# A share that is off by so much of a standard deviation moves no metric by its tolerance.
LEAST_SHIFT = 0.02

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelSample:
    """The labelled rows of a group, or of its others, beside all of them."""

    chance: float = 1.0  # Of so different ones where labels lack at random.
    words: str = ""  # What is different.

    @property
    def is_unfair(self) -> bool:
        """Whether labelled rows are chosen by the model's answer."""
        return self.chance < LEVEL


def label_samples(reference: BiasReference, window: Sequence[WindowGroup]) -> list[LabelSample]:
    """Return the less fair sample of each group and its others."""
    plan, found = reference.plan, []
    for group, one in zip(plan.groups, window, strict=True):
        usual = plan.reference_pair(group)
        now = one.pair.sum(axis=1)
        before = np.zeros_like(now) if usual is None else usual.sum(axis=1)
        parts = [
            label_sample(now[side], before[side], who, plan.positive_text)
            for side, who in enumerate((f"all but {group.name}", group.name))
        ]
        worst = min(parts, key=lambda part: part.chance)
        found.append(replace(worst, chance=min(1.0, worst.chance * len(parts))))
    return found


def label_sample(now: Counts, before: Counts, who: str, positive: str) -> LabelSample:
    """Compare predictions of labelled rows with those of all, counts (3, 3): label by prediction.

    Where labelled rows are closer to the reference's labelled rows, `before`, than all rows are,
    labels come as they came there, such as of accepted applications alone.
    """
    labelled, missing = now[:MISSING, :MISSING].sum(axis=0), now[MISSING, :MISSING]
    table = np.stack([labelled, missing]).astype(np.float64)
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return LabelSample()
    share, of_all = labelled[1] / labelled.sum(), table[:, 1].sum() / table.sum()
    usual = before[:MISSING, :MISSING].sum(axis=0)
    is_off = abs(share - of_all) > LEAST_SHIFT * np.sqrt(of_all * (1.0 - of_all))
    if usual.any():
        known = usual[1] / usual.sum()
        is_off &= abs(share - known) > abs(of_all - known)
    if not is_off:
        return LabelSample()
    words = (
        f"{who}: {percent(float(labelled.sum() / table.sum()))} of the rows have labels, their "
        f'share predicted as "{positive}" is {share:.2g}, of all rows {of_all:.2g}'
    )
    return LabelSample(chance_of_table(table), words)


def chance_of_table(table: NDArray[np.float64]) -> float:
    """Return the p-value of Pearson's test of a 2 x 2 table, with Yates' correction.

    Same as `scipy.stats.chi2_contingency`, whose import takes half a second and 45 MiB.
    """
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    distance = np.maximum(np.abs(table - expected) - 0.5, 0.0)
    return float(chdtrc(1, (distance**2 / expected).sum()))


def withhold(
    findings: Sequence[Finding], samples: Sequence[LabelSample]
) -> tuple[list[Finding], list[str]]:
    """Leave metrics without a fair sample of labels unjudged; name those that were violations."""
    found, withheld = [], []
    for one in findings:
        result, sample = one.result, samples[one.group]
        if result.name not in UNLABELLED and result.judged and sample.is_unfair:
            withheld += [result.shown] * result.violated
            result = replace(
                result, bound=None, operator="", p_value=None, severity=None,
                note=f"{UNFAIR_LABELS}{sample.words}",
            )  # fmt: skip
            one = replace(one, result=result, excess=0.0, ratio=None)
        found.append(one)
    return found, withheld
