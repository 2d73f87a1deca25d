"""Checks rules against a baseline's columns: a text compared with a number would judge no row.

A file's column with one odd entry comes as text, too, and is read as numbers where a rule compares
it with some. So the reference decides, before any data are read.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from driftline.baseline.constraints import Constraints
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.coercion import coerce
from driftline.monitors.rules.column_checks import DistinctCount, Statistic
from driftline.monitors.rules.declaration import Declaration
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.operators import Value
from driftline.monitors.rules.outcome import Check
from driftline.monitors.rules.row_checks import Bounds, Formula
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.ruleset import Outcome, Rule, RuleSet, unknown_column
from driftline.monitors.rules.table_checks import Freshness, RowCount, Unique
from driftline.signature import JUDGED_ROLES, ColumnType, Signature

CONDITIONAL = RowRule | RowCount | Unique | Statistic | DistinctCount
JUDGED = frozenset({"label", *JUDGED_ROLES})

SAMPLES = {"int64": 1, "double": 1.0, "bool": True, "timestamp": 0}


def refuse_unfit(check: Check, shown: str, baseline: Baseline) -> None:
    """Refuse a rule that could judge no row of this baseline's data."""
    for expression in _expressions(check):
        _try(expression, baseline)
    wanted = check.check if isinstance(check, RowRule) else check
    if isinstance(wanted, Bounds) and wanted.numbers_only:
        _demand(shown, baseline, wanted.column, "double", of=("string",))
    if isinstance(wanted, Statistic):
        _demand(shown, baseline, wanted.bounds.column, "double", of=("string",))
    if isinstance(wanted, Freshness):
        _demand(shown, baseline, wanted.column, "timestamp", of=("string", *SAMPLES))


def require_fit(rules: RuleSet, baseline: Baseline) -> None:
    """Refuse rules that could judge no row of a baseline's data; InputError names the first."""
    for rule in rules.rules:
        refuse_unfit(rule.check(datetime.now(UTC)), rule.declaration.shown, baseline)


def require_columns(rules: RuleSet, columns: Collection[str]) -> None:
    """Refuse rules on columns that the data lack; InputError names the first rule and column."""
    for rule in rules.rules:
        missing = (name for name in RuleSet((rule,)).columns if name not in columns)
        if (wrong := next(missing, None)) is not None:
            raise unknown_column(rule, wrong, columns)


def _try(expression: Expression, baseline: Baseline) -> None:
    values: dict[str, Value] = {}
    for name in expression.columns:
        sample = _sample(baseline, name)
        if sample is None:
            return
        values[name] = sample
    # Other kinds may come otherwise than the reference had them; the rows will tell.
    if any(isinstance(value, pa.Scalar) for value in values.values()):
        expression.try_on(values)


def _demand(
    shown: str, baseline: Baseline, name: str, wanted: ColumnType, of: tuple[str, ...]
) -> None:
    """Refuse a column of one of these types without any suitable value."""
    column = baseline.signature.get(name)
    if column is None or column.type not in of or not _lacks(baseline, name, column.type, wanted):
        return
    what = "times" if wanted == "timestamp" else "numbers"
    held = "texts" if column.type == "string" else column.type
    such = ", or texts such as 2026-01-31T12:00:00Z" if wanted == "timestamp" else ""
    raise InputError(f'{shown}: column "{name}" holds no {what} but {held}; expected {what}{such}')


def _expressions(check: Check) -> list[Expression]:
    found = [check.where] if isinstance(check, CONDITIONAL) else []
    if isinstance(check, RowRule) and isinstance(check.check, Formula):
        found.append(check.check.expression)
    return [one for one in found if one is not None]


def _sample(baseline: Baseline, name: str) -> Value | None:
    """Return some values of a column; one text alone where none of its texts is a number."""
    column = baseline.signature.get(name)
    if column is None:
        return None
    if column.type != "string":
        return pa.array([SAMPLES[column.type]], ARROW_TYPES[column.type])
    texts = _texts(baseline, name)
    if not all(_lacks(baseline, name, "string", kind) for kind in ("double", "bool")):
        return texts if len(texts) else None
    times = coerce(texts, "timestamp")[0].is_valid()
    return (texts.filter(times) if times.true_count else texts)[0]


def _lacks(baseline: Baseline, name: str, kind: ColumnType, wanted: ColumnType) -> bool:
    """Whether a column has no value that can be read so."""
    if kind != "string":
        return kind != wanted
    texts = _texts(baseline, name)
    return bool(len(texts)) and coerce(texts, wanted)[0].null_count == len(texts)


def _texts(baseline: Baseline, name: str) -> pa.Array:
    """Return the different texts of the reference, as far as they are known."""
    known = None if baseline.profile is None else baseline.profile.columns.get(name)
    return pa.array([], pa.string()) if known is None else known.levels.values


def sign_rules(signature: Signature, constraints: Constraints) -> RuleSet:
    """Make the rules that ``num_constraints.is_non_negative`` asks for."""
    return RuleSet(
        tuple(
            Rule(Declaration({"check": "non_negative", "column": column.name}), is_observed=True)
            for column in signature.columns
            if column.role in JUDGED
            and column.type in ("int64", "double")
            and (found := constraints.feature(column.name)) is not None
            and found.is_non_negative is True
            and found.inferred_type != "String"  # Text by decree has no sign.
            and constraints.config(column.name).evaluate_constraints
        )
    )


def beyond_chance(
    outcome: Outcome, reference: Profile | None, *, alpha: float, effect: float = 1.0
) -> Outcome:
    """Accept what chance may bring; `effect` is the design effect."""
    tally = outcome.tally
    if not outcome.rule.is_observed:
        return outcome
    if outcome.absent:  # A column that is gone is a violation of its own already.
        return replace(outcome, absent=())
    column = outcome.rule.declaration.text("column")
    known = reference.columns.get(column) if reference is not None else None
    if not tally.is_broken or known is None or not known.moments.count:
        return outcome
    if known.moments.minimum < 0:  # The reference does not keep it: it was set by hand.
        return outcome
    count, judged = known.moments.count, tally.judged_count
    # If no value differs from the others, the chance that all k negative ones lie in the window is
    # at most (m / (n + m)) ^ k, for n values of the reference and m of the window.
    evidence = tally.broken_count / max(effect, 1.0) * math.log((count + judged) / judged)
    if evidence > -math.log(alpha):
        return outcome
    return replace(outcome, tally=replace(tally, is_broken=False))
