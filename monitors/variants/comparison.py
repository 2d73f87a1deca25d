"""Variants of a model side by side: a two-sample comparison within days, at a fixed level."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import combinations
from os import PathLike
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from driftline.baseline.display import number_words
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.model_quality.costs import COST, Costs
from driftline.monitors.results.violation import percent, plural
from driftline.monitors.variants.rows import NAMED, QUALITY, Asked, Better, Numbers, codes
from driftline.stats.blocked_difference import blocked_difference

Decision = Literal["winner", "no difference", "undecided"]
CONSTANT = "no variation within either variant, so no error to judge by"
# Before so many requests of each variant, on days with both, nothing is decided.
LEAST_UNITS = 100
MOST_VARIANTS = 20
# Values beyond are left out: sums of their squares have no place in a float.
LARGEST = 1e140
# If a variant lacks a value in so many more of its rows, the rows with one cannot be compared.
LACKING = 0.01
UNLIKE = "the rows that have one are no fair comparison"


@dataclass(frozen=True, slots=True)
class VariantMean:
    """One variant: its rows with a value, the requests they came with, and their mean."""

    variant: str
    rows: int
    units: int
    mean: float | None  # None where no row has a value.
    lacking: int  # Rows that should have a value and have none.

    @property
    def lack(self) -> str:
        """The share of its rows that lack a value, in words."""
        share = percent(self.lacking / (self.rows + self.lacking))
        return f"{self.variant} lacks it in {share} of its rows"


@dataclass(frozen=True, slots=True)
class VariantDifference:
    """Two variants: the second's mean less the first's, within days, with its interval."""

    first: str
    second: str
    difference: float | None  # None if no day has two requests of both.
    low: float | None
    high: float | None
    units: int
    why_not: str = ""  # Why nothing is decided by this interval.


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """How the variants of one model compare.

    Attributes
    ----------
    metric, better
        What was compared, and which way is better.
    margin
        The largest difference that does not matter, in the metric's unit; None: none was named.
    alpha
        The chance that any of the intervals is wrong, over all pairs, 0-1.
    decision, winner
        What follows, and the variant that won; None where none has.
    variants
        The mean of each variant, and how many of its rows lack a value.
    differences
        Of each pair, the second's mean less the first's, within days, with its interval.
    left_out
        Rows without a variant, or without a value up to 1e140.
    unknown
        Rows of classes that the reference never has, and what they count as; "" for none.
    """

    metric: str
    better: Better
    margin: float | None
    alpha: float
    decision: Decision
    winner: str | None
    variants: tuple[VariantMean, ...]
    differences: tuple[VariantDifference, ...]
    left_out: int
    unknown: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "worse": list(self.worse)}

    @property
    def worse(self) -> tuple[str, ...]:
        """The variants that are surely worse than another one, by name."""
        losers = {loser for one in self.differences if (loser := _loser(one, self.better))}
        return tuple(sorted(losers))

    @property
    def summary(self) -> str:
        """The decision in a line."""
        rows = plural(sum(one.rows for one in self.variants), "row")
        worse = f"{' and '.join(self.worse)} {'is' if len(self.worse) == 1 else 'are'} worse"
        if self.decision == "winner":
            return f"{self.winner} has the {self.better} {self.metric} ({rows}): {worse}"
        if self.decision == "no difference":
            return f"no difference of {self.metric} beyond {self.margin:g} ({rows})"
        why = next((one.why_not for one in self.differences if one.why_not), "")
        why = "; ".join(one for one in (worse if self.worse else "", why) if one)
        found = f"not decided which variant has the {self.better} {self.metric} ({rows})"
        return f"{found}: {why}" if why else found

    @property
    def lines(self) -> Iterator[str]:
        """The decision, each variant, each difference with its limits."""
        yield self.summary
        yield f"{self.metric}: {self.better} is better"
        for one in self.variants:
            if one.mean is not None:
                mean, rows = number_words(one.mean), plural(one.rows, "row")
                yield f"{one.variant}: {self.metric} {mean} ({rows})"
        for pair in self.differences:
            yield f"{pair.second} less {pair.first}: {_limits(pair, self.alpha)}"
        for one in self.variants if any(one.lacking for one in self.variants) else ():
            rows = plural(one.rows + one.lacking, "row")
            yield f"without a value: {one.lacking:,} of {rows} of {one.variant}"
        if self.unknown:
            yield self.unknown
        if self.left_out:
            yield f"left out, without variant or value: {plural(self.left_out, 'row')}"

    def __str__(self) -> str:
        """Return the lines."""
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        """Show the lines in a notebook."""
        first, *others = (html.escape(one) for one in self.lines)
        return f"<p><b>{first}</b></p><ul>{''.join(f'<li>{one}</li>' for one in others)}</ul>"


def compare(
    data: object,
    reference: Baseline | str | PathLike[str] | None = None,
    *,
    metric: str,
    by: str = "variant",
    better: Better | None = None,
    margin: float | None = None,
    cluster: str | None = None,
    timestamp: str | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    alpha: float = 0.05,
    costs: object = None,
) -> VariantComparison:
    """Compare the variants of a model by a mean, over a period that is fixed beforehand.

    Each pair of variants gets an interval of its difference. All intervals hold together with a
    chance of ``1 - alpha`` (Bonferroni). Differences are taken within UTC days, as levels and
    shares of traffic change. If one variant lacks a value in significantly more than 1% more of
    its rows, nothing is decided between the two.

    Parameters
    ----------
    data
        As `driftline.check` takes them; or the folder ``capture/ENDPOINT`` of a storage root, which
        with a baseline is read with the labels that were loaded.
    reference
        A baseline, or the folder of one: for measures of quality, it names label and answers.
    metric
        A measure of quality ("accuracy", "brier", "mae", "mse", "cost"), or a column of numbers or
        truth values.
    by
        The column that names the variant.
    better
        "higher" or "lower"; when missing, as the measure of quality says, and "higher" of a column.
    margin
        The largest difference that does not matter; without it "no difference" is never said.
    cluster
        The column whose values tell which rows are correlated, such as a customer's; when missing,
        the request's of captured rows, else rows are independent.
    timestamp
        The column with the time; when missing, the baseline's, or that of captured rows.
    start, end
        The period, half-open, by this time: ISO texts, dates or times, UTC without a zone.
    alpha
        The chance that any decision is wrong, over all pairs of variants.
    costs
        Prices of answers, for the metric "cost", as `driftline.check` takes them.

    Returns
    -------
    VariantComparison
        The decision, the means, and the differences with their intervals.

    Raises
    ------
    InputError
        When a column is missing or cannot be read, there are fewer than two variants, or an
        argument is out of range.
    """
    baseline = Baseline.load(reference) if isinstance(reference, str | PathLike) else reference
    _require(better, margin, alpha)
    if costs is not None and metric != COST:
        raise InputError(f'costs with metric "{metric}"; expected metric="{COST}"')
    asked = Asked(metric, by, cluster, timestamp, baseline, Costs.given(costs))
    return _compared(asked, asked.read(data, start, end), better, margin, alpha)


def _compared(
    asked: Asked, table: pa.Table, better: Better | None, margin: float | None, alpha: float
) -> VariantComparison:
    metric = asked.metric
    (values, unknown), (variant, names) = asked.values(table), codes(table, asked.by)
    is_named, has_value = variant >= 0, np.abs(values) <= LARGEST
    rows = _Rows(values, variant, asked.blocks(table), asked.units(table))
    wanted = rows.take(np.flatnonzero(is_named & (has_value | asked.has_label(table))))
    rows = rows.take(np.flatnonzero(is_named & has_value))
    all_named = np.unique(wanted.variant)
    means = tuple(wanted.mean_of(at, names[at]) for at in all_named.tolist())
    if sum(one.rows > 0 for one in means) < 2 or len(means) > MOST_VARIANTS:
        raise InputError(_why_none(asked, table, means))
    side = better or ("lower" if asked.costs is not None else QUALITY.get(metric, "higher"))
    # Of a variant whose rows all lack a value nothing is known, and it may be the better one.
    judged = all_named[[one.rows > 0 or one.lacking >= LEAST_UNITS for one in means]]
    differences = _differences(rows, judged, names, alpha)
    if any(one.lacking for one in means):
        lacking = replace(wanted, values=np.asarray(~(np.abs(wanted.values) <= LARGEST), float))
        shares = _differences(lacking, judged, names, alpha)
        differences = tuple(
            _if_complete(one, share, means) for one, share in zip(differences, shares, strict=True)
        )
    decision, winner = _decided([names[one] for one in judged], differences, side, margin)
    return VariantComparison(
        metric, side, margin, alpha, decision, winner, means, differences,
        table.num_rows - len(rows.values), unknown,
    )  # fmt: skip


def _why_none(asked: Asked, table: pa.Table, means: Sequence[VariantMean]) -> str:
    """Return why there are not two variants to compare, or too many."""
    present = [one.variant for one in means if one.rows]
    shown = ", ".join(f'"{one}"' for one in present[:NAMED]) or "none"
    shown += ", …" * (len(present) > NAMED)
    none = [one for one in means if not one.rows][:NAMED]
    more = [f'none of {plural(one.lacking, "row")} of "{one.variant}" has one' for one in none]
    if table.num_rows and not asked.has_label(table).any():
        more = ["no row has a label yet"]
    return (
        f'column "{asked.by}": {plural(len(present), "variant")} with rows that have a value of '
        f'"{asked.metric}" ({shown}); expected 2 to {MOST_VARIANTS}'
        + "".join(f"; {one}" for one in more)
    )


def _if_complete(
    pair: VariantDifference, share: VariantDifference, means: Sequence[VariantMean]
) -> VariantDifference:
    """Decide nothing if one variant lacks values in significantly more of its rows."""
    if share.low is None or share.high is None or max(share.low, -share.high) < LACKING:
        return pair
    of = ", ".join(one.lack for one in means if one.variant in (pair.first, pair.second))
    return replace(pair, why_not=f"{of}: {UNLIKE}")


def _require(better: object, margin: object, alpha: object) -> None:
    if better not in (None, "higher", "lower"):
        raise InputError(f'better {better!r}; expected "higher" or "lower"')
    if margin is not None and not (isinstance(margin, int | float) and 0 < margin < math.inf):
        raise InputError(f"margin {margin!r}; expected a number above 0")
    if not (isinstance(alpha, int | float) and 0 < alpha < 0.5):
        raise InputError(f"alpha {alpha!r}; expected a chance between 0 and 0.5, such as 0.05")


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of variants, shapes (rows,)."""

    values: Numbers
    variant: NDArray[np.intp]
    blocks: NDArray[np.intp]
    units: NDArray[np.intp]

    def take(self, places: NDArray[np.intp]) -> _Rows:
        return _Rows(
            self.values[places], self.variant[places], self.blocks[places], self.units[places]
        )

    def mean_of(self, variant: int, name: str) -> VariantMean:
        own = self.take(np.flatnonzero(self.variant == variant))
        known = own.take(np.flatnonzero(np.abs(own.values) <= LARGEST))
        rows, units = len(known.values), len(np.unique(known.units))
        mean = float(known.values.mean()) if rows else None
        return VariantMean(name, rows, units, mean, len(own.values) - rows)


def _differences(
    rows: _Rows, present: NDArray[np.intp], names: Sequence[str], alpha: float
) -> tuple[VariantDifference, ...]:
    """Compare each pair, at an equal part of the chance of an error (Bonferroni)."""
    pairs = list(combinations(present, 2))
    factor = -float(ndtri(alpha / len(pairs) / 2))
    return tuple(
        _difference(rows, pair, (names[pair[0]], names[pair[1]]), factor) for pair in pairs
    )


def _difference(
    rows: _Rows, pair: tuple[int, int], names: tuple[str, str], factor: float
) -> VariantDifference:
    both = rows.take(np.flatnonzero(np.isin(rows.variant, pair)))
    units = np.unique(both.units, return_inverse=True)[1]
    found = blocked_difference(both.values, both.variant == pair[1], both.blocks, units)
    if not found.units:
        return VariantDifference(*names, None, None, None, 0, "no day has two requests of both")
    why = CONSTANT if not found.error else ""
    if found.fewest < LEAST_UNITS:
        why = f"fewer than {LEAST_UNITS} requests of one of them on days with both"
    half = factor * found.error
    low, high = found.value - half, found.value + half
    return VariantDifference(*names, found.value, low, high, found.units, why)


def _decided(
    names: Sequence[str],
    differences: Sequence[VariantDifference],
    better: Better,
    margin: float | None,
) -> tuple[Decision, str | None]:
    """Return the decision, and the variant that is better than each other one."""
    if all(_is_within(one, margin) for one in differences):
        return "no difference", None
    wins = dict.fromkeys(names, 0)
    for one in differences:
        if loser := _loser(one, better):
            wins[one.first if loser == one.second else one.second] += 1
    winner = next((name for name, count in wins.items() if count == len(names) - 1), None)
    return ("undecided", None) if winner is None else ("winner", winner)


def _loser(one: VariantDifference, better: Better) -> str:
    """Return the variant that is surely worse than the other; "" where neither is."""
    side = _side(one)
    return "" if not side else one.first if (side > 0) == (better == "higher") else one.second


def _side(one: VariantDifference) -> int:
    """Return 1 where the second is surely higher, -1 where it is lower, and 0 otherwise."""
    if one.why_not or one.low is None or one.high is None:
        return 0
    return int(one.low > 0) - int(one.high < 0)


def _is_within(one: VariantDifference, margin: float | None) -> bool:
    if margin is None or one.why_not or one.low is None or one.high is None:
        return False
    return -margin <= one.low and one.high <= margin


def _limits(pair: VariantDifference, alpha: float) -> str:
    if pair.difference is None or pair.low is None or pair.high is None:
        return pair.why_not
    text = (
        f"{pair.difference:+.4g} ({100 * (1 - alpha):g}% interval {pair.low:+.4g}, {pair.high:+.4g}"
    )
    return f"{text})" + (f"; nothing is decided: {pair.why_not}" if pair.why_not else "")
