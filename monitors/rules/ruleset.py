"""Rules as one value: read, counted in one pass over the data, and put into words."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from driftline.errors import DriftlineError, InputError
from driftline.monitors.results.violation import Draft, Severity
from driftline.monitors.rules.declaration import Declaration, in_brief, nearest
from driftline.monitors.rules.outcome import Check, Counter, Tally
from driftline.monitors.rules.reach import FUNCTION, Reach, defect
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.table_checks import Unique
from driftline.monitors.rules.values import absent_columns

# What a window's violations are called when no column is.
WHOLE = {
    "row_count": "Row count",
    "duplicate_rows": "Duplicate rows",
    "columns_exist": "Columns",
    "column_order": "Column order",
}
# As findings.PAGE_SHARE: fewer rows than this at fault are worth a ticket, but wake nobody.
PAGE_SHARE = 0.02
MAX_RULES = 1000
# Characters of a query that name a rule without a name.
QUERY = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    declaration: Declaration
    # Over a table, in place of a declared check; from Python only.
    function: Callable[..., object] | None = field(default=None, compare=False)
    is_observed: bool = False  # Not declared: the baseline's rows were so.

    @property
    def name(self) -> str:
        """The rule's own name; empty when it has none."""
        return str(self.declaration.get("name") or "")

    def check(self, as_of: datetime) -> Check:
        """Make the check; ``as_of`` is the moment that freshness is measured at."""
        # A heavy import that only a rule needs.
        from driftline.monitors.rules.catalog import make_check, table_function

        if self.function is not None:
            return table_function(self.declaration, self.function)
        return make_check(replace(self.declaration, as_of=as_of))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one check of data, in the order in which they were declared."""

    rules: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.rules)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rules name, each once."""
        checks = (rule.check(datetime.now(UTC)) for rule in self.rules)
        return tuple(dict.fromkeys(name for check in checks for name in _needed(check)))

    @classmethod
    def of(cls, found: object, *, where: str = "rules") -> RuleSet:
        """Read rules from plain values."""
        if isinstance(found, RuleSet):
            return found
        if isinstance(found, Mapping):
            others = [key for key in found if key != "rules"]
            if others or "rules" not in found:
                wrong = f'unknown key "{others[0]}"' if others else "no rules"
                raise InputError(f'{where}: {wrong}; expected a list, or an object with "rules"')
            found = found["rules"]
        if found is None:
            return cls()
        if isinstance(found, str | bytes) or not isinstance(found, Sequence):
            raise InputError(
                f"{where}: {_cut(found)}; expected a list of rules, such as "
                '[{"check": "unique", "column": "id"}]'
            )
        if len(found) > MAX_RULES:
            raise InputError(f"{where}: {len(found):,} rules; expected {MAX_RULES:,} at most")
        return cls(tuple(_rule(one, f"{where}[{at}]") for at, one in enumerate(found)))

    @classmethod
    def of_functions(cls, found: object) -> RuleSet:
        """Read functions over a table: themselves, or as ``FILE.py:FUNCTION``."""
        if found is None:
            return cls()
        if not isinstance(found, list | tuple):
            raise InputError(f"checks is {_cut(found)}; expected a list of functions over a table")
        return cls(tuple(_table_rule(one, f"checks[{at}]") for at, one in enumerate(found)))

    def plus(self, other: RuleSet) -> RuleSet:
        """Return both; the same rule stands once, and a later one replaces one of its name."""
        kept: dict[str, Rule] = {}
        for rule in (*self.rules, *other.rules):
            plain = json.dumps(rule.declaration.found, sort_keys=True, default=str)
            # Functions may have one name, as all lambdas have.
            own = plain if rule.function is None else f"function {id(rule.function)}"
            kept[f"name {rule.name}" if rule.name else own] = rule
        return RuleSet(tuple(kept.values()))

    def within(self, reach: Reach) -> RuleSet:
        """Return the same rules with what they may read and run."""
        return RuleSet(
            tuple(
                replace(rule, declaration=replace(rule.declaration, reach=reach))
                for rule in self.rules
            )
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Return the declarations as plain JSON values."""
        return [dict(rule.declaration.found) for rule in self.rules]

    def start(self, as_of: datetime | None = None) -> RuleCounters:
        """Return counters that have counted nothing, to be fed with every batch."""
        return self.starter(as_of or datetime.now(UTC))()

    def starter(self, as_of: datetime) -> Callable[[], RuleCounters]:
        """Return the function that makes such counters, for many parts of the data."""
        return partial(RuleCounters, self, tuple(rule.check(as_of) for rule in self.rules))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rule, and what was counted for it."""

    rule: Rule
    tally: Tally
    feature: str  # What a violation is of.
    absent: tuple[str, ...] = ()  # Columns without which it cannot be judged.
    is_open: bool = False  # Whether that is no violation: such columns are never captured.
    severity: Severity | None = None  # None: as the rule declares, or by the share of rows.

    @property
    def passed(self) -> bool | None:
        """Whether the rule holds; None when it judged no row."""
        if self.is_open:
            return None
        if self.absent or self.tally.is_broken:
            return False
        return True if self.tally.judged_count or not self.tally.concerns_rows else None


class RuleCounters:
    """The counters of all rules over one part of the data; parts are merged exactly."""

    def __init__(self, rules: RuleSet, checks: tuple[Check, ...]) -> None:
        self.rules, self.checks = rules, checks
        self.counters: list[Counter] = []
        for rule, check in zip(rules.rules, checks, strict=True):
            with _defects(rule):
                self.counters.append(check.start())
        self.absent: list[tuple[str, ...]] = [() for _ in checks]
        self.columns: tuple[str, ...] = ()
        self.has_rows = False

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch, columns by the user's names."""
        self.has_rows, self.columns = True, tuple(batch.schema.names)
        for index, check in enumerate(self.checks):
            if missing := absent_columns(batch, _needed(check)):
                self.absent[index] = missing
            elif not self.absent[index]:
                with _defects(self.rules.rules[index]):
                    self.counters[index].update(batch)

    def merge(self, other: RuleCounters) -> RuleCounters:
        """Take over what another part has counted, and give the sum."""
        for counter, others in zip(self.counters, other.counters, strict=True):
            counter.merge(others)
        self.absent = [a or b for a, b in zip(self.absent, other.absent, strict=True)]
        self.has_rows |= other.has_rows
        self.columns = self.columns or other.columns
        return self

    def result(self, known: Iterable[str] = ()) -> tuple[Outcome, ...]:
        """Return what the counting comes to, in the order of the rules."""
        columns = {*self.columns, *known}
        found = []
        for rule, check, counter, absent in zip(
            self.rules.rules, self.checks, self.counters, self.absent, strict=True
        ):
            ignored = check.ignore if isinstance(check, Unique) else ()
            if wrong := [name for name in (*absent, *ignored) if name not in columns]:
                raise unknown_column(rule, wrong[0], columns)
            # Without rows nothing is wrong with any, but there may be too few.
            is_open = not self.has_rows and rule.declaration.check != "row_count"
            with _defects(rule):
                tally = Tally(0, 0, is_broken=False) if is_open or absent else counter.result()
            found.append(Outcome(rule, tally, _feature(rule, check), absent))
        return tuple(found)


@contextmanager
def _defects(rule: Rule) -> Iterator[None]:
    """Turn unexpected exceptions into the rule's own error, so that a monitor goes on.

    Errors of a file or store that may answer later are passed on.
    """
    try:
        yield
    except InputError as error:
        if str(error).startswith(("rule ", "check ")):
            raise
        raise type(error)(f"{rule.declaration.shown}: {error}") from error
    except (DriftlineError, OSError):
        raise
    except (Exception, SystemExit) as error:  # Checks of plug-ins raise whatever they like.
        told = defect(error, discreet=rule.declaration.reach.discreet)
        raise InputError(
            f"{rule.declaration.shown} cannot be judged ({told}); fix the rule, or the check"
        ) from error


def unknown_column(rule: Rule, name: str, columns: Collection[str]) -> InputError:
    """Return the error of a rule on a column that is not there."""
    return InputError(
        f'{rule.declaration.shown}: no column "{name}"{nearest(name, columns)}; '
        f"expected one of {_names(columns)}"
    )


def _needed(check: Check) -> tuple[str, ...]:
    where = check.where if isinstance(check, Unique) else None
    return check.columns if where is None else (*check.columns, *where.columns)


def _feature(rule: Rule, check: Check) -> str:
    name = rule.declaration.check
    if name in WHOLE:
        return WHOLE[name]
    columns = check.check.columns if isinstance(check, RowRule) else check.columns
    if name == "sql" and not rule.name:  # What tells it from another one.
        query = " ".join(str(rule.declaration.get("query")).split())
        return query if len(query) <= QUERY else f"{query[: QUERY // 2]}…{query[1 - QUERY // 2 :]}"
    return ", ".join(columns) if columns else rule.name or name


def outcome_drafts(outcomes: Sequence[Outcome]) -> list[Draft]:
    """Word the rules that are broken as drafts of violations, in the order of the rules."""
    return [
        _draft(outcome)
        for outcome in outcomes
        if (outcome.tally.is_broken or outcome.absent) and not outcome.is_open
    ]


def _draft(outcome: Outcome) -> Draft:
    rule, tally = outcome.rule, outcome.tally
    own = f"{rule.name}: " if rule.name else ""
    if outcome.absent:
        missing = ", ".join(outcome.absent)
        words = f"cannot be judged, the data have no column {missing}"
        description = f"The rule cannot be judged: there is no column {missing}."
    else:
        words, description = tally.words, tally.description
    share = tally.broken_count / tally.judged_count if tally.judged_count else 1.0
    return Draft(
        feature=outcome.feature,
        check=f"{rule.declaration.check}_check",
        description=f"{own}{description}",
        what=f"{own}{words}",
        predicate=tally.condition,
        share=share,
        severity=_severity(outcome, share),
    )


def _severity(outcome: Outcome, share: float) -> Severity:
    chosen = outcome.severity or outcome.rule.declaration.severity()
    if chosen is not None:
        return chosen
    is_grave = outcome.absent or not outcome.tally.concerns_rows or share >= PAGE_SHARE
    return "page" if is_grave else "ticket"


def _table_rule(found: object, where: str) -> Rule:
    if isinstance(found, str) and FUNCTION.fullmatch(found):
        return _rule({"check": found}, where)
    if not callable(found):
        raise InputError(
            f'{where}: {_cut(found)}; expected a function over a table, or "FILE.py:FUNCTION"'
        )
    name = getattr(found, "__name__", type(found).__name__)
    return Rule(Declaration({"check": name}), found)


def _rule(found: object, where: str) -> Rule:
    """Read one rule; what is wrong with it is said now, not when data come."""
    if isinstance(found, str):
        found = {"check": "expression", "expression": found}
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise InputError(
            f"{where}: {_cut(found)}; expected an object such as "
            '{"check": "unique", "column": "id"}, or an expression; functions stand in checks'
        )
    if "check" not in found:
        raise InputError(f'{where}: no check; expected one such as "unique"')
    rule = Rule(Declaration({key: _plain(value) for key, value in found.items()}))
    try:
        if "name" in found:
            rule.declaration.text("name")
        rule.declaration.severity()
        rule.check(datetime.now(UTC))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return rule


def _plain(value: object) -> object:
    """Make JSON of what YAML reads as a date."""
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _cut(found: object) -> str:
    shown = in_brief(found)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _names(columns: Iterable[str]) -> str:
    shown = sorted(columns)
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
