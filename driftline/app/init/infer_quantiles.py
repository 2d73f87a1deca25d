"""Which columns of a data set are probably quantiles of a forecast: by names, order and labels.

A request's p50 of the last hour is named like a forecast's median; what tells them apart is that
as many labels lie at or below a quantile as its level says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.app.init.column_inspection import ColumnFacts
from driftline.baseline.origin import name_words

# p10, sales_p90, q0.9, quantile_0.1, p2_5, and 0.1 alone.
NAMED = re.compile(
    r"(?:(?P<stem>.*?)[_\W]*(?<![A-Za-z])(?:p|q|quantile|percentile)[_ ]?"
    r"(?P<level>0?\.\d+|\d{1,2}(?:[._]\d+)?)|(?P<alone>0?\.\d+))",
    re.IGNORECASE,
)
# Rows whose quantiles rise, of all; and how far from a level the share of labels below may lie.
MOST_RISE, NEAR_LEVEL = 0.95, 0.15


def named_quantiles(free: Mapping[str, ColumnFacts]) -> tuple[dict[float, str], frozenset[str]]:
    """Return columns of numbers that are named like quantiles, by level, and their common words."""
    levels: dict[float, str] = {}
    stems = set()
    for one in free.values():
        found = NAMED.fullmatch(one.name)
        if found is None or one.kind not in ("int64", "double"):
            continue
        level = float((found["level"] or found["alone"]).replace("_", "."))
        level = level / 100.0 if level >= 1.0 else level
        if level in levels or not 0.0 < level < 1.0:
            return {}, frozenset()  # Of several forecasts: which one, nobody says.
        levels[level] = one.name
        stems.add(found["stem"] or "")
    if len(levels) < 2 or len(stems) > 1:
        return {}, frozenset()
    return dict(sorted(levels.items())), name_words(*stems)


def are_quantiles(sample: pa.Table, levels: Mapping[float, str], label: str) -> bool:
    """Whether columns rise with their level in each row, and hold as many labels as it says."""
    truth, *columns = _numbers(sample, [label, *levels.values()]).T
    if not len(truth):
        return False
    quantiles = np.column_stack(columns)
    rise = float((np.diff(quantiles, axis=1) >= 0.0).all(axis=1).mean())
    shares = (truth[:, None] <= quantiles).mean(axis=0)
    away = float(np.abs(shares - np.array([*levels])).max())
    return rise >= MOST_RISE and away <= NEAR_LEVEL


def _numbers(sample: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the rows that hold numbers in all of some columns, shape (rows, columns)."""
    columns = [sample[name].to_pandas().to_numpy(np.float64, na_value=np.nan) for name in names]
    rows = np.column_stack(columns)
    found: NDArray[np.float64] = rows[np.isfinite(rows).all(axis=1)]
    return found
