"""Codes that exchanged their rows, though each has as many as before: no drift shows it.

Where two airlines of equal size take each other's code, the code's shares stay. The company that
each keeps in the other columns does not: its airports, distances and hours are the other one's.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from driftline.baseline.predicate import Predicate
from driftline.monitors.results.violation import Draft
from driftline.monitors.root_cause.faults.codes import renumbered_texts
from driftline.monitors.root_cause.faults.context import FaultContext

CODES_CHECK = "codes_check"


def renumbered_drafts(context: FaultContext, passed_over: Collection[str]) -> list[Draft]:
    """Word the texts whose codes were renumbered, and that nothing else tells of."""
    drafts = []
    for one in renumbered_texts(context):
        if one.column in passed_over:
            continue
        places = [context.cells(one.column).levels.index(code) for code in one.codes]
        share = float(np.isin(context.places(one.column), places).mean())
        drafts.append(
            Draft(
                feature=one.column,
                check=CODES_CHECK,
                description=f"Values keep the company that others had: {one.fault.text}.",
                what=one.fault.text,
                predicate=Predicate(one.column, "in", values=one.codes),
                share_reference=0.0,
                share=share,
                fault=one.fault,
                severity="page",
            )
        )
    return drafts
