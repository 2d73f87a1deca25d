"""``driftline.outlier_scores``: the score of each row of some data, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.kinds.outliers.scorer import RowScorer, row_scorer

SCORE_COLUMNS = pa.schema(
    [("outlier_score", pa.float64()), ("is_outlier", pa.bool_()), ("reason", pa.string())]
)


def outlier_scores(
    data: object,
    baseline: Baseline | str | PathLike[str],
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> pa.Table:
    """Score each row by how seldom the reference has one as odd.

    Parameters
    ----------
    data
        Data frame (pandas, polars, Arrow), path, glob, folder, or an opened source.
    baseline
        A baseline, or the folder of one.
    progress
        Called with rows done and rows in total (None when not known).

    Returns
    -------
    pa.Table
        One row for each row of the data, in their order; ``to_pandas()`` makes a frame of it.
        ``outlier_score``: about one row in ``10 ** score`` of the reference has so much.
        ``is_outlier``: whether at most ten rows of the reference's sample have so much.
        ``reason``: of outliers, up to three columns in words that name cells of the reference, and
        nothing that it does not hold.

    Raises
    ------
    InputError
        When the baseline keeps no sample of rows, or the data have none of its columns.
    """
    opened = baseline if isinstance(baseline, Baseline) else Baseline.load(baseline)
    source = open_source(data, signature=opened.signature)
    scorer = row_scorer(opened)
    found, done = [], 0
    for batch in source.batches():
        found.append(score_table(scorer, batch))
        done += batch.num_rows
        if progress is not None:
            progress(done, source.row_count)
    return pa.Table.from_batches(found, SCORE_COLUMNS)


def score_table(scorer: RowScorer, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return score, verdict and reason of each row; InputError without any known column."""
    scorer.require(batch.schema.names)
    found = scorer.score(batch)
    odd = np.flatnonzero(found.is_odd)
    reasons = [""] * batch.num_rows
    for row, (words, _) in zip(odd.tolist(), found.explain(odd), strict=True):
        reasons[row] = words
    columns = [pa.array(found.scores), pa.array(found.is_odd), pa.array(reasons, pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=SCORE_COLUMNS)
