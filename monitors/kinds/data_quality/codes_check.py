"""Finds codes that exchanged their rows though each has as many as before, which no drift shows.

Where two airlines of equal size swap codes, the shares stay, but the co-occurring values of other
columns (airports, distances, hours) are exchanged.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import Predicate
from driftline.monitors.results.violation import Draft, Fault, Segment
from driftline.monitors.root_cause.faults.codes import are_exchanged_in, exchanged_texts
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED
from driftline.monitors.root_cause.faults.exchanged import is_exchanged_in
from driftline.monitors.root_cause.segment_counts import reference_rows

CODES_CHECK = "codes_check"


def exchanged_codes_drafts(context: FaultContext, passed_over: Collection[str]) -> list[Draft]:
    """Return a draft for each text with exchanged codes that nothing else reports."""
    drafts = []
    for one in exchanged_texts(context):
        if one.column in passed_over:
            continue
        predicate = Predicate(one.column, "in", values=one.codes)
        share = float(predicate.mask(context.rows).to_numpy(zero_copy_only=False).mean())
        drafts.append(
            Draft(
                feature=one.column,
                check=CODES_CHECK,
                description=f"Values keep the company that others had: {one.fault.text}.",
                what=one.fault.text,
                predicate=predicate,
                share_reference=0.0,
                share=share,
                fault=one.fault,
                severity="page",
            )
        )
    return drafts


def is_fault_beside(context: FaultContext, name: str, fault: Fault, segment: Segment) -> bool:
    """Whether codes, or columns, look exchanged beside a segment, too.

    The other code may gain what one loses there, so shares hardly show it; and values from another
    column may all lie where they came from.
    """
    masks = [reference_rows(one, context.all_cells, context.sample) for one in segment.predicates]
    known = [one for one in masks if one is not None]
    if len(known) < len(masks) or context.sample is None:
        return False
    inside = [one.mask(context.rows).to_numpy(zero_copy_only=False) for one in segment.predicates]
    beside = context.of_rows(
        context.rows.filter(pa.array(~np.logical_and.reduce(inside))),
        context.sample.take(np.flatnonzero(~np.logical_and.reduce(known))),
    )
    if fault.kind == EXCHANGED:
        return is_exchanged_in(beside, fault.columns)
    return are_exchanged_in(context, beside, name)
