"""Checks whether the labels so far are a fair sample of each group's rows.

Recall and specificity are those of labelled rows. Where labels depend on the model's answer, as
with an outcome that comes first, they differ from those of all rows without any change in treatment
(docs/labels.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, read_times
from driftline.baseline.outcomes import outcome_columns
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.bias.facet_counts import (
    Tally,
    answer_codes,
    facet_codes,
    known_cells,
)
from driftline.monitors.kinds.bias.judgement import Finding, GroupCounts, chances_of
from driftline.monitors.kinds.bias.metrics import LABEL_FREE, MISSING, RATES, Pair, measure
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.results.label_sample import ALL_LABELS, LabelSample, label_sample
from driftline.monitors.results.metric import UNFAIR_LABELS
from driftline.monitors.rows import EVENT_TIME
from driftline.roles import Facet, Roles
from driftline.stats.blocks import NO_TIME

# Metrics that no label of a row can change.
UNLABELLED = LABEL_FREE | {"FT"}
# Sides of a row: of the others, of the group, or of neither.
OTHERS, GROUP, NEITHER = 0, 1, 2


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows that have a prediction."""

    answers: Answers
    has_label: NDArray[np.bool_]
    sides: Sequence[NDArray[np.int8]]  # Of each group.

    def of(self, place: int, side: int, *, labelled: bool) -> Answers:
        """Return the rows of a group or of its others, all or those with a label."""
        chosen = self.sides[place] == side
        return self.answers.take(chosen & self.has_label if labelled else chosen)


def label_samples(
    plan: Plan, tallies: Mapping[Facet, Tally], context: CheckContext
) -> list[LabelSample]:
    """Compare rows with and without a label, of each group and of its others.

    Rows are read again only where some with a prediction lack their label.
    """
    truth = next(iter(tallies.values())).counts[..., :MISSING].sum(axis=(0, 1, 3))
    if not truth[MISSING] or not truth[:MISSING].any():
        return [ALL_LABELS] * len(plan.groups)
    roles, outcomes = plan.roles, plan.outcomes
    facets = [column for facet in plan.counted for column in facet.columns]
    names = tuple(dict.fromkeys((*outcome_columns(roles), *facets, EVENT_TIME)))
    rows = _read(context.rows.read(names), roles, plan)
    known = None if outcomes is None else _read(outcomes.table.to_batches(), outcomes.roles, plan)
    return [_sample(plan, place, rows, known) for place in range(len(plan.groups))]


def guard(
    findings: Sequence[Finding],
    counts: Sequence[GroupCounts],
    samples: Sequence[LabelSample],
    level: float,
) -> tuple[list[Finding], list[str]]:
    """Leave metrics without a fair sample of labels unjudged; name those beyond their bounds.

    A violation stays where no labels of the other rows could undo it, at the strictest `level`.
    """
    found, withheld = [], []
    for one in findings:
        result, sample = one.result, samples[one.group]
        violated = result.violated
        if (
            result.name not in UNLABELLED
            and result.judged
            and sample.is_unfair(violated=violated)
            and not (violated and _is_lost(one, counts[one.group], level))
        ):
            withheld += [result.shown] * violated
            result = replace(
                result, bound=None, operator="", p_value=None, severity=None,
                note=f"{UNFAIR_LABELS}{sample.words}",
            )  # fmt: skip
            one = replace(one, result=result, excess=0.0, ratio=None)
        found.append(one)
    return found, withheld


def fairly_labelled(
    plan: Plan, tallies: Mapping[Facet, Tally], samples: Sequence[LabelSample]
) -> Mapping[Facet, Tally]:
    """Return the counts for spans of windows: without labels that are no fair sample."""
    unfair = {
        group.counted
        for group, sample in zip(plan.groups, samples, strict=True)
        if sample.is_unfair(violated=True)
    }
    return {
        facet: replace(one, counts=_unlabelled(one.counts)) if facet in unfair else one
        for facet, one in tallies.items()
    }


def _unlabelled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.zeros_like(counts)
    found[..., MISSING, :] = counts.sum(axis=-2)
    return found


def _is_lost(finding: Finding, group: GroupCounts, level: float) -> bool:
    """Whether a violation holds with the best and the worst labels for the missing rows.

    For either side a share of right answers is highest where labels equal the predictions, and
    lowest where they are the opposite.
    """
    name, required = finding.result.name, finding.required
    if name not in RATES or required is None or finding.result.value is None:
        return False
    for agrees in product((True, False), repeat=2):
        window = group.window.copy()
        for side, answer in product((OTHERS, GROUP), (0, 1)):
            label = answer if agrees[side] else 1 - answer
            window[side, :, label, answer] += window[side, :, MISSING, answer]
            window[side, :, MISSING, answer] = 0
        value = measure(Pair.of(window))[name].value
        if value is None or (value > required) != (finding.result.value > required):
            return False
        if chances_of(replace(group, window=window)).get(name, 1.0) >= level:
            return False
    return True


def _sample(plan: Plan, place: int, rows: _Rows, known: _Rows | None) -> LabelSample:
    """Return the less fair of the group's labels and the others'."""
    name = plan.groups[place].name
    parts = []
    for side, who in ((GROUP, name), (OTHERS, f"all but {name}")):
        reference = None if known is None else known.of(place, side, labelled=True)
        sample = label_sample(
            rows.of(place, side, labelled=False),
            rows.of(place, side, labelled=True),
            reference if reference is not None and len(reference) else None,
        )
        parts.append(replace(sample, words=f"{who}: {sample.words}"))
    worst = min(parts, key=lambda one: one.chance)
    share = min(one.share for one in parts)
    return replace(worst, chance=min(1.0, worst.chance * len(parts)), share=share)


def _read(batches: Iterable[pa.RecordBatch], roles: Roles, plan: Plan) -> _Rows:
    """Read the rows' predictions, whether they have a label, and their groups."""
    said, scores, labels = ([np.empty(0)] for _ in range(3))
    times: list[NDArray[np.int64]] = []
    sides = [[np.empty(0, np.int8)] for _ in plan.groups]
    for batch in (one for one in batches if one.num_rows):
        label, answer = np.divmod(answer_codes(batch, roles), 3)
        is_known = answer != MISSING
        said.append(answer[is_known])
        labels.append(label[is_known])
        scores.append(_scores(batch, roles)[is_known])
        time_us = read_times(pa.Table.from_batches([batch]), roles)
        times.append(np.full(len(said[-1]), NO_TIME) if time_us is None else time_us[is_known])
        cells = {facet: facet_codes(batch, facet) for facet in plan.counted}
        for own, group in zip(sides, plan.groups, strict=True):
            values, cell = cells[group.counted]
            if group.counted in plan.reference:
                values = known_cells(values, plan.reference[group.counted].values)
            side = np.array([*(GROUP if one in group.values else OTHERS for one in values),
                             NEITHER], np.int8)  # fmt: skip
            own.append(side[cell][is_known])
    answer, label, score = (np.concatenate(one) for one in (said, labels, scores))
    time_us = np.concatenate([np.empty(0, np.int64), *times])
    answers = Answers(
        "binary", (label == 1).astype(np.intp), answer.astype(np.intp), ("", plan.positive_text),
        None if np.isnan(score).any() else score,
        None if (time_us == NO_TIME).all() else time_us,
        0, np.arange(len(answer)),
    )  # fmt: skip
    return _Rows(answers, label != MISSING, [np.concatenate(one) for one in sides])


def _scores(batch: pa.RecordBatch, roles: Roles) -> NDArray[np.float64]:
    """Return the positive answer's scores; NaN where there are none."""
    name = "".join(roles.probability[-1:])
    if roles.problem == "multiclass" or name not in batch.schema.names:
        return np.full(batch.num_rows, np.nan)
    found: NDArray[np.float64] = coerce(batch.column(name), "double")[0].to_numpy(
        zero_copy_only=False
    )
    return found
