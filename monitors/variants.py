"""Variants of a model side by side, by a comparison that one may look at as often as one likes."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from itertools import combinations
from os import PathLike
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, read_answers
from driftline.baseline.foreign_values import named_values, words_for_numbers
from driftline.baseline.losses import row_losses
from driftline.baseline.outcomes import (
    Outcomes,
    class_texts,
    outcome_classes,
    probability_classes,
)
from driftline.baseline.store import Baseline
from driftline.capture.tables.dataset import META_SCHEMA, Dataset
from driftline.capture.windows.window import Window, WindowRead, moment_of, read_window
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.formats.source import open_source
from driftline.monitors.kinds.model_quality.costs import COST, EXPECTED, Costs
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.declaration import nearest
from driftline.monitors.run.captured_window import labels_of
from driftline.stats.confidence_sequences import blocked_difference, sequence_factor

Numbers = NDArray[np.float64]
Better = Literal["higher", "lower"]
Decision = Literal["winner", "no difference", "undecided"]
# The measures of quality that are means over rows, and which way is better.
QUALITY: dict[str, Better] = {
    "accuracy": "higher", "brier": "lower", "mae": "lower", "mse": "lower",
}  # fmt: skip
# What is no mean over rows, by which people look for it.
NO_MEANS = frozenset(
    {"auc", "roc_auc", "precision", "recall", "f0_5", "f1", "f2", "balanced_accuracy", "r2", "rmse"}
)
CONSTANT = "no variation within either variant, so no error to judge by"
# Before so many requests of each variant, on days with both, nothing is decided
# (bench/variants.md).
LEAST_UNITS = 100
MOST_VARIANTS, NAMED = 20, 8
# Values beyond are left out: sums of their squares have no place in a float.
LARGEST = 1e140
DAY = 86_400_000_000
# All of time, as far as dates go.
EVER = Window(datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class VariantMean:
    """One variant: its rows with a value, the requests they came with, and their mean."""

    variant: str
    rows: int
    units: int
    mean: float


@dataclass(frozen=True, slots=True)
class VariantDifference:
    """Two variants: the second's mean less the first's, within days, with limits for every look."""

    first: str
    second: str
    difference: (
        float | None
    )  # None where no day has two requests of both, or limits are not finite.
    low: float | None
    high: float | None
    units: int
    why_not: str = ""  # Why nothing can be decided by these limits yet.


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """How the variants of one model compare."""

    metric: str
    better: Better
    margin: float | None
    alpha: float  # The chance that any of the limits is ever wrong, over all looks.
    decision: Decision
    winner: str | None
    variants: tuple[VariantMean, ...]
    differences: tuple[VariantDifference, ...]
    left_out: int  # Rows without a variant, or without a value up to `LARGEST`.

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    @property
    def summary(self) -> str:
        """The decision in a line."""
        rows = plural(sum(one.rows for one in self.variants), "row")
        if self.decision == "winner":
            return f"{self.winner} has the {self.better} {self.metric} ({rows})"
        if self.decision == "no difference":
            return f"no difference of {self.metric} beyond {self.margin:g} ({rows})"
        if self.differences and all(one.why_not == CONSTANT for one in self.differences):
            means = ", ".join(f"{one.variant} {one.mean:.6g}" for one in self.variants)
            return (
                f"cannot be decided: {self.metric} does not vary within any variant ({means}), "
                f"and more such rows decide nothing ({rows})"
            )
        return f"not yet decided which variant has the {self.better} {self.metric} ({rows})"

    @property
    def lines(self) -> Iterator[str]:
        """The decision, each variant, each difference with its limits."""
        yield self.summary
        for one in self.variants:
            yield f"{one.variant}: {self.metric} {one.mean:.6g} ({plural(one.rows, 'row')})"
        for pair in self.differences:
            yield f"{pair.second} less {pair.first}: {_limits(pair, self.alpha)}"
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
    """Compare the variants of a model by a mean, as often as one likes.

    Each pair of variants gets limits of its difference that hold at every look (an asymptotic
    confidence sequence), so stopping as soon as there is a winner keeps the chance of a wrong one
    within ``alpha``. Differences are taken within UTC days, as levels and shares of traffic change.

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
        The chance that any decision is ever wrong, over all pairs and looks.
    costs
        Prices of answers, for the metric "cost", as `driftline.check` takes them.

    Returns
    -------
    VariantComparison
        The decision, and means and differences with limits.

    Raises
    ------
    InputError
        When a column is missing or cannot be read, there are fewer than two variants, or an
        argument is out of range.
    """
    baseline = Baseline.load(reference) if isinstance(reference, str | PathLike) else reference
    _require(better, margin, alpha)
    if costs is not None and metric != COST:
        raise InputError(
            f'costs with metric "{metric}"; expected metric="{COST}" (--metric {COST})'
        )
    asked = _Asked(metric, by, cluster, timestamp, baseline, Costs.given(costs))
    return _compared(asked, asked.read(data, start, end), better, margin, alpha)


def _compared(
    asked: _Asked, table: pa.Table, better: Better | None, margin: float | None, alpha: float
) -> VariantComparison:
    metric, by = asked.metric, asked.by
    values, variant, names = asked.values(table), *_codes(table, by)
    kept = np.flatnonzero((np.abs(values) <= LARGEST) & (variant >= 0))
    present = np.unique(variant[kept])
    if not 2 <= len(present) <= MOST_VARIANTS:
        shown = ", ".join(f'"{names[one]}"' for one in present[:NAMED]) or "none"
        shown += ", …" * (len(present) > NAMED)
        words = named_values(asked.words(table))
        told = f"; the baseline has numbers where the data have {words}" * bool(words)
        raise InputError(
            f'column "{by}": {plural(len(present), "variant")} with rows that have a value of '
            f'"{metric}" ({shown}); expected 2 to {MOST_VARIANTS}{told}'
        )
    rows = _Rows(values, variant, asked.blocks(table), asked.units(table)).take(kept)
    side = better or ("lower" if asked.costs is not None else QUALITY.get(metric, "higher"))
    means = tuple(VariantMean(names[one], *rows.mean_of(one)) for one in present)
    differences = _differences(rows, present, names, alpha)
    decision, winner = _decided([one.variant for one in means], differences, side, margin)
    return VariantComparison(
        metric, side, margin, alpha, decision, winner, means, differences,
        left_out=table.num_rows - len(kept),
    )  # fmt: skip


def _require(better: object, margin: object, alpha: object) -> None:
    if better not in (None, "higher", "lower"):
        raise InputError(f'better {better!r}; expected "higher" or "lower"')
    if margin is not None and not (isinstance(margin, int | float) and 0 < margin < math.inf):
        raise InputError(f"margin {margin!r}; expected a number above 0")
    if not (isinstance(alpha, int | float) and 0 < alpha < 0.5):
        raise InputError(f"alpha {alpha!r}; expected a chance between 0 and 0.5, such as 0.05")


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows with a value, shapes (rows,)."""

    values: Numbers
    variant: NDArray[np.intp]
    blocks: NDArray[np.intp]
    units: NDArray[np.intp]

    def take(self, places: NDArray[np.intp]) -> _Rows:
        return _Rows(
            self.values[places], self.variant[places], self.blocks[places], self.units[places]
        )

    def mean_of(self, variant: int) -> tuple[int, int, float]:
        chosen = self.variant == variant
        units = len(np.unique(self.units[chosen]))
        return int(chosen.sum()), units, float(self.values[chosen].mean())


def _differences(
    rows: _Rows, present: NDArray[np.intp], names: Sequence[str], alpha: float
) -> tuple[VariantDifference, ...]:
    """Compare each pair, at an equal part of the chance of an error (Bonferroni)."""
    pairs = list(combinations(present, 2))
    return tuple(
        _difference(rows, pair, (names[pair[0]], names[pair[1]]), alpha / len(pairs))
        for pair in pairs
    )


def _difference(
    rows: _Rows, pair: tuple[int, int], names: tuple[str, str], alpha: float
) -> VariantDifference:
    both = rows.take(np.flatnonzero(np.isin(rows.variant, pair)))
    is_second = both.variant == pair[1]
    units = np.unique(both.units, return_inverse=True)[1]
    found = blocked_difference(both.values, is_second, both.blocks, units)
    if not found.units:
        return VariantDifference(*names, None, None, None, 0, "no day has two requests of both")
    why = ""
    if found.fewest < LEAST_UNITS:
        why = f"fewer than {LEAST_UNITS} requests of one of them on days with both"
    if not found.error:
        why = CONSTANT
    half = found.error * sequence_factor(found.units, alpha=alpha)
    low, high = found.value - half, found.value + half
    if not math.isfinite(low) or not math.isfinite(high):
        return VariantDifference(*names, None, None, None, found.units, "its limits are not finite")
    return VariantDifference(*names, found.value, low, high, found.units, why)


def _decided(
    names: Sequence[str],
    differences: Sequence[VariantDifference],
    better: Better,
    margin: float | None,
) -> tuple[Decision, str | None]:
    """Return the decision, and the variant that is better than each other one."""
    if margin is not None and all(_is_within(one, margin) for one in differences):
        return "no difference", None
    wins = dict.fromkeys(names, 0)
    for one in differences:
        if one.why_not or one.low is None or one.high is None or one.low <= 0 <= one.high:
            continue
        wins[one.second if (one.low > 0) == (better == "higher") else one.first] += 1
    winner = next((name for name, count in wins.items() if count == len(names) - 1), None)
    return ("undecided", None) if winner is None else ("winner", winner)


def _is_within(one: VariantDifference, margin: float) -> bool:
    if one.why_not or one.low is None or one.high is None:
        return False
    return -margin <= one.low and one.high <= margin


def _limits(pair: VariantDifference, alpha: float) -> str:
    if pair.difference is None or pair.low is None or pair.high is None:
        return pair.why_not
    text = (
        f"{pair.difference:+.4g} ({100 * (1 - alpha):g}% limits {pair.low:+.4g}, {pair.high:+.4g}"
    )
    return f"{text})" + (f"; nothing is decided: {pair.why_not}" if pair.why_not else "")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is compared, and the columns that it takes."""

    metric: str
    by: str
    cluster: str | None
    timestamp: str | None
    baseline: Baseline | None
    costs: Costs | None = None

    @property
    def is_quality(self) -> bool:
        if self.costs is not None:
            return True
        known = None if self.baseline is None else self.baseline.signature.get(self.metric)
        return self.metric in QUALITY and known is None

    def read(self, data: object, start: date | str | None, end: date | str | None) -> pa.Table:
        """Read the columns that are needed, of the period."""
        span = Window(
            EVER.start if start is None else moment_of(start, "start"),
            EVER.end if end is None else moment_of(end, "end"),
        )
        read = (
            None
            if self.baseline is None
            else _captured(
                data, self.baseline, span, [self.by, self.metric, self.cluster, self.timestamp]
            )
        )
        signature = None if self.baseline is None else self.baseline.signature.as_sent()
        source = open_source(data, signature=signature) if read is None else read
        names = source.schema.names
        wanted = self._columns(names)
        for name in wanted:
            if name not in names:
                raise InputError(self._lack(name, names))
        if (start or end) and self._time(names) is None:
            raise InputError("a period is asked for, and no column has times; name it: timestamp=")
        table = pa.Table.from_batches(
            [one.select(wanted) for one in source.batches()],
            pa.schema([source.schema.field(name) for name in wanted]),
        )
        if (start or end) and (time := self._time(wanted)) is not None:
            times = _times(table, time)
            inside = pc.and_(
                pc.greater_equal(times, pa.scalar(span.start, times.type)),
                pc.less(times, pa.scalar(span.end, times.type)),
            )
            table = table.filter(inside)
        return table

    def _lack(self, name: str, names: Sequence[str]) -> str:
        """Return of a column that is not there what it is for, and what may be meant."""
        lack = f'the data have no column "{name}"'
        shown = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
        if name == self.by:
            return (
                f"{lack}, which would name the variant of each row{nearest(name, names)}; name "
                f"one: by= (--by); there are {shown}"
            )
        if name != self.metric or self.is_quality:
            return f"{lack}; it is needed to compare"
        plain = name.lower()
        if plain == COST:
            return f"{lack}; for what answers cost, give their prices: costs= (--costs), {EXPECTED}"
        if plain in NO_MEANS:
            return (
                f'"{name}" is no mean over rows and cannot be compared; expected '
                f"{', '.join(QUALITY)} or a column, or run a model quality monitor for each variant"
            )
        hint = nearest(plain, (*QUALITY, *names))
        return (
            f"{lack}, nor is that a measure{hint}; expected {', '.join(QUALITY)}, or one of {shown}"
        )

    def _columns(self, names: Sequence[str]) -> list[str]:
        found = [self.by]
        if self.is_quality:
            roles = self._outcomes.roles
            found += [one for one in (roles.label, roles.prediction, *roles.probability) if one]
        else:
            found.append(self.metric)
        more = (self._cluster(names), self._time(names))
        return list(dict.fromkeys([*found, *(one for one in more if one is not None)]))

    @property
    def _outcomes(self) -> Outcomes:
        outcomes = None if self.baseline is None else self.baseline.outcomes
        if outcomes is None or outcomes.roles.label is None:
            raise InputError(
                f'"{self.metric}" takes a baseline that was made with label and prediction or '
                "probability; give reference= (--baseline), or compare a column of numbers"
            )
        return outcomes

    def _cluster(self, names: Sequence[str]) -> str | None:
        return self.cluster or ("event_id" if "event_id" in names else None)

    def _time(self, names: Sequence[str]) -> str | None:
        if self.timestamp is not None:
            return self.timestamp
        known = [] if self.baseline is None else [self.baseline.signature.event_time]
        return next((one for one in (*known, "event_time") if one in names), None)

    def values(self, table: pa.Table) -> Numbers:
        """Return what is compared, shape (rows,); NaN where a row has none."""
        found = np.full(table.num_rows, np.nan)
        if not self.is_quality:
            column = table[self.metric].combine_chunks()
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.int8())
            plain = coerce(column, "double")[0]
            return np.asarray(plain.to_numpy(zero_copy_only=False), np.float64)
        answers = self._answers(table)
        found[answers.places] = self._measure(answers)
        return found

    def _answers(self, table: pa.Table) -> Answers:
        assert self.baseline is not None
        outcomes = self._outcomes
        roles = replace(outcomes.roles, weight=None, quantiles=())
        problem = roles.problem
        assert problem is not None, "a baseline's is settled"
        kinds = {one.name: one.compared_type for one in self.baseline.signature.columns}
        typed = pa.table(
            {
                name: coerce(table[name].combine_chunks(), kinds[name])[0]
                if name in kinds
                else table[name]
                for name in (roles.label, roles.prediction, *roles.probability)
                if name is not None
            }
        )
        chances = probability_classes(self.baseline.signature)
        known = read_answers(outcomes.table, roles, problem, chances=chances)
        return read_answers(
            typed, roles, problem, known.classes, chances, outcome_classes(outcomes),
            known.limits,
        )  # fmt: skip

    def words(self, table: pa.Table) -> Counter[str]:
        """Count the words of labels and answers where the baseline has numbers."""
        if self.baseline is None or not self.is_quality:
            return Counter()
        columns = self.baseline.signature.columns
        numbers = {one.name for one in columns if one.compared_type in ("int64", "double")}
        roles = self._outcomes.roles
        return words_for_numbers(
            table, numbers & {roles.label, roles.prediction, *roles.probability}
        )

    def _measure(self, answers: Answers) -> Numbers:
        """Return the measure of each labelled row."""
        if answers.problem == "ranking":
            raise InputError("rankings are not compared; expected classes or numbers as answers")
        is_number = answers.problem == "regression"
        if self.costs is not None and not is_number:
            prices = self.costs.matrix(answers.classes)
            return prices[answers.label.astype(np.intp), answers.answer.astype(np.intp)]
        if is_number != (self.metric in ("mae", "mse")):
            fits = ("mae", "mse") if is_number else ("accuracy", "brier")
            raise InputError(
                f'"{self.metric}" is no measure of this model; expected {" or ".join(fits)}, or a '
                "column of numbers"
            )
        if self.metric == "brier" and answers.probability is None:
            raise InputError('"brier" takes a probability, and the baseline names none')
        if self.metric == "accuracy":
            return np.asarray(answers.label == answers.answer, np.float64)
        losses = row_losses(answers)
        return np.sqrt(losses) if self.metric == "mae" else losses

    def units(self, table: pa.Table) -> NDArray[np.intp]:
        """Return which rows hang together, shape (rows,)."""
        name = self._cluster(table.column_names)
        if name is None:
            return np.arange(table.num_rows)
        codes = _codes(table, name)[0]
        alone = codes < 0  # Without a name each is by itself.
        codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
        return codes

    def blocks(self, table: pa.Table) -> NDArray[np.intp]:
        """Return the UTC day of each row, shape (rows,); one where times are not known."""
        name = self._time(table.column_names)
        if name is None:
            return np.zeros(table.num_rows, np.intp)
        times = _times(table, name).cast(pa.int64())
        days = pc.fill_null(times, -DAY).to_numpy(zero_copy_only=False) // DAY
        return np.unique(days, return_inverse=True)[1].astype(np.intp)


def _captured(
    data: object, baseline: Baseline, span: Window, named: Sequence[str | None]
) -> WindowRead | None:
    """Open the rows of ``capture/ENDPOINT`` with their labels; None for other data."""
    if not isinstance(data, str | PathLike):
        return None
    root, _, endpoint = str(data).rstrip("/").rpartition("/")
    if not root.endswith("capture") or not endpoint:
        return None
    root = root.removesuffix("capture").rstrip("/") or "."
    if Dataset(root, endpoint).open(span.start.date().isoformat(), "9999-12-31") is None:
        return None
    own = baseline.signature
    names = [one.name for one in (*own.inputs, *own.outputs)]
    more = [one for one in META_SCHEMA.names if one in ("event_id", "event_time", *named)]
    more = [one for one in more if one not in names]
    return read_window(
        root, endpoint, span, own, columns=[*names, *more], labels=labels_of(baseline), shadows=True
    )


def _codes(table: pa.Table, name: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return each row's text as a code, shape (rows,), -1 where there is none; and sorted texts."""
    if pa.types.is_nested(table[name].type):
        raise InputError(
            f'column "{name}" holds {table[name].type}; expected texts, numbers or truth values'
        )
    encoded = class_texts(table[name])
    texts = np.array(encoded.dictionary.to_pylist(), object)
    order = np.argsort(texts)
    # The last place is that of no text.
    ranks = np.append(np.argsort(order), -1)
    return ranks[pc.fill_null(encoded.indices, -1).to_numpy()], texts[order].tolist()


def _times(table: pa.Table, name: str) -> pa.Array:
    """Return the times of a column, null where there is none."""
    times, unfit = coerce(table[name].combine_chunks(), "timestamp")
    if unfit and times.null_count == len(times):
        raise InputError(
            f'column "{name}" holds no time that can be read ({table[name].type}); expected times '
            "such as 2013-11-18T00:00:00Z; name another: timestamp="
        )
    return times
