"""The command that compares the variants of a model."""

from __future__ import annotations

from typing import Annotated, Literal

from driftline.app.commands import options
from driftline.app.commands.options import files_of, moment
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNDECIDED
from driftline.lazy_imports import start_lean

METRIC = "accuracy, brier, mae, mse, cost, or a column of numbers."

Costs = Annotated[str | None, "--costs JSON", 'What answers cost: {"fp": 1, "fn": 10}.']


def compare(
    data: options.Data,
    metric: Annotated[str, "--metric NAME", METRIC],
    reference: Annotated[
        str | None, "--baseline FOLDER", "Names label and answers of quality."
    ] = None,
    by: Annotated[str, "--by COLUMN", "Column that names the variant."] = "variant",
    better: Annotated[
        Literal["higher", "lower"] | None, "Of a column; higher when missing."
    ] = None,
    margin: Annotated[float | None, "Largest difference that does not matter."] = None,
    cluster: Annotated[
        str | None, "--cluster COLUMN", "Which rows are correlated [a request's]."
    ] = None,
    timestamp: Annotated[str | None, "--timestamp COLUMN", "Time of each row."] = None,
    start: Annotated[str | None, "--from TIME", "Begin of the period."] = None,
    end: Annotated[str | None, "--to TIME", "End of the period (exclusive)."] = None,
    alpha: Annotated[float, "Chance of a wrong decision, over all pairs."] = 0.05,
    costs: Costs = None,
    *,
    dialect: options.Dialect,
) -> Answer:
    """Compare variants of a model (an A/B test) and say who wins.

    Each pair of variants gets an interval of its difference, taken within days. Fix the period
    beforehand: intervals hold for one look. DATA may be the folder capture/ENDPOINT of the storage
    root: with --baseline its labels are joined. Ends with 3 while nothing is decided.

    Example: driftline compare storage/capture/flights --baseline baseline/ --metric accuracy
    """
    start_lean()
    # The work is imported where it begins: the options need none of it.
    from driftline.monitors.variants import comparison

    options.open_places(*data, reference or "")
    found = comparison.compare(
        files_of(data, dialect),
        reference,
        metric=metric,
        by=by,
        better=better,
        margin=margin,
        cluster=cluster,
        timestamp=timestamp,
        start=moment(start, "--from"),
        end=moment(end, "--to"),
        alpha=alpha,
        costs=costs,
    )
    code = UNDECIDED if found.decision == "undecided" else 0
    return Answer(found.to_dict(), found.lines, code=code)
