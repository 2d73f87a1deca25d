"""Judges rules on rows: one process runs their SQL over one reading, and what it says is worded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import UNFIT
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import DriftlineError, InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.monitors.rules.catalog import Check
from driftline.monitors.rules.checks import (
    NOTHING_JUDGED,
    NamesCheck,
    NumberCheck,
    QueryCheck,
    RowCheck,
    require_truth,
    row_tally,
    view_of,
)
from driftline.monitors.rules.outcome import Outcome, RowKeys, RuleCondition, Tally
from driftline.monitors.rules.own_functions import FunctionCheck
from driftline.monitors.rules.prepared import PreparedColumns
from driftline.monitors.rules.reach import defect
from driftline.monitors.rules.ruleset import Rule, RuleSet, unknown_column
from driftline.monitors.rules.session import QueryError, Session
from driftline.signature import ColumnType, Signature

# Reads some columns of all rows, or all; several times, in the same order.
Reader: TypeAlias = Callable[[Sequence[str] | None], Iterable[pa.RecordBatch]]
Bools: TypeAlias = np.ndarray
# What a window's violations are called when no column is.
WHOLE = {
    "row_count": "Row count",
    "duplicate_rows": "Duplicate rows",
    "columns_exist": "Columns",
    "column_order": "Column order",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUERY_SHOWN = 80  # Characters of a query that name a rule without a name.


@dataclass(slots=True)
class _Asked:
    """One rule while it is judged."""

    rule: Rule
    check: Check
    absent: tuple[str, ...] = ()
    tally: Tally = NOTHING_JUDGED
    marks: Bools | None = None  # The rows at fault, shape (rows,).
    compared: tuple[str, ...] = ()  # The columns that tell these from others.


def judge(
    rules: RuleSet,
    read: Reader,
    as_of: datetime,
    *,
    types: Mapping[str, ColumnType] | None = None,
    known: Iterable[str] = (),
) -> tuple[Outcome, ...]:
    """Return what each rule comes to on some rows, in the order of the rules.

    ``as_of``: the moment that freshness is measured at; ``types``: of columns, as a reference has
    them; ``known``: columns that rules may name beside those of the data.

    Raises
    ------
    InputError
        When a rule names an unknown column, cannot be read, or needs too much time or memory.
    """
    asked = [_Asked(rule, rule.check(as_of)) for rule in rules.rules]
    if asked and not _judge_rows(asked, read, types or {}, known):
        for one in asked:  # Without rows nothing is wrong with any, but there may be too few.
            if isinstance(one.check, NumberCheck) and one.rule.declaration.check == "row_count":
                one.tally = one.check.judge([0])
    _find_rows([one for one in asked if one.tally.is_broken], read)
    return tuple(Outcome(one.rule, one.tally, _feature(one), one.absent) for one in asked)


def find_rows(condition: RuleCondition, read: Reader, as_of: datetime) -> RuleCondition:
    """Return the condition of a document, with which it marks the rows at fault among these."""
    (rule,) = RuleSet.of([condition.rule], where="violation").rules
    one = _Asked(rule, rule.check(as_of), compared=condition.compared)
    if isinstance(one.check, RowCheck) and one.check.ignore is not None:
        one.check, one.compared = replace(one.check, columns=condition.compared), ()
    if not isinstance(one.check, NumberCheck | NamesCheck):
        one.check = replace(one.check, mostly=1.0)
    if _judge_rows([one], read, {}, ()):
        _find_rows([one], read)
    found = one.tally.condition
    return replace(condition, breaks=RowKeys(condition.columns) if found is None else found.breaks)


def try_out(rules: RuleSet, signature: Signature) -> None:
    """Run the SQL of rules on a row without values; InputError says what is wrong with one."""
    if not rules:
        return
    types = {one.name: one.type for one in signature.columns}
    captured = pa.schema(zip(ROW_IDS, (pa.string(), pa.int64(), *_TIME_AND_ID), strict=True))
    own = [(name, ARROW_TYPES[kind]) for name, kind in types.items() if name not in ROW_IDS]
    schema = pa.schema([*captured, *own])
    row = pa.RecordBatch.from_arrays([pa.nulls(1, one.type) for one in schema], schema=schema)
    asked = [_Asked(rule, rule.check(EPOCH)) for rule in rules.rules]
    asked = [one for one in asked if not (isinstance(one.check, RowCheck) and one.check.own)]
    for one in asked:
        _require_known(one, schema.names, ())
    _ask_all(asked, row, [row], PreparedColumns(types))


_TIME_AND_ID = (ARROW_TYPES["timestamp"], pa.string())


def _judge_rows(
    asked: Sequence[_Asked], read: Reader, types: Mapping[str, ColumnType], known: Iterable[str]
) -> bool:
    """Judge each rule; return whether there are any rows."""
    batches = iter(read(_columns_of(asked)))
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        return False
    for one in asked:
        _require_known(one, first.schema.names, known)
    rows: Iterable[pa.RecordBatch] = chain([first], batches)
    table = None
    if any(isinstance(one.check, FunctionCheck) for one in asked):
        rows = list(rows)
        table = _table(rows)
    _ask_all(asked, first, rows, PreparedColumns(types))
    for one in asked:
        with _defects(one.rule):
            if isinstance(one.check, NamesCheck):
                one.tally = one.check.judge(first.schema.names)
            elif isinstance(one.check, FunctionCheck) and not one.absent and table is not None:
                _call(one, one.check, table)
    return True


def _columns_of(asked: Sequence[_Asked]) -> list[str] | None:
    """Return the columns to read; None for all, also of rules on whole rows."""
    if any(_is_of_all(one.check) for one in asked):
        return None
    names = dict.fromkeys(name for one in asked for name in one.check.needed)
    return [*names, *(name for name in (*ROW_IDS, UNFIT) if name not in names)]


def _is_of_all(check: Check) -> bool:
    is_of_rows = isinstance(check, RowCheck) and (check.ignore is not None or check.is_ordered)
    return is_of_rows or isinstance(check, QueryCheck | NamesCheck | FunctionCheck)


def _require_known(one: _Asked, names: Sequence[str], known: Iterable[str]) -> None:
    """Note which columns the data lack; InputError where the reference lacks them, too."""
    one.absent = tuple(name for name in one.check.needed if name not in names)
    ignored = one.check.ignore or () if isinstance(one.check, RowCheck) else ()
    columns = {*names, *known}
    if wrong := [name for name in (*one.absent, *ignored) if name not in columns]:
        raise unknown_column(one.rule, wrong[0], columns)


def _call(one: _Asked, check: FunctionCheck, table: pa.Table) -> None:
    """Judge a rule by its function."""
    verdict = check.judge(table)
    if isinstance(verdict, str):
        count, words = table.num_rows, f"{verdict}."
        one.tally = Tally(count, 0, bool(verdict), verdict, words, concerns_rows=False)
        return
    good = np.asarray(verdict.fill_null(fill_value=True))
    one.marks, judged = ~good, len(verdict) - verdict.null_count
    one.tally = row_tally(check, judged, int(np.count_nonzero(one.marks)))


def _table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError as error:
        raise InputError(f"rules need one type for each column: {error}") from error


def _ask_all(
    asked: Sequence[_Asked],
    first: pa.RecordBatch,
    batches: Iterable[pa.RecordBatch],
    prepared: PreparedColumns,
) -> None:
    """Run the SQL of all rules over one reading of the rows."""
    queries: list[tuple[_Asked, str]] = []
    view = ""
    for one in asked:
        with _defects(one.rule):
            if isinstance(one.check, RowCheck):
                one.check = one.check.resolved(first)
            if isinstance(one.check, QueryCheck) and not view:
                view = view_of(prepared, [name for name in first.schema.names if name != UNFIT])
            if not one.absent and isinstance(one.check, RowCheck | NumberCheck | QueryCheck):
                queries.append((one, one.check.query(prepared)))
    if not queries:
        return
    with Session() as session:
        row_count = session.open(map(prepared.make, batches), view=view)
        for one, query in queries:
            with _defects(one.rule):
                _ask(session, one, query, prepared, row_count)


def _ask(
    session: Session, one: _Asked, query: str, prepared: PreparedColumns, row_count: int
) -> None:
    """Ask for the counts of a rule, and for its rows where it is broken."""
    check = one.check
    assert isinstance(check, RowCheck | NumberCheck | QueryCheck), "it has a query"
    if not isinstance(check, QueryCheck):
        for condition in check.every_condition:
            require_truth(session, condition, prepared)
    answer = session.ask(query)
    one.tally, one.marks = check.tally(answer, row_count), answer.marks
    if one.tally.is_broken and isinstance(check, RowCheck):
        one.marks = session.ask(check.row_query(prepared)).marks


def _find_rows(asked: Sequence[_Asked], read: Reader) -> None:
    """Give broken rules the condition that finds their rows, in another reading of the rows."""
    broken = [one for one in asked if one.marks is not None and one.marks.any()]
    if not broken:
        return
    keys: list[list[np.ndarray]] = [[] for _ in broken]
    at = 0
    for batch in read(_columns_of(broken)):
        for one, found in zip(broken, keys, strict=True):
            assert one.marks is not None, "only such are looked for"
            if not one.compared:
                one.compared = _compared(one.check, batch)
            marked = one.marks[at : at + batch.num_rows]
            if marked.any():
                found.append(np.unique(RowKeys(one.compared).of(batch)[marked]))
        at += batch.num_rows
    for one, found in zip(broken, keys, strict=True):
        marks = RowKeys(one.compared, np.unique(np.concatenate(found)))
        one.tally = replace(one.tally, condition=_condition(one, marks))


def _compared(check: Check, batch: pa.RecordBatch) -> tuple[str, ...]:
    """Return the columns that tell the rows at fault from others."""
    if isinstance(check, RowCheck) and not check.is_ordered:
        return check.needed
    names = (name for name in batch.schema.names if name != UNFIT)
    return tuple(dict.fromkeys((*check.needed, *names)))


def _condition(one: _Asked, marks: RowKeys) -> RuleCondition:
    check = one.check
    assert isinstance(check, RowCheck | QueryCheck | FunctionCheck), "it has marks"
    compared = marks.columns if _is_of_all(check) else ()
    if isinstance(check, RowCheck) and check.ignore is not None:
        compared = check.columns
    columns = () if isinstance(check, RowCheck) and check.ignore is not None else check.needed
    return RuleCondition(
        column=next(iter(columns), ""),
        phrase=check.broken,
        breaks=marks,
        rule=dict(one.rule.declaration.found),
        columns=marks.columns,
        compared=compared,
    )


@contextmanager
def _defects(rule: Rule) -> Iterator[None]:
    """Turn unexpected exceptions into the rule's own error, so that a monitor goes on.

    Errors of a file or store that may answer later are passed on.
    """
    shown, is_discreet = rule.declaration.shown, rule.declaration.reach.discreet
    try:
        yield
    except QueryError as error:  # What it says may quote a row.
        raise InputError(f"{shown} failed: {error.kind if is_discreet else error}") from error
    except InputError as error:
        if str(error).startswith(("rule ", "check ")):
            raise
        raise type(error)(f"{shown}: {error}") from error
    except (DriftlineError, OSError):
        raise
    except (Exception, SystemExit) as error:  # Checks of plug-ins raise whatever they like.
        raise InputError(
            f"{shown} cannot be judged ({defect(error, discreet=is_discreet)}); fix the rule, or "
            "the check"
        ) from error


def _feature(one: _Asked) -> str:
    """Return what a violation of the rule is of."""
    rule, check = one.rule, one.check
    name = rule.declaration.check
    if name in WHOLE:
        return WHOLE[name]
    if name == "sql" and not rule.name:  # What tells it from another one.
        query = " ".join(str(rule.declaration.get("query")).split())
        half = QUERY_SHOWN // 2
        return query if len(query) <= QUERY_SHOWN else f"{query[:half]}…{query[1 - half :]}"
    columns = check.columns if isinstance(check, RowCheck | NumberCheck) else check.needed
    return ", ".join(columns) if columns else rule.name or name
