"""Rules on all rows together: how many, how new, and whether any come twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import hash_rows, is_captured
from driftline.capture.windows.window import ROW_IDS
from driftline.monitors.results.violation import percent, plural
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.keys import KeyCounts
from driftline.monitors.rules.outcome import RuleCondition, Tally
from driftline.monitors.rules.values import typed

# Clocks differ: a time so little ahead is now.
LEEWAY = timedelta(minutes=5)
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class RowCount:
    """A number of rows within bounds, both allowed."""

    least: int | None = None
    most: int | None = None
    where: Expression | None = None
    count: int = field(default=0, init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the condition, if there is one."""
        return () if self.where is None else self.where.columns

    def start(self) -> RowCount:
        """Return the check with nothing counted."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""
        where = self.where
        self.count += (
            batch.num_rows if where is None else int(pc.sum(where.evaluate(batch)).as_py() or 0)
        )

    def merge(self, other: RowCount) -> None:
        """Take over what another part has counted."""
        self.count += other.count

    def result(self) -> Tally:
        """Compare with the bounds."""
        count = self.count
        too_few = self.least is not None and count < self.least
        too_many = self.most is not None and count > self.most
        limits = f"{self.least:,}" if self.least == self.most else _counts(self)
        where = "" if self.where is None else f" with {self.where.text}"
        return Tally(
            judged_count=count,
            broken_count=0,
            is_broken=too_few or too_many,
            words=f"{plural(count, 'row')}{where} (expected {limits})",
            description=f"{plural(count, 'row')}{where}. Expected: {limits} rows.",
            concerns_rows=False,
        )


def _counts(check: RowCount) -> str:
    if check.least is not None and check.most is not None:
        return f"{check.least:,} to {check.most:,}"
    word, limit = ("at least", check.least) if check.most is None else ("at most", check.most)
    return f"{word} {limit:,}"


@dataclass(slots=True)
class Freshness:
    """A newest time that is not older than `max_age` at the moment `as_of`."""

    column: str
    max_age: timedelta
    as_of: datetime
    newest: datetime | None = field(default=None, init=False)
    known_count: int = field(default=0, init=False)
    future_count: int = field(default=0, init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def start(self) -> Freshness:
        """Return the check with no time seen."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Look at one batch."""
        times = typed(batch, self.column, "timestamp")[0].drop_null()
        self.known_count += len(times)
        # A time to come would hide that nothing has come for long.
        last = pa.scalar(self.as_of.astimezone(UTC) + LEEWAY, pa.timestamp("us", "UTC"))
        come = times.filter(pc.less_equal(times, last))
        self.future_count += len(times) - len(come)
        if len(come):
            newest = pc.max(come)
            # Arrow knows times before the year 1, Python does not.
            first = pa.scalar(EARLIEST, newest.type)
            self._see((newest if pc.greater(newest, first).as_py() else first).as_py())

    def _see(self, moment: datetime) -> None:
        self.newest = moment if self.newest is None else max(self.newest, moment)

    def merge(self, other: Freshness) -> None:
        """Take over what another part has seen."""
        self.known_count += other.known_count
        self.future_count += other.future_count
        if other.newest is not None:
            self._see(other.newest)

    def result(self) -> Tally:
        """Compare with the age that is allowed; the moment itself is not told, see docs."""
        wanted = f"a time within {span_in_words(self.max_age)}"
        if self.newest is not None:
            is_old = self.as_of - self.newest > self.max_age
            words = f"newest time is {self.newest.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        else:
            is_old = True
            words = "all times lie in the future" if self.future_count else "no row holds a time"
        return Tally(
            judged_count=self.known_count,
            broken_count=0,
            is_broken=is_old,
            words=f"{words} (expected {wanted})",
            description=f"{words[0].upper()}{words[1:]}. Expected: {wanted}.",
            concerns_rows=False,
        )


def span_in_words(span: timedelta) -> str:
    """Write a span in its largest whole unit: ``36 hours``, ``1 day``."""
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size and seconds % size == 0:
            return plural(int(seconds // size), unit)
    return f"{seconds:g} seconds"


@dataclass(slots=True)
class Unique:
    """No two rows alike in some columns, or in all; rows without any of the values are left out."""

    columns: tuple[str, ...] = ()  # Empty: all but the ignored.
    ignore: tuple[str, ...] = ()
    mostly: float = 1.0  # Smallest share of rows that must be unique, 0-1.
    where: Expression | None = None
    declaration: Mapping[str, Any] = field(default_factory=dict)
    counts: KeyCounts = field(default_factory=KeyCounts, init=False, compare=False, repr=False)
    compared: tuple[str, ...] = field(default=(), init=False)

    def start(self) -> Unique:
        """Return the check with nothing counted."""
        return replace(self)

    @property
    def phrase(self) -> str:
        """Return what a row is that breaks it."""
        if not self.columns:
            return "like another row"
        noun = "value" if len(self.columns) == 1 else "combination"
        return f"with a {noun} that occurs more than once"

    def keys(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """Hash what is compared, and say which rows are; each of shape (rows,)."""
        hashes, known = hash_rows(batch, self.columns or self.all_of(batch))
        if len(self.columns) == 1 and _is_of_request(batch, self.columns[0], "inference_id"):
            # All rows of a request share its id, which is thereby not repeated.
            known = known & pc.equal(batch.column("row_index"), 0).to_numpy(zero_copy_only=False)
        if self.where is not None:
            meant = pc.fill_null(self.where.evaluate(batch), fill_value=False)
            known = known & meant.to_numpy(zero_copy_only=False)
        return hashes, known

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the keys of one batch."""
        self.compared = self.compared or self.columns or self.all_of(batch)
        hashes, known = self.keys(batch)
        self.counts.add(hashes[known])

    def merge(self, other: Unique) -> None:
        """Take over what another part has counted."""
        self.counts.merge(other.counts)
        self.compared = self.compared or other.compared

    def result(self) -> Tally:
        """Return how many rows are alike."""
        found = self.counts.repeats()
        rows, alike = found.row_count, found.repeated_rows
        if rows == 0 or (rows - alike) / rows >= self.mostly:
            return Tally(rows, alike, is_broken=False)
        phrase = self.phrase
        more = () if self.where is None else self.where.columns
        noun = "value" if len(self.columns) == 1 else "combination"
        what = (
            plural(found.repeated_keys, f"such {noun}")
            if self.columns
            else f"{found.repeated_keys:,} different"
        )
        accepted = "" if self.mostly == 1 else f"; {percent(1 - self.mostly)} accepted"
        wanted = "all rows" if self.mostly == 1 else f"at least {percent(self.mostly)}"
        return Tally(
            judged_count=rows,
            broken_count=alike,
            is_broken=True,
            words=f"{percent(alike / rows)} of rows {phrase} ({what}){accepted}",
            description=(
                f"{alike:,} of {rows:,} rows {phrase}, {what}. Expected: {wanted} unlike any other."
            ),
            condition=RuleCondition(
                column=self.columns[0] if self.columns else "",
                phrase=phrase,
                breaks=UniqueCondition(replace(self, columns=self.compared), found.keys),
                rule=dict(self.declaration),
                columns=tuple(dict.fromkeys((*self.compared, *more))),
                compared=self.compared,
            ),
        )

    def all_of(self, batch: pa.RecordBatch) -> tuple[str, ...]:
        """Name the columns that are compared, in one order whatever order they came in."""
        own = {*ROW_IDS, UNFIT} if is_captured(batch) else set()
        left = set(batch.schema.names) - own - set(self.ignore)
        # A row that is sent again comes with another id, and at another time.
        sent = [
            name
            for name in left
            if any(_is_of_request(batch, name, meta) for meta in ("inference_id", "event_time"))
        ]
        return tuple(sorted(left.difference(sent)))


def _is_of_request(batch: pa.RecordBatch, column: str, meta: str) -> bool:
    """Whether a column of captured rows is the request's own id or time, under whatever name."""
    if not is_captured(batch) or batch.schema.get_field_index(meta) < 0:
        return False
    return bool(batch.column(column).equals(batch.column(meta)))


@dataclass(frozen=True, slots=True)
class UniqueCondition:
    """Marks the rows whose key is among the repeated ones; keys ascending, shape (keys,).

    No document holds keys, because integers can be read from theirs.
    """

    rule: Unique
    keys: np.ndarray

    def counted(self, batches: Iterable[pa.RecordBatch]) -> UniqueCondition:
        """Return it with the keys that these rows repeat."""
        counter = self.rule.start()
        for batch in batches:
            counter.update(batch)
        return UniqueCondition(self.rule, counter.counts.repeats().keys)

    def __call__(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Mark the rows of one batch."""
        hashes, known = self.rule.keys(batch)
        if not len(self.keys):
            return pa.array(np.zeros(len(hashes), bool))
        places = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        return pa.array((self.keys[places] == hashes) & known)
