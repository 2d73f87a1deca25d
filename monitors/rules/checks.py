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

from driftline.baseline.predicate import UNFIT, number_text
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.monitors.results.violation import percent, plural
from driftline.monitors.rules.condition import SqlCondition, identifier
from driftline.monitors.rules.outcome import Tally
from driftline.monitors.rules.own_functions import FunctionCheck
from driftline.monitors.rules.prepared import Maker, PreparedColumns, whole_row
from driftline.monitors.rules.session import MOST_COUNTED, ROW, ROWS, Answer, Session

NOTHING_JUDGED = Tally(0, 0, is_broken=False)


def literal(value: str | float) -> str:
    """Write a text or number as SQL."""
    if isinstance(value, str):
        quoted = "'" + value.replace("'", "''") + "'"
        return "(" + quoted.replace("\0", "' || chr(0) || '") + ")"
    return f"{value!r}::DOUBLE" if isinstance(value, float) else repr(value)


def as_template(sql: str) -> str:
    """Return SQL that is none of ours as part of a template."""
    return sql.replace("{", "{{").replace("}", "}}")


class _Names(dict[str, str]):
    """Names of prepared columns by what stands in a template's braces."""

    def __init__(
        self, prepared: PreparedColumns, columns: Sequence[str], own: Mapping[str, Maker]
    ) -> None:
        super().__init__()
        self._prepared, self._columns, self._own = prepared, columns, own

    def __missing__(self, form: str) -> str:
        if form in self._own:
            return self._prepared.own((form, id(self._own)), self._own[form])
        return self._prepared.name(form, self._columns)


def _source(
    prepared: PreparedColumns, conditions: Sequence[SqlCondition], where: SqlCondition | None
) -> str:
    """Return the rows that a condition means, with what conditions name under the user's names."""
    every = [*conditions, *([] if where is None else [where])]
    names = dict.fromkeys(name for one in every for name in one.columns)
    if len({name.lower() for name in names}) < len(names):
        raise InputError("its conditions name columns that differ in case alone; rename one")
    shown = (f", {prepared.name('value', [name])} AS {identifier(name)}" for name in names)
    rows = f"(SELECT *{''.join(shown)} FROM {ROWS})"
    return rows if where is None else f"{rows} WHERE {where.sql}"


def rows_where(prepared: PreparedColumns, condition: SqlCondition) -> str:
    """Return the query for the numbers of the rows that meet a condition."""
    return f"SELECT {ROW} FROM {_source(prepared, (), condition)}"


def require_truth(session: Session, condition: SqlCondition, prepared: PreparedColumns) -> None:
    """Refuse a condition that is neither true nor false, or wrong in itself.

    It is tried on a row without values, with the types of a session's rows.
    """
    source = _source(prepared, [condition], None)
    without = f"(FROM {source} LIMIT 0) RIGHT JOIN (SELECT 1) ON true"
    kind = session.ask(f"SELECT (\n{condition.text}\n) FROM {without}").types[0]
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


def no_detail(_found: Sequence[Any]) -> str:
    """Say nothing more of the rows at fault."""
    return ""


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A verdict on each row; NULL where it is open.

    ``broken`` says what a row is that breaks it, ``wanted`` what it must be.
    """

    columns: tuple[str, ...]
    verdict: str
    broken: str
    wanted: str
    noun: str = "rows"
    aggregates: str = "NULL"  # Over the broken rows, for `detail`.
    detail: Callable[[Sequence[Any]], str] = no_detail
    only: str = "true"  # Rows that are judged at all.
    mostly: float = 1.0  # Smallest share of the judged rows that must be all right, 0-1.
    nulls_fail: bool = False  # Else rows that are open are left out.
    conditions: tuple[SqlCondition, ...] = ()  # Within the verdict.
    where: SqlCondition | None = None  # Only these rows are judged.
    ignore: tuple[str, ...] | None = None  # Of whole rows, in place of columns.
    is_ordered: bool = False  # Of rows that are the same in the columns, one may break it alone.
    own: Mapping[str, Maker] = field(default_factory=dict, compare=False)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return _needed(self.columns, self.where)

    @property
    def every_condition(self) -> tuple[SqlCondition, ...]:
        """The user's own conditions."""
        return (*self.conditions, *(() if self.where is None else (self.where,)))

    def resolved(self, batch: pa.RecordBatch) -> RowCheck:
        """Return the check with its columns, which of whole rows are known with the data."""
        if self.ignore is None or self.columns:
            return self
        return replace(self, columns=whole_row(batch, self.ignore))

    def _judged(self, prepared: PreparedColumns) -> str:
        names = _Names(prepared, self.columns, self.own)
        verdict = self.verdict.format_map(names)
        verdict = f"coalesce({verdict}, false)" if self.nulls_fail else verdict
        source = _source(prepared, self.conditions, self.where)
        only = self.only.format_map(names)
        return f"SELECT *, {verdict} AS ok FROM (FROM {source}) WHERE {only}"

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query that counts the judged and the broken rows."""
        found = self.aggregates.format_map(_Names(prepared, self.columns, self.own))
        return (
            f"WITH judged AS ({self._judged(prepared)}), broken AS (FROM judged WHERE NOT ok) "
            f"SELECT (SELECT count(ok) FROM judged), count(*), {found} FROM broken"
        )

    def row_query(self, prepared: PreparedColumns) -> str:
        """Return the query that names the rows at fault."""
        return f"SELECT {ROW} FROM ({self._judged(prepared)}) WHERE NOT ok"

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Put the counts into words; nothing judged is nothing broken."""
        assert answer.first is not None, "counts have a row"
        judged, broken, *found = answer.first
        return row_tally(self, judged, broken, self.detail(found) if broken else "")


def row_tally(
    check: RowCheck | QueryCheck | FunctionCheck, judged: int, broken: int, detail: str = ""
) -> Tally:
    """Put into words how many rows break a check."""
    if judged == 0 or (judged - broken) / judged >= check.mostly:
        return Tally(judged, broken, is_broken=False)
    accepted = "" if check.mostly == 1 else f"; {percent(1 - check.mostly)} accepted"
    share = "all" if check.mostly == 1 else f"at least {percent(check.mostly)}"
    return Tally(
        judged,
        broken,
        is_broken=True,
        words=f"{percent(broken / judged)} of {check.noun} {check.broken}{detail}{accepted}",
        description=(
            f"{broken:,} of {judged:,} {check.noun} {check.broken}. "
            f"Expected: {share} {check.wanted}."
        ),
    )


def range_detail(found: Sequence[Any]) -> str:
    """Describe the least and the greatest value of broken rows, if there is a finite one."""
    low, high = (np.nan if one is None else float(one) for one in found)
    if not np.isfinite(low):
        return ""
    first, last = number_text(low), number_text(high)
    return f" ({first})" if first == last else f" ({first} to {last})"


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """A few numbers of all rows, and the words that judge them."""

    columns: tuple[str, ...]
    aggregates: str
    judge: Callable[[Sequence[Any]], Tally]
    where: SqlCondition | None = None

    @property
    def every_condition(self) -> tuple[SqlCondition, ...]:
        """The user's own conditions."""
        return () if self.where is None else (self.where,)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return _needed(self.columns, self.where)

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query for the numbers."""
        found = self.aggregates.format_map(_Names(prepared, self.columns, {}))
        return f"SELECT {found} FROM {_source(prepared, (), self.where)}"

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Judge the numbers."""
        assert answer.first is not None, "numbers have a row"
        return self.judge(answer.first)


@dataclass(frozen=True, slots=True)
class QueryCheck:
    """A user's query whose result is what is wrong; nothing found is all right."""

    text: str
    mostly: float = 1.0
    noun = "rows"
    broken = "that the query finds"
    wanted = "that it does not find"
    needed: tuple[str, ...] = ()  # None must be there: the query says what it lacks.

    def query(self, prepared: PreparedColumns) -> str:
        """Return the query itself."""
        return self.text

    def tally(self, answer: Answer, row_count: int) -> Tally:
        """Judge what was found: rows of the data, or rows of their own."""
        if answer.marks is not None:
            return row_tally(self, row_count, int(np.count_nonzero(answer.marks)))
        words = f"the query finds {plural(answer.count, 'row')}" if answer.count else ""
        if answer.count > MOST_COUNTED:
            words = f"the query finds more than {MOST_COUNTED:,} rows"
        return Tally(row_count, 0, bool(words), words, f"{words}.", concerns_rows=False)


@dataclass(frozen=True, slots=True)
class NamesCheck:
    """Columns that the data must have, in any order or in this one."""

    wanted: tuple[str, ...]
    in_order: bool = False
    exact: bool = False  # Whether there may be no others.
    needed: tuple[str, ...] = ()  # It judges whether they are there, and so needs none.

    def judge(self, names: Sequence[str]) -> Tally:
        """Compare the names of the data."""
        own = {*ROW_IDS, UNFIT}
        names = [name for name in names if name not in own]
        lacking = [name for name in self.wanted if name not in names]
        present = [name for name in names if name in self.wanted]
        others = [name for name in names if name not in self.wanted]
        words = ""
        if lacking:
            words = f"no {plural(len(lacking), 'column').partition(' ')[2]} {_listed(lacking)}"
        elif self.in_order and present != list(self.wanted):
            words = f"columns in the order {_listed(present)}"
        elif self.exact and others:
            words = f"other columns {_listed(others)}"
        expected = _listed(self.wanted) + (" in this order" if self.in_order else "")
        expected += " and no others" if self.exact else ""
        return whole_tally(len(names), words, expected, is_broken=bool(words))


def whole_tally(count: int, words: str, expected: str, *, is_broken: bool) -> Tally:
    """Put into words what is wrong with the rows as a whole; without words, nothing is."""
    return Tally(
        judged_count=count,
        broken_count=0,
        is_broken=is_broken,
        words=f"{words} (expected {expected})" if words else "",
        description=f"{words[:1].upper()}{words[1:]}. Expected: {expected}." if words else "",
        concerns_rows=False,
    )


def _needed(columns: Sequence[str], where: SqlCondition | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*columns, *(() if where is None else where.columns))))


def _listed(names: Sequence[str]) -> str:
    shown = [f'"{name}"' for name in names]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
