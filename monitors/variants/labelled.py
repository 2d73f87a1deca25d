"""Which of two variants is better by the labels that came, in the lines of their comparison."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.variants.comparison import compare

LABELLED_ROWS = 500_000
"""Of more rows a page does not read the labels."""


def labelled_lines(
    place: str,
    baseline: Baseline,
    window: Window,
    variants: Sequence[str],
    has_rows: Sequence[bool],
    row_count: int,
) -> tuple[str, ...]:
    """Compare two variants in a span of ``row_count`` rows; ``place`` is the endpoint's folder."""
    names = [f'"{one}"' for one in variants]
    if not any(has_rows):
        return (f"Variants {' and '.join(names)} have no rows in this time.",)
    if not all(has_rows):
        without, only = names[has_rows.index(False)], names[has_rows.index(True)]
        return (f"Variant {without} has no rows in this time; only {only} has.",)
    roles = baseline.outcomes.roles if baseline.outcomes else None
    metric = "mae" if roles and roles.problem == "regression" else "accuracy"
    if roles and roles.problem == "binary" and roles.probability:
        metric = "brier"
    if row_count > LABELLED_ROWS:
        return (f"many rows; run driftline compare {place} --metric {metric} --baseline FOLDER",)
    try:
        found = compare(place, baseline, metric=metric, start=window.start, end=window.end)
        return tuple(found.lines)
    except InputError as error:
        return (str(error),)
