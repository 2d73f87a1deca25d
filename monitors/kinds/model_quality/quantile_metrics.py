"""Metrics of quantile forecasts: pinball loss, and the share of labels that quantiles cover.

A level's coverage is the share of labels at or below its quantile; two levels as far from a half
bound a central interval, whose coverage is the share of labels within it, ends included. Intervals
that cover less than they did are too narrow, and those that cover more are wider than need be.

References
----------
Koenker and Bassett, Econometrica 46, 1978 (pinball loss); Gneiting and Raftery, JASA 102, 2007
(pinball loss and coverage of central intervals).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.errors import InputError
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import percent, plural

Numbers = NDArray[np.float64]

PINBALL, COVERAGE, WITHIN, WIDTH = "pinball_loss", "coverage", "interval_coverage", "interval_width"
LEVEL_METRICS = (PINBALL, COVERAGE, WITHIN, WIDTH)
# Metrics of one level, or of one central interval, as constraints and reports name them.
OF_LEVEL = re.compile(r"(pinball_loss|coverage|interval_coverage|interval_width)\[(0\.\d+)\]")
# Levels are as far from a half as this tells: 1 - 0.9 is not quite 0.1.
SAME_LEVEL = 1e-9
DIGITS = 9


def level_text(level: float) -> str:
    """Write a level as names have it: 0.1, 0.00001."""
    return np.format_float_positional(round(level, DIGITS), trim="-")


def is_of_quantiles(name: str) -> bool:
    """Whether a metric is one of quantile forecasts."""
    return name == PINBALL or OF_LEVEL.fullmatch(name) is not None


def is_coverage(name: str) -> bool:
    """Whether a metric is a coverage, which is judged on both sides."""
    found = OF_LEVEL.fullmatch(name)
    return found is not None and found[1] in (COVERAGE, WITHIN)


def require_no_quantile_names(names: Iterable[str]) -> None:
    """Refuse a user's metric with a name of the quantile metrics."""
    if taken := next((name for name in names if is_of_quantiles(name)), ""):
        raise InputError(
            f'metric "{taken}": driftline measures one of this name of quantiles; leave it out, or '
            f'give yours another name: metrics={{"own_{taken}": f}}'
        )


def central_intervals(levels: Sequence[float]) -> list[tuple[int, int, float]]:
    """Return pairs of levels equally far from a half, and the share between; widest first."""
    return [
        (low, high, round(levels[high] - levels[low], DIGITS))
        for low in range(len(levels))
        for high in range(low + 1, len(levels))
        if abs(levels[low] + levels[high] - 1.0) < SAME_LEVEL
    ]


def quantile_rows(
    label: Numbers, quantiles: Numbers, levels: Sequence[float]
) -> dict[str, Numbers]:
    """Return what each row adds to each metric, a mean over rows: arrays (rows,) by name.

    ``pinball_loss`` is the mean over all levels; then by level, such as ``coverage[0.9]``, and by
    central interval, such as ``interval_coverage[0.8]`` between 0.1 and 0.9. `quantiles` have the
    shape (rows, levels); all are finite.
    """
    names = [level_text(level) for level in levels]
    pairs = central_intervals(levels)
    error = label[:, None] - quantiles
    losses = np.maximum(np.asarray(levels) * error, (np.asarray(levels) - 1.0) * error)
    found = {PINBALL: losses.mean(axis=1) if len(label) else np.zeros(0)}
    for low, high, share in pairs:
        is_within = (error[:, low] >= 0.0) & (error[:, high] <= 0.0)
        found[f"{WITHIN}[{level_text(share)}]"] = is_within.astype(np.float64)
    for at, name in enumerate(names):
        found[f"{COVERAGE}[{name}]"] = (error[:, at] <= 0.0).astype(np.float64)
    for low, high, share in pairs:
        found[f"{WIDTH}[{level_text(share)}]"] = quantiles[:, high] - quantiles[:, low]
    for at, name in enumerate(names):
        found[f"{PINBALL}[{name}]"] = losses[:, at]
    return found


def widest_interval(names: Iterable[str]) -> str:
    """Return the coverage of the widest interval among some metrics; "" without any."""
    return max(filter(is_interval, names), default="")


def is_interval(name: str) -> bool:
    """Whether a metric is the coverage of a central interval."""
    return name.startswith(f"{WITHIN}[")


def covers_less(violated: Measured, results: Iterable[str]) -> bool:
    """Whether less is covered than before, by an interval or, without any, by one of its ends.

    More coverage is mere caution; less breaks a promise.
    """
    of = OF_LEVEL.fullmatch(violated.name)
    if of is None or not is_coverage(violated.name):
        return False
    is_fewer, level = violated.operator == "LessThanThreshold", float(of[2])
    if is_interval(violated.name):
        return is_fewer
    return not widest_interval(results) and level != 0.5 and is_fewer == (level > 0.5)


def crossing_details(answers: Answers, columns: Sequence[str]) -> tuple[int, str]:
    """Count the rows with a quantile above that of a higher level, and name the worst pair."""
    if answers.quantiles is None or not len(answers):
        return 0, ""
    crossing = np.diff(answers.quantiles, axis=1) < 0.0
    is_crossing: NDArray[np.bool_] = np.asarray(crossing.any(axis=1))
    rows = int(np.count_nonzero(is_crossing))
    if not rows:
        return 0, ""
    worst = int(crossing.sum(axis=0).argmax())
    low, high = columns[worst : worst + 2]
    share = percent(rows / len(answers))
    return rows, f'{plural(rows, "row")} ({share}) with crossing quantiles: "{low}" above "{high}"'


def interval_words(name: str, *, is_lower: bool) -> str:
    """Return the meaning of a coverage that is too low, or too high; "" for other metrics."""
    found = OF_LEVEL.fullmatch(name)
    if found is None or not is_coverage(name):
        return ""
    if found[1] == WITHIN:
        return (
            f"the {percent(float(found[2]))} intervals are too {'narrow' if is_lower else 'wide'}"
        )
    return f"the {found[2]} quantile is too {'low' if is_lower else 'high'}"


def width_of(name: str) -> str:
    """Return the words for a coverage's interval; "" for other metrics."""
    found = OF_LEVEL.fullmatch(name)
    return f"{WIDTH}[{found[2]}]" if found is not None and found[1] == WITHIN else ""
