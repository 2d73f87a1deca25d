"""What variants are compared by: the value, day and request of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from os import PathLike
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, is_labelled, read_answers
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
from driftline.monitors.rules.rule import nearest
from driftline.monitors.run.captured_window import labels_of

Numbers = NDArray[np.float64]
Better = Literal["higher", "lower"]
# The measures of quality that are means over rows, and which way is better.
QUALITY: dict[str, Better] = {
    "accuracy": "higher", "brier": "lower", "mae": "lower", "mse": "lower",
}  # fmt: skip
NAMED = 8
DAY = 86_400_000_000
# All of time, as far as dates go.
EVER = Window(datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared, and the columns that it takes."""

    metric: str
    by: str
    cluster: str | None
    timestamp: str | None
    baseline: Baseline | None
    costs: Costs | None = None

    @property
    def is_quality(self) -> bool:
        """Whether a measure of quality is compared, and no column."""
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
        lack = f'the data have no column "{name}"{nearest(name, names)}'
        shown = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
        if name == self.by:
            return f"{lack}; name the one that names the variant of each row: by="
        if name != self.metric or self.is_quality:
            return f"{lack}; it is needed to compare"
        if name.lower() == COST:
            return f"{lack}; for what answers cost, give their prices: costs, {EXPECTED}"
        return f"{lack}; expected a mean over rows ({', '.join(QUALITY)}) or one of {shown}"

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
                "probability; name a baseline, or compare a column of numbers"
            )
        return outcomes

    def _cluster(self, names: Sequence[str]) -> str | None:
        return self.cluster or ("event_id" if "event_id" in names else None)

    def _time(self, names: Sequence[str]) -> str | None:
        if self.timestamp is not None:
            return self.timestamp
        known = [] if self.baseline is None else [self.baseline.signature.event_time]
        return next((one for one in (*known, "event_time") if one in names), None)

    def values(self, table: pa.Table) -> tuple[Numbers, str]:
        """Return what is compared, shape (rows,), NaN where a row has none; and classes unknown."""
        found = np.full(table.num_rows, np.nan)
        if not self.is_quality:
            column = table[self.metric].combine_chunks()
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.int8())
            plain = coerce(column, "double")[0]
            return np.asarray(plain.to_numpy(zero_copy_only=False), np.float64), ""
        answers = self._answers(table)
        # Of a forecast the mean of its values that have a label.
        rows = table.num_rows
        each = np.bincount(answers.places, minlength=rows)
        sums = np.bincount(answers.places, self._measure(answers), rows)
        unknown = ""
        if answers.unknown:
            what = "as negative" if answers.problem == "binary" else "as classes of their own"
            unknown = (
                f"{plural(answers.unknown, 'row')} with a class that the reference never has "
                f"({answers.unknown_words}), which count {what}"
            )
        return np.divide(sums, each, out=found, where=each > 0), unknown

    def has_label(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return which rows have what is compared once they are answered, shape (rows,)."""
        if not self.is_quality:
            return np.ones(table.num_rows, np.bool_)
        roles = self._outcomes.roles
        assert roles.label is not None
        assert roles.problem is not None, "a baseline's is settled"
        return is_labelled(table[roles.label], roles.problem)

    def _answers(self, table: pa.Table) -> Answers:
        assert self.baseline is not None
        outcomes = self._outcomes
        roles = replace(outcomes.roles, weight=None, quantiles=())
        problem = roles.problem
        assert problem is not None, "a baseline's is settled"
        kinds = {one.name: one.type for one in self.baseline.signature.columns}
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

    def _measure(self, answers: Answers) -> Numbers:
        """Return the measure of each labelled row."""
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
        found = codes(table, name)[0]
        alone = found < 0  # Without a name each is by itself.
        found[alone] = found.max(initial=-1) + 1 + np.arange(int(alone.sum()))
        return found

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


def codes(table: pa.Table, name: str) -> tuple[NDArray[np.intp], list[str]]:
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
