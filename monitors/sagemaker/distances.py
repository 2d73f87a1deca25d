"""Distances between two statistics documents, as Deequ measures them. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from driftline.baseline.constraints import MonitoringConfig
from driftline.baseline.predicate import Predicate
from driftline.errors import InputError
from driftline.stats.distances.deequ import chi_squared, robust

Levels = Sequence[Sequence[float]]
Block = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a column's distribution lies from the baseline's."""

    value: float
    bound: float  # A violation if the value is above it.
    predicate: Predicate  # The rows that differ most.
    share_reference: float
    share_window: float
    p_value: float | None = None  # Of ChiSquared under Robust, which is judged by it.


def measure(
    name: str, reference: Block, window: Block, config: MonitoringConfig
) -> Distance | None:
    """Compare what both documents hold; None where they hold nothing of the same sort."""
    if config.distance is not None:
        raise InputError(
            f'feature "{name}": comparison_method "{config.distance}" is no method of '
            "SageMaker's; leave compat out, or use Simple or Robust"
        )
    try:
        first, second = (_part(one, "numerical", "kll", "sketch", "data")
                         for one in (reference, window))  # fmt: skip
        if first and second:
            return sketch_distance(name, first, second, config)
        levels, found = (_part(one, "string", "categorical", "buckets")
                         for one in (reference, window))  # fmt: skip
        return level_distance(name, _counts(levels), _counts(found), config)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f'statistics: feature "{name}" is not as SageMaker writes it ({error!r})'
        ) from error


def _part(block: Block, sort: str, *keys: str) -> list[Any]:
    found: object = block
    for key in (f"{sort}_statistics", "distribution", *keys):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else []


def _counts(buckets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {str(bucket["value"]): int(bucket["count"]) for bucket in buckets}


def sketch_distance(
    name: str,
    reference: Levels,
    window: Levels,
    config: MonitoringConfig,
) -> Distance | None:
    """Measure the largest difference of two sketches' distributions at their stored values.

    A value of level h stands for 2^h values.
    """
    first, second = _ranks(reference), _ranks(window)
    if not len(first[0]) or not len(second[0]):
        return None
    points = np.union1d(first[0], second[0])
    shares = [_shares_at(*side, points) for side in (first, second)]
    differences = np.abs(shares[0] - shares[1])
    at = int(np.argmax(differences))
    before, now = float(shares[0][at]), float(shares[1][at])
    below = now >= before
    predicate = Predicate(name, "le" if below else "gt", float(points[at]))
    return Distance(
        _corrected(float(differences[at]), float(first[1][-1]), float(second[1][-1]), config),
        config.comparison_threshold,
        predicate,
        before if below else 1 - before,
        now if below else 1 - now,
    )


def _ranks(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct stored values, ascending, and how many rows are at or below each."""
    values = np.concatenate([np.asarray(level, dtype=np.float64) for level in levels])
    if np.isnan(values).any():
        raise ValueError("a sketch that holds no numbers")
    weights = np.concatenate([np.full(len(level), 1 << h) for h, level in enumerate(levels)])
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    last = np.append(values[1:] != values[:-1], True) if len(values) else np.empty(0, dtype=bool)
    return values[last], np.cumsum(weights)[last]


def _shares_at(values: np.ndarray, ranks: np.ndarray, points: np.ndarray) -> np.ndarray:
    at = np.searchsorted(values, points, side="right")
    return np.asarray(np.append(0, ranks)[at] / ranks[-1])


def _corrected(distance: float, rows: float, others: float, config: MonitoringConfig) -> float:
    return distance if config.comparison_method == "Simple" else robust(distance, rows, others)


def level_distance(
    name: str,
    reference: Mapping[str, int],
    window: Mapping[str, int],
    config: MonitoringConfig,
) -> Distance | None:
    """Measure how far the shares of two sides' levels lie apart."""
    rows, others = sum(reference.values()), sum(window.values())
    if min(rows, others) <= 0:
        return None
    levels = list(dict.fromkeys([*reference, *window]))
    first = np.array([reference.get(level, 0) for level in levels])
    second = np.array([window.get(level, 0) for level in levels])
    differences = np.abs(second / others - first / rows)
    at = int(np.argmax(differences))
    make = partial(
        Distance,
        predicate=Predicate(name, "eq", levels[at]),
        share_reference=float(first[at] / rows),
        share_window=float(second[at] / others),
    )
    threshold = config.categorical_comparison_threshold
    threshold = config.comparison_threshold if threshold is None else threshold
    if config.categorical_drift_method == "LInfinity":
        return make(_corrected(float(differences[at]), rows, others, config), threshold)
    if not second[first > 0].any():
        return None
    found = chi_squared(first, second)
    if found is None:
        return None
    statistic, p_value, freedom = found
    if config.comparison_method == "Simple":
        return make(statistic, threshold)
    # The same decision as p-value < threshold, in a distance that grows with the drift.
    critical = min(float(special.chdtri(freedom, threshold)), sys.float_info.max)
    return make(statistic, critical, p_value=p_value)
