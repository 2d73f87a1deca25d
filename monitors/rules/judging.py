"""Judges rules on rows: one process runs their SQL over one reading, and what it says is worded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import UNFIT
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import DriftlineError, InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.monitors.rules.catalog import make_check
from driftline.monitors.rules.checks import (
    QueryCheck,
    RowCheck,
    WholeCheck,
    require_truth,
    view_of,
)
from driftline.monitors.rules.outcome import Outcome, RuleCondition
from driftline.monitors.rules.own_functions import FunctionCheck
from driftline.monitors.rules.prepared import PreparedColumns
from driftline.monitors.rules.reach import defect
from driftline.monitors.rules.rule import Rule
from driftline.monitors.rules.ruleset import RuleSet, unknown_column
from driftline.monitors.rules.session import QueryError, Session
from driftline.signature import ColumnType, Signature

# Reads some columns of all rows, or all; several times, in the same order.
Reader: TypeAlias = Callable[[Sequence[str] | None], Iterable[pa.RecordBatch]]


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
    outcomes = tuple(Outcome(rule, make_check(replace(rule, as_of=as_of))) for rule in rules.rules)
    if outcomes:
        _judge_all(outcomes, read, types or {}, known)
    return outcomes


def find_rows(condition: RuleCondition, read: Reader) -> RuleCondition:
    """Return the condition of a document, with which it marks the rows at fault among these."""
    (rule,) = RuleSet.of([condition.rule], where="violation").rules
    check = replace(make_check(rule), mostly=1.0)
    if isinstance(check, RowCheck) and check.ignore is not None:
        names = tuple(name for name in condition.columns if name not in check.ignore)
        check = replace(check, columns=names)
    outcome = Outcome(rule, check)
    _judge_all([outcome], read, {}, (), condition.columns)
    return condition if outcome.condition is None else outcome.condition


def try_out(rules: RuleSet, signature: Signature) -> None:
    """Run the SQL of rules on a row without values; InputError says what is wrong with one."""
    types = {one.name: one.type for one in signature.columns}
    ids = pa.string(), pa.int64(), ARROW_TYPES["timestamp"], pa.string()
    captured = zip(ROW_IDS, ids, strict=True)
    own = [(name, ARROW_TYPES[kind]) for name, kind in types.items() if name not in ROW_IDS]
    schema = pa.schema([*captured, *own])
    row = pa.RecordBatch.from_arrays([pa.nulls(1, one.type) for one in schema], schema=schema)
    checks = ((rule, make_check(rule)) for rule in rules.rules)
    # What is in another table is not known yet.
    outcomes = [Outcome(*one) for one in checks if one[0].check != "foreign_key"]
    for one in outcomes:
        _require_known(one, schema.names, ())
    _ask_all(outcomes, row, [row], PreparedColumns(types))


def _judge_all(
    outcomes: Sequence[Outcome],
    read: Reader,
    types: Mapping[str, ColumnType],
    known: Iterable[str],
    compared: Sequence[str] = (),
) -> None:
    """Judge each rule; without rows nothing is wrong with any, but there may be too few."""
    batches = iter(read(_columns_of(outcomes)))
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        for one in outcomes:
            if isinstance(one.check, WholeCheck) and one.rule.check == "row_count":
                one.tally = one.check.judge([0])
        return
    for one in outcomes:
        _require_known(one, first.schema.names, known)
    rows: Iterable[pa.RecordBatch] = chain([first], batches)
    table = None
    if any(isinstance(one.check, FunctionCheck) for one in outcomes):
        rows = list(rows)
        table = _table(rows)
    _ask_all(outcomes, first, rows, PreparedColumns(types))
    for one in outcomes:
        with _defects(one.rule):
            if isinstance(one.check, WholeCheck) and not one.check.aggregates:
                one.tally = one.check.judge(first.schema.names)
            elif isinstance(one.check, FunctionCheck) and not one.absent and table is not None:
                one.tally, one.marks = one.check.judge(table)
    _find_rows(outcomes, read, compared)


def _columns_of(outcomes: Sequence[Outcome]) -> list[str] | None:
    """Return the columns to read; None for all, also of rules on whole rows."""
    if any(one.check.is_of_all or _ignored(one) is not None for one in outcomes):
        return None
    names = dict.fromkeys(name for one in outcomes for name in one.check.needed)
    return [*names, *(name for name in (*ROW_IDS, UNFIT) if name not in names)]


def _ignored(outcome: Outcome) -> tuple[str, ...] | None:
    return outcome.check.ignore if isinstance(outcome.check, RowCheck) else None


def _require_known(one: Outcome, names: Sequence[str], known: Iterable[str]) -> None:
    """Note which columns the data lack; InputError where the reference lacks them, too."""
    one.absent = tuple(name for name in one.check.needed if name not in names)
    columns = {*names, *known}
    for name in (*one.absent, *(_ignored(one) or ())):
        if name not in columns:
            raise unknown_column(one.rule, name, columns)


def _table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError as error:
        raise InputError(f"rules need one type for each column: {error}") from error


def _ask_all(
    outcomes: Sequence[Outcome],
    first: pa.RecordBatch,
    batches: Iterable[pa.RecordBatch],
    prepared: PreparedColumns,
) -> None:
    """Run the SQL of all rules over one reading of the rows."""
    queries: list[tuple[Outcome, str]] = []
    view = ""
    for one in outcomes:
        with _defects(one.rule):
            if isinstance(one.check, RowCheck):
                one.check = one.check.resolved(first)
            if isinstance(one.check, QueryCheck) and not view:
                view = view_of(prepared, [name for name in first.schema.names if name != UNFIT])
            if not one.absent and (query := one.check.query(prepared)):
                queries.append((one, query))
    if not queries:
        return
    with Session() as session:
        row_count = session.open(map(prepared.make, batches), view=view)
        for one, query in queries:
            with _defects(one.rule):
                _ask(session, one, query, prepared, row_count)


def _ask(
    session: Session, one: Outcome, query: str, prepared: PreparedColumns, row_count: int
) -> None:
    """Ask for the counts of a rule, and for its rows where it is broken."""
    for condition in one.check.every_condition:
        require_truth(session, condition, prepared)
    answer = session.ask(query)
    one.tally, one.marks = one.check.tally(answer, row_count), answer.marks
    if one.tally.is_broken and isinstance(one.check, RowCheck):
        one.marks = session.ask(one.check.row_query(prepared)).marks


def _find_rows(outcomes: Sequence[Outcome], read: Reader, compared: Sequence[str]) -> None:
    """Set in broken rules the condition that finds their rows, in another reading of the rows.

    ``compared``: the columns that tell rows apart, where that is known.
    """
    broken = [one for one in outcomes if one.tally.is_broken and _has_any(one.marks)]
    keys: list[list[np.ndarray]] = [[] for _ in broken]
    at = 0
    for batch in read(_columns_of(broken)) if broken else ():
        for one, found in zip(broken, keys, strict=True):
            assert one.marks is not None, "only such are looked for"
            if one.condition is None:
                one.condition = _condition(one, compared, batch)
            marked = one.marks[at : at + batch.num_rows]
            if marked.any():
                found.append(np.unique(one.condition.hashes(batch)[marked]))
        at += batch.num_rows
    for one, found in zip(broken, keys, strict=True):
        assert one.condition is not None, "its rows were read"
        one.condition = replace(one.condition, keys=np.unique(np.concatenate(found)))
    for one in outcomes:  # A byte for each row is a lot to keep with a thousand rules.
        one.marks = None


def _has_any(marks: np.ndarray | None) -> bool:
    return marks is not None and bool(marks.any())


def _condition(one: Outcome, compared: Sequence[str], batch: pa.RecordBatch) -> RuleCondition:
    """Return the condition of a rule's rows; of a rule that looks at all columns, all tell them."""
    check = one.check
    names = (name for name in batch.schema.names if name != UNFIT and check.is_of_all)
    columns = tuple(compared) or tuple(dict.fromkeys((*check.needed, *names)))
    column = "" if _ignored(one) is not None else next(iter(check.columns), "")
    return RuleCondition(column, check.broken, one.rule.declared, columns)


@contextmanager
def _defects(rule: Rule) -> Iterator[None]:
    """Turn unexpected exceptions into the rule's own error, so that a monitor goes on.

    Errors of a file or store that may answer later are passed on.
    """
    shown, is_discreet = rule.shown, rule.reach.discreet
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
