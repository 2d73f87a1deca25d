"""The command that scores rows: which of them are odd, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.options import files_of
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.progress import progress
from driftline.errors import InputError, UndecidedError
from driftline.lazy_imports import start_lean

if TYPE_CHECKING:
    from driftline.monitors.kinds.outliers.reading import OddRow

SHOWN = ("score", "row", "reason")


def outliers(
    data: options.Data,
    reference: Annotated[str, "--baseline", "Folder with the baseline."],
    output: Annotated[
        str | None, "-o --output FILE", "All rows with their scores: .parquet or .csv."
    ] = None,
    *,
    dialect: options.Dialect,
) -> Answer:
    """Score each row by how seldom the reference has one as odd.

    A score of 3 is reached by about one row in 1,000 of the reference. Rows are outliers from the
    score on that at most ten rows of the reference's sample have.
    Whether there are too many of them is for: driftline check --kind outliers.

    Example: driftline outliers today.parquet --baseline baseline/ -o scored.parquet
    """
    start_lean()
    # The work is imported where it begins: the options need none of it.
    from driftline.baseline.store import Baseline
    from driftline.formats.source import open_source
    from driftline.monitors.kinds.outliers.reading import OutlierReading
    from driftline.monitors.kinds.outliers.scorer import row_scorer
    from driftline.monitors.kinds.outliers.terms import share_words
    from driftline.monitors.kinds.outliers.writing import write_scored
    from driftline.monitors.results.violation import plural
    from driftline.stats.intervals import wilson

    options.open_places(*data, reference)
    baseline = Baseline.load(reference)
    scorer = row_scorer(baseline)
    if output is not None and Path(output).resolve() in [Path(one).resolve() for one in data]:
        raise InputError(f'-o "{output}": is one of the files to be scored; name another file')
    source = open_source(files_of(data, dialect), signature=baseline.signature)
    found = OutlierReading(scorer)
    with progress("outliers") as advance:
        for found in write_scored(source.batches(), scorer, output):
            advance(found.row_count, source.row_count)
    if not found.row_count:
        raise UndecidedError("no rows; nothing could be scored")
    low, high = wilson(found.outlier_count, found.row_count)
    share = found.outlier_count / found.row_count
    missing = scorer.missing(source.schema.names)
    worst = [_line(one) for one in found.worst]
    value = {
        "rows": found.row_count,
        "outliers": found.outlier_count,
        "share": share,
        "share_low": low,
        "share_high": high,
        "columns": dict(found.columns.most_common()),
        "missing_columns": list(missing),
        "worst": worst,
    }
    line = (
        f"{plural(found.outlier_count, 'outlier')} of {plural(found.row_count, 'row')}: "
        f"{share_words(share)} (95% interval {share_words(low)} to {share_words(high)})"
    )
    return Answer(value, _shown(line, scorer.missing_note(missing), worst))


def _shown(line: str, note: str, worst: Sequence[Mapping[str, object]]) -> Iterator[str | Table]:
    yield line
    if note:
        typer.echo(harmless(note), err=True)
    if worst:
        yield Table(SHOWN, worst)


def _line(one: OddRow) -> dict[str, object]:
    return {"score": round(one.score, 2), **one.pointer, "reason": harmless(one.reason)}
