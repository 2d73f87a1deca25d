"""Whether a segment that is named behind a violation holds its change; bench/real.py asks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

import driftline as dl


def _texts(rows: pd.DataFrame) -> list[str]:
    return [str(name) for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]


def is_true_segment(violation: dl.Violation, window: pd.DataFrame, reference: pd.DataFrame) -> str:
    """Judge a named segment on all rows of the reference: "true", "false" or "growth".

    It is false when it holds under half of the change within segments, or under 1.3 times its
    share of the window's rows. The change of a set of rows is decomposed without any prior
    (Kitagawa 1955): within a segment, its rows that meet the condition beyond those at the
    reference's rate.
    """
    segment = violation.segment
    assert segment is not None
    assert violation.predicate is not None
    if segment.change is not None and segment.change.grew_from is not None:
        return "growth"
    meets, inside, codes = [], [], []
    for rows in (reference, window):
        table = pa.Table.from_pandas(rows, preserve_index=False)
        meets.append(violation.predicate.mask(table).to_numpy(zero_copy_only=False))
        masks = [one.mask(table).to_numpy(zero_copy_only=False) for one in segment.conditions]
        inside.append(np.logical_and.reduce(masks))
        # Of one text its levels are the segments; else there are two, the segment and the rest.
        of_levels = len(masks) == 1 and segment.column in _texts(rows)
        texts = rows[segment.column].astype(object).fillna("").astype(str)
        codes.append(texts.to_numpy() if of_levels else inside[-1])
    usual = meets[0].mean()
    levels, places = np.unique(np.concatenate(codes), return_inverse=True)
    before, now = places[: len(reference)], places[len(reference) :]
    known = np.bincount(before, minlength=len(levels))
    rates = np.bincount(before, weights=meets[0], minlength=len(levels)) / np.maximum(known, 1)
    rates = np.where(known > 0, rates, usual)
    gained = np.bincount(now, weights=meets[1], minlength=len(levels)) - rates * np.bincount(
        now, minlength=len(levels)
    )
    own = np.unique(now[inside[1]])
    within, whole = gained[own].sum(), gained.sum()
    change = meets[1].sum() - len(window) * usual
    if change < 0:
        within, whole, change = -within, -whole, -change
    share = min(within / max(change, 1e-9), within / max(whole, 1e-9))
    return "true" if share >= 0.5 and share >= 1.3 * inside[1].mean() else "false"
