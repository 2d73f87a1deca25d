"""The default rules of other tools, written from their formulas, to lay beside a monitor's own.

They are our formulas on counted data, not runs of the products: each says below how it differs.
NannyML's is counted in `nannyml`, since it needs the reference's rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.errors import InputError
from driftline.monitors.backtest.fine_bins import FineBins, Numbers
from driftline.monitors.backtest.history import History

Flags = NDArray[np.bool_]
# Deequ's constant of its "Robust" distance (awslabs/deequ, analyzers/Distance.scala).
ROBUST = 1.8
ROBUST_LIMIT = 0.1
# Evidently 0.7.23: _get_default_stattest, and the drift share of its preset.
SMALL_REFERENCE = 1000
FEW_VALUES = 5
P_LIMIT, DISTANCE_LIMIT, DRIFT_SHARE = 0.05, 0.1, 0.5
LEAST_DEVIATION = 0.001


@dataclass(frozen=True, eq=False)
class Reference:
    """What the rules know of the reference."""

    fine_bins: Mapping[str, FineBins]
    # Which windows alarm by NannyML's rule, shape (W,); none where it was not asked for.
    chunk_alarms: Mapping[str, Flags]


@dataclass(frozen=True, slots=True)
class OtherRule:
    """One rule, by name."""

    name: str
    title: str
    source: str
    # Returns by column which windows alarm, shape (W,).
    judge: Callable[[History, Reference], dict[str, Flags]]


def other_rules(names: Sequence[str]) -> tuple[OtherRule, ...]:
    """Return the rules of these names; an InputError names one that there is not."""
    for name in names:
        if name not in OTHERS:
            raise InputError(f'against "{name}"; expected one of {", ".join(OTHERS)}')
    return tuple(OTHERS[name] for name in dict.fromkeys(names))


def _sagemaker(history: History, reference: Reference) -> dict[str, Flags]:
    found = {}
    for name, known, counts, _ in _measured(history, reference):
        n, m = known.counts[:-1].sum(), counts[:, :-1].sum(axis=1)
        with np.errstate(divide="ignore"):
            chance = ROBUST * np.sqrt((n + m) / (n * m))
        found[name] = largest_gap(known, counts) - chance > ROBUST_LIMIT
    return found


def _evidently(history: History, reference: Reference) -> dict[str, Flags]:
    return {
        name: _evidently_test(known, counts, sums)
        for name, known, counts, sums in _measured(history, reference)
    }


def _evidently_dataset(history: History, reference: Reference) -> dict[str, Flags]:
    columns = _evidently(history, reference)
    if not columns:
        return {}
    drifted = np.mean(list(columns.values()), axis=0) >= DRIFT_SHARE
    return {name: flags & drifted for name, flags in columns.items()}


def _nannyml(_history: History, reference: Reference) -> dict[str, Flags]:
    return dict(reference.chunk_alarms)


def _evidently_test(known: FineBins, counts: Numbers, sums: Numbers) -> Flags:
    """Choose as its defaults do: by the reference's rows, the type and the number of values."""
    few_values = known.distinct_count <= FEW_VALUES or not known.is_number
    # Rows without a value are left out on both sides.
    before, now = known.counts[:-1], counts[:, :-1]
    if before.sum() > SMALL_REFERENCE:
        if few_values:
            return jensen_shannon(before, now, base=math.e) >= DISTANCE_LIMIT
        distance = wasserstein(known, counts, sums) / max(known.deviation, LEAST_DEVIATION)
        return distance >= DISTANCE_LIMIT
    if not few_values:
        return kolmogorov_p(known, counts) < P_LIMIT
    present = (before > 0) | (now > 0).any(axis=0)
    before, now = before[present], now[:, present]
    return (chi_squared_p if len(before) > 2 else two_shares_p)(before, now) < P_LIMIT


def _measured(
    history: History, reference: Reference
) -> list[tuple[str, FineBins, Numbers, Numbers]]:
    """Return the columns that have fine bins on both sides, with rows and sums by window."""
    return [
        (name, known, history.bin_counts[name].astype(np.float64), history.bin_sums[name])
        for name, known in reference.fine_bins.items()
        if name in history.bin_counts and known.counts[:-1].sum() > 0
    ]


OTHERS: Mapping[str, OtherRule] = {
    "sagemaker": OtherRule(
        "sagemaker",
        "largest difference of distributions (numbers) or shares (texts), less 1.8 "
        "sqrt((n + m) / nm), above 0.1",
        "Model Monitor's Robust and LInfinity: awslabs/deequ, analyzers/Distance.scala; measured "
        "at a hundred points of the reference in place of its sketch",
        _sagemaker,
    ),
    "evidently": OtherRule(
        "evidently",
        "each column: Wasserstein over the deviation >= 0.1 (numbers), Jensen-Shannon distance >= "
        "0.1 (texts); KS, chi-squared, z at p < 0.05 for references up to 1,000 rows",
        "Evidently 0.7.23, calculations/stattests; measured at a hundred points of the reference",
        _evidently,
    ),
    "evidently-dataset": OtherRule(
        "evidently-dataset",
        "as evidently, where at least half of the columns drift in the same window",
        "Evidently 0.7.23, drift_share 0.5 of DataDriftPreset",
        _evidently_dataset,
    ),
    "nannyml": OtherRule(
        "nannyml",
        "Jensen-Shannon distance above mean + 3 deviations of the reference's own windows",
        "NannyML 0.13.1, UnivariateDriftCalculator with a chunk for each window: its bins and "
        "distances, counted from the reference's rows",
        _nannyml,
    ),
}


def _shares(counts: Numbers) -> Numbers:
    """Divide by the rows along the last axis; NaN where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def largest_gap(known: FineBins, counts: Numbers) -> Numbers:
    """Measure the largest difference of distributions (numbers) or of shares, shape (W,)."""
    gaps = _shares(counts[:, :-1]) - _shares(known.counts[:-1])
    if known.is_number:
        gaps = np.cumsum(gaps, axis=1)
    return np.asarray(np.abs(gaps).max(axis=1))


def wasserstein(known: FineBins, counts: Numbers, sums: Numbers) -> Numbers:
    """Measure the area between the distributions, shape (W,), in the column's unit.

    Between two edges the area under a distribution follows exactly from its rows and their sum, so
    the distance is exact save where the two cross between edges.
    """
    edges, before, now = known.edges, known.counts[:-1], counts[:, :-1]
    n, m = before.sum(), now.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = _areas(edges, before[None, :] / n, known.sums[None, :-1] / n)
        second = _areas(edges, now / m, sums[:, :-1] / m)
        return np.asarray(np.abs(first - second).sum(axis=1))


def _areas(edges: Numbers, shares: Numbers, sums: Numbers) -> Numbers:
    """Return the area under the distribution in each cell; above the last edge, over it."""
    below = np.cumsum(shares, axis=1)
    inner = np.diff(edges) * below[:, :-2] + edges[1:] * shares[:, 1:-1] - sums[:, 1:-1]
    first = edges[0] * shares[:, :1] - sums[:, :1]
    last = edges[-1] * shares[:, -1:] - sums[:, -1:]
    return np.concatenate([first, inner, last], axis=1)


def jensen_shannon(before: Numbers, now: NDArray[np.generic], *, base: float) -> Numbers:
    """Measure the root of the divergence, shape (W,); NaN for a window without a value."""
    first, second = _shares(before), _shares(np.asarray(now, dtype=np.float64))
    middle = (first + second) / 2
    with np.errstate(invalid="ignore"):
        parts = special.rel_entr(first, middle) + special.rel_entr(second, middle)
        divergence = parts.sum(axis=1) / 2 / math.log(base)
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def kolmogorov_p(known: FineBins, counts: Numbers) -> Numbers:
    """Test by Kolmogorov and Smirnov, with the one-sample law at the effective number of rows."""
    # Slow to import, and of no use to most commands.
    from scipy import stats

    n, m = known.counts[:-1].sum(), counts[:, :-1].sum(axis=1)
    effective = np.maximum(np.rint(n * m / (n + m)), 1.0)
    p_value = stats.kstwo.sf(np.nan_to_num(largest_gap(known, counts)), effective)
    return np.asarray(np.where(m > 0, p_value, np.nan))


def chi_squared_p(before: Numbers, now: Numbers) -> Numbers:
    """Test the window's levels against the reference's shares, taken as known (Pearson)."""
    expected = _shares(before) * now.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where((expected == 0) & (now == 0), 0.0, (now - expected) ** 2 / expected)
    # A level that neither side of a window has is none of its degrees of freedom.
    freedom = ((before > 0) | (now > 0)).sum(axis=1) - 1
    p_value = special.chdtrc(freedom, parts.sum(axis=1))
    return np.asarray(np.where(now.sum(axis=1) > 0, p_value, np.nan))


def two_shares_p(before: Numbers, now: Numbers) -> Numbers:
    """Test two proportions by the normal law, two-sided; one value on both sides is no drift."""
    n, m = before.sum(), now.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (before[0] + now[:, 0]) / (n + m)
        spread = np.sqrt(share * (1 - share) * (1 / n + 1 / m))
        score = (before[0] / n - now[:, 0] / m) / spread
        p_value = 2 * special.ndtr(-np.abs(score))
    return np.asarray(np.where(spread == 0, 1.0, p_value))
