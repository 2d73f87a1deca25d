"""Rules on all rows at once: order of values, functions over a table, SQL.

All rows are held in memory. Violating rows are identified by hashes of all their columns, so that
any reading finds them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import hash_rows
from driftline.errors import InputError
from driftline.monitors.results.violation import percent
from driftline.monitors.rules.outcome import RuleCondition, Tally
from driftline.monitors.rules.values import typed


class Judge(Protocol):
    """Judges a table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""

    @property
    def broken(self) -> str:
        """What a row is that is at fault, such as ``not above the row before``."""

    def judge(self, table: pa.Table) -> pa.BooleanArray | str:
        """Return whether each row is all right, null where it is open; or why the table is not.

        An empty text: the table is all right as a whole.
        """


@dataclass(slots=True)
class TableRule:
    """A judgement of all rows at once, with the rows that it is about."""

    judge: Judge
    mostly: float = 1.0  # Smallest share of the judged rows that must be all right, 0-1.
    declaration: Mapping[str, Any] = field(default_factory=dict)
    batches: list[pa.RecordBatch] = field(default_factory=list, init=False, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return self.judge.columns

    @property
    def phrase(self) -> str:
        """What a row is that is at fault."""
        return self.judge.broken

    def start(self) -> TableRule:
        """Return the rule with no rows."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch."""
        self.batches.append(batch)

    def merge(self, other: TableRule) -> None:
        """Take over the rows of another part, which come after these."""
        self.batches += other.batches

    def result(self) -> Tally:
        """Judge the rows."""
        table = self.table()
        if not table.num_rows:
            return Tally(0, 0, is_broken=False)
        verdict = self.judge.judge(table)
        if isinstance(verdict, str):
            return Tally(
                table.num_rows, 0, bool(verdict), verdict, f"{verdict}.", concerns_rows=False
            )
        judged = len(verdict) - verdict.null_count
        broken = judged - int(pc.sum(verdict).as_py() or 0)
        if judged == 0 or (judged - broken) / judged >= self.mostly:
            return Tally(judged, broken, is_broken=False)
        accepted = "" if self.mostly == 1 else f"; {percent(1 - self.mostly)} accepted"
        share = "no row" if self.mostly == 1 else f"at most {percent(1 - self.mostly)}"
        names = (*self.columns, *(name for name in table.column_names if name != UNFIT))
        columns = tuple(dict.fromkeys(names))
        return Tally(
            judged,
            broken,
            is_broken=True,
            words=f"{percent(broken / judged)} of rows {self.phrase}{accepted}",
            description=f"{broken:,} of {judged:,} rows {self.phrase}. Expected: {share}.",
            condition=RuleCondition(
                column=self.columns[0] if self.columns else "",
                phrase=self.phrase,
                breaks=TableCondition(self.start(), columns).of(table, verdict),
                rule=dict(self.declaration),
                columns=columns,
                compared=columns,
            ),
        )

    def table(self) -> pa.Table:
        """Return all rows that have come, in one batch, or several beyond 2 GiB of text."""
        tables = [pa.Table.from_batches([batch]) for batch in self.batches]
        try:
            return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        except pa.ArrowTypeError as error:
            raise InputError(
                f"rules that hold all rows need one type for each column: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class TableCondition:
    """Marks the rows whose hash is among those at fault; keys ascending, shape (keys,)."""

    rule: TableRule
    # Those that tell rows apart: readers add others, such as who sent a row.
    columns: tuple[str, ...]
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    def counted(self, batches: Iterable[pa.RecordBatch]) -> TableCondition:
        """Return it with the rows that are at fault among these."""
        rule = self.rule.start()
        for batch in batches:
            rule.update(batch)
        if not any(batch.num_rows for batch in rule.batches):
            return self
        table = rule.table()
        return self.of(table, rule.judge.judge(table))

    def of(self, table: pa.Table, verdict: pa.BooleanArray | str) -> TableCondition:
        """Return it with the rows of a table that a verdict is against."""
        if isinstance(verdict, str):
            return self
        good = pc.fill_null(verdict, fill_value=True).to_numpy(zero_copy_only=False)
        hashes = np.concatenate([self._hashes(batch) for batch in table.to_batches()])
        return replace(self, keys=np.unique(hashes[~good]))

    def _hashes(self, batch: pa.RecordBatch) -> np.ndarray:
        names = [name for name in self.columns if name in batch.schema.names]
        return hash_rows(batch, names)[0]

    def __call__(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Mark the rows of one batch."""
        return pa.array(np.isin(self._hashes(batch), self.keys))


@dataclass(frozen=True, slots=True)
class Ordered:
    """Values that only rise, or only fall, from row to row; rows without one are left out."""

    column: str
    falls: bool = False
    strictly: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def broken(self) -> str:
        """Return what is out of order."""
        if self.strictly:
            return f"not {'below' if self.falls else 'above'} the value before"
        return f"{'above' if self.falls else 'below'} the value before"

    def judge(self, table: pa.Table) -> pa.BooleanArray:
        """Compare each value with the one before it."""
        values = next(
            pa.chunked_array(found)
            for kind in ("int64", "double", "timestamp", "string")
            if None not in (found := [_read(one, self.column, kind) for one in table.to_batches()])
        )
        known = np.flatnonzero(values.is_valid().to_numpy())
        present = values.drop_null()
        fits = {
            (False, False): pc.greater_equal, (False, True): pc.greater,
            (True, False): pc.less_equal, (True, True): pc.less,
        }[self.falls, self.strictly]  # fmt: skip
        verdict = np.full(len(values), None, object)
        if len(present):
            after = fits(present.slice(1), present.slice(0, len(present) - 1))
            verdict[known] = np.concatenate([[True], after.to_numpy()])
        return pa.array(verdict, pa.bool_())


def _read(batch: pa.RecordBatch, column: str, kind: Any) -> pa.Array | None:  # noqa: ANN401 - A literal.
    """Return a column as a type, missing values null; None where some values do not fit it."""
    values, unfit = typed(batch, column, kind)
    return None if kind != "string" and pc.any(unfit).as_py() else values
