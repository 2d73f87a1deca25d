"""What rules ask of rows, and the words for the answers.

A check is a template of SQL: ``{number}`` is its column as numbers, `prepared.FORMS` names the
other forms. `Session` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import number_text
from driftline.errors import InputError
from driftline.monitors.results.violation import percent, plural
from driftline.monitors.rules.condition import SqlCondition, identifier
from driftline.monitors.rules.prepared import Maker, PreparedColumns, whole_row
from driftline.monitors.rules.session import MOST_COUNTED, ROW, ROWS, Answer, Session


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted for one rule."""

    judged_count: int = 0
    broken_count: int = 0
    is_broken: bool = False
    words: str = ""  # Without the column, such as "2% of values outside 0 to 120".
    description: str = ""  # A sentence with exact counts and what was expected.
    concerns_rows: bool = True  # Whether the share of rows tells how grave it is.


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What every check has.

    ``broken`` says what a row is that breaks it, ``wanted`` what it must be.
    """

    columns: tuple[str, ...] = ()
    where: SqlCondition | None = None  # Only these rows are judged.
    conditions: tuple[SqlCondition, ...] = ()  # Within the verdict.
    broken: str = ""
    wanted: str = ""
    noun: str = "rows"
    mostly: float = 1.0  # Smallest share of the judged rows that must be all right, 0-1.
    # Whether it looks at all columns: of rows that are the same in its own, one may break it alone.
    is_of_all: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return tuple(dict.fromkeys((*self.columns, *(self.where.columns if self.where else ()))))

    @property
    def every_condition(self) -> tuple[SqlCondition, ...]:
        """The user's own conditions."""
        return (*self.conditions, *((self.where,) if self.where else ()))

    def query(self, prepared: PreparedColumns) -> str:
        """Return what it asks of the rows in SQL; nothing where it is judged otherwise."""
        return ""

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Judge the answer to its query."""
        raise NotImplementedError

    def row_tally(self, judged: int, broken: int, detail: str = "") -> Tally:
        """Put into words how many rows break it; nothing judged is nothing broken."""
        if judged == 0 or (judged - broken) / judged >= self.mostly:
            return Tally(judged, broken)
        accepted = "" if self.mostly == 1 else f"; {percent(1 - self.mostly)} accepted"
        share = "all" if self.mostly == 1 else f"at least {percent(self.mostly)}"
        return Tally(
            judged,
            broken,
            is_broken=True,
            words=f"{percent(broken / judged)} of {self.noun} {self.broken}{detail}{accepted}",
            description=(
                f"{broken:,} of {judged:,} {self.noun} {self.broken}. "
                f"Expected: {share} {self.wanted}."
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck(Check):
    """A verdict on each row; NULL where it is open."""

    verdict: str
    aggregates: str = "NULL"  # Over the broken rows, for `detail`.
    detail: Callable[[Sequence[Any]], str] = lambda _found: ""
    only: str = "true"  # Rows that are judged at all.
    nulls_fail: bool = False  # Else rows that are open are left out.
    ignore: tuple[str, ...] | None = None  # Of whole rows, in place of columns.
    own: Mapping[str, Maker] = field(default_factory=dict, compare=False)

    def resolved(self, batch: pa.RecordBatch) -> RowCheck:
        """Return the check with its columns, which of whole rows are known with the data."""
        if self.ignore is None or self.columns:
            return self
        return replace(self, columns=whole_row(batch, self.ignore))

    def _judged(self, names: _Names) -> str:
        verdict = self.verdict.format_map(names)
        verdict = f"coalesce({verdict}, false)" if self.nulls_fail else verdict
        source, only = _source(names.prepared, self), self.only.format_map(names)
        return f"SELECT *, {verdict} AS ok FROM (FROM {source}) WHERE {only}"

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query that counts the judged and the broken rows."""
        names = _Names(prepared, self.columns, self.own)
        return (
            f"WITH judged AS ({self._judged(names)}), broken AS (FROM judged WHERE NOT ok) "
            "SELECT (SELECT count(ok) FROM judged), count(*), "
            f"{self.aggregates.format_map(names)} FROM broken"
        )

    def row_query(self, prepared: PreparedColumns) -> str:
        """Return the query that names the rows at fault."""
        names = _Names(prepared, self.columns, self.own)
        return f"SELECT {ROW} FROM ({self._judged(names)}) WHERE NOT ok"

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Put the counts into words."""
        judged, broken, *found = answer.first
        return self.row_tally(judged, broken, self.detail(found) if broken else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeCheck(Check):
    """A few numbers of all rows, and the words that judge them; without SQL, columns' names."""

    aggregates: str = ""
    judge: Callable[[Sequence[Any]], Tally]

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query for the numbers."""
        if not self.aggregates:
            return ""
        names = _Names(prepared, self.columns, {})
        return f"SELECT {self.aggregates.format_map(names)} FROM {_source(prepared, self)}"

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Judge the numbers."""
        return self.judge(answer.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCheck(Check):
    """A user's query whose result is what is wrong; nothing found is all right."""

    text: str

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query itself."""
        return self.text

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Judge what was found: rows of the data, or rows of their own."""
        if answer.marks is not None:
            return self.row_tally(row_count, int(np.count_nonzero(answer.marks)))
        words = f"the query finds {plural(answer.count, 'row')}" if answer.count else ""
        if answer.count > MOST_COUNTED:
            words = f"the query finds more than {MOST_COUNTED:,} rows"
        return Tally(row_count, 0, bool(words), words, f"{words}.", concerns_rows=False)


class _Names(dict[str, str]):
    """Names of prepared columns by what stands in a template's braces."""

    def __init__(
        self, prepared: PreparedColumns, columns: Sequence[str], own: Mapping[str, Maker]
    ) -> None:
        super().__init__()
        self.prepared, self._columns, self._own = prepared, columns, own

    def __missing__(self, form: str) -> str:
        if form in self._own:
            return self.prepared.own((form, id(self._own)), self._own[form])
        return self.prepared.name(form, self._columns)


def _source(prepared: PreparedColumns, check: Check) -> str:
    """Return the rows that a check means, with what conditions name under the user's names."""
    names = dict.fromkeys(name for one in check.every_condition for name in one.columns)
    if len({name.lower() for name in names}) < len(names):
        raise InputError("its conditions name columns that differ in case alone; rename one")
    shown = (f", {prepared.name('value', [name])} AS {identifier(name)}" for name in names)
    rows = f"(SELECT *{''.join(shown)} FROM {ROWS})"
    return rows if check.where is None else f"{rows} WHERE {check.where.sql}"


def rows_where(prepared: PreparedColumns, condition: SqlCondition) -> str:
    """Return the query for the numbers of the rows that meet a condition."""
    return f"SELECT {ROW} FROM {_source(prepared, Check(where=condition))}"


def require_truth(session: Session, condition: SqlCondition, prepared: PreparedColumns) -> None:
    """Refuse a condition that is neither true nor false, or wrong in itself.

    It is tried on a row without values, with the types of a session's rows.
    """
    source = _source(prepared, Check(conditions=(condition,)))
    without = f"(FROM {source} LIMIT 0) RIGHT JOIN (SELECT 1) ON true"
    query = (
        f"SELECT found, typeof(found) FROM (SELECT (\n{condition.text}\n) AS found FROM {without})"
    )
    _, kind = session.ask(query).first
    if kind != "BOOLEAN":
        raise InputError(
            f'condition "{condition.text}" gives {kind}; expected a comparison, which is true or '
            "false"
        )


def view_of(prepared: PreparedColumns, columns: Sequence[str]) -> str:
    """Return the SELECT that a user's query sees as ``data``."""
    lower = [name.lower() for name in columns]
    for name in columns:
        if name.lower() == ROW or lower.count(name.lower()) > 1:
            why = "the number of each row" if name.lower() == ROW else "one like it"
            raise InputError(
                f'rules by SQL cannot tell the column "{name}" from {why}, as names ignore case '
                "there; rename it"
            )
    shown = (f"{prepared.name('value', [name])} AS {identifier(name)}, " for name in columns)
    return f"SELECT {''.join(shown)}{ROW} FROM {ROWS}"


def range_detail(found: Sequence[Any]) -> str:
    """Describe the least and the greatest value of broken rows, if there is a finite one."""
    low, high = (np.nan if one is None else float(one) for one in found)
    if not np.isfinite(low):
        return ""
    first, last = number_text(low), number_text(high)
    return f" ({first})" if first == last else f" ({first} to {last})"


def whole_tally(count: int, words: str, expected: str, *, is_broken: bool) -> Tally:
    """Put into words what is wrong with the rows as a whole; without words, nothing is."""
    return Tally(
        judged_count=count,
        is_broken=is_broken,
        words=f"{words} (expected {expected})" if words else "",
        description=f"{words[:1].upper()}{words[1:]}. Expected: {expected}." if words else "",
        concerns_rows=False,
    )
