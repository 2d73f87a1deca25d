"""Rules as one value, read from what was declared."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from driftline.errors import InputError
from driftline.monitors.rules.catalog import make_check
from driftline.monitors.rules.reach import FUNCTION, Reach
from driftline.monitors.rules.rule import Rule, in_brief, nearest

MAX_RULES = 1000


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
        checks = map(make_check, self.rules)
        return tuple(dict.fromkeys(name for check in checks for name in check.needed))

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
                f"{where}: {in_brief(found)}; expected a list of rules, such as "
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
            raise InputError(
                f"checks is {in_brief(found)}; expected a list of functions over a table"
            )
        return cls(tuple(_table_rule(one, f"checks[{at}]") for at, one in enumerate(found)))

    def plus(self, other: RuleSet) -> RuleSet:
        """Return both; the same rule stands once, and a later one replaces one of its name."""
        kept: dict[str, Rule] = {}
        for rule in (*self.rules, *other.rules):
            plain = json.dumps(rule.declared, sort_keys=True, default=str)
            # Functions may have one name, as all lambdas have.
            own = plain if rule.function is None else f"function {id(rule.function)}"
            kept[f"name {rule.name}" if rule.name else own] = rule
        return RuleSet(tuple(kept.values()))

    def within(self, reach: Reach) -> RuleSet:
        """Return the same rules with what they may read and run."""
        return RuleSet(tuple(replace(rule, reach=reach) for rule in self.rules))

    def to_list(self) -> list[dict[str, Any]]:
        """Return the declarations as plain JSON values."""
        return [dict(rule.declared) for rule in self.rules]


def require_columns(rules: RuleSet, columns: Collection[str]) -> None:
    """Refuse rules on columns that the data lack; InputError names the first rule and column."""
    for rule in rules.rules:
        missing = (name for name in RuleSet((rule,)).columns if name not in columns)
        if (wrong := next(missing, None)) is not None:
            raise unknown_column(rule, wrong, columns)


def unknown_column(rule: Rule, name: str, columns: Collection[str]) -> InputError:
    """Return the error of a rule on a column that is not there."""
    return InputError(
        f'{rule.shown}: no column "{name}"{nearest(name, columns)}; '
        f"expected one of {_names(columns)}"
    )


def _table_rule(found: object, where: str) -> Rule:
    if isinstance(found, str) and FUNCTION.fullmatch(found):
        return _rule({"check": found}, where)
    if not callable(found):
        raise InputError(
            f'{where}: {in_brief(found)}; expected a function over a table, or "FILE.py:FUNCTION"'
        )
    name = getattr(found, "__name__", type(found).__name__)
    return Rule({"check": name}, found)


def _rule(found: object, where: str) -> Rule:
    """Read one rule; what is wrong with it is said now, not when data come."""
    if isinstance(found, str):
        found = {"check": "expression", "expression": found}
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise InputError(
            f"{where}: {in_brief(found)}; expected an object such as "
            '{"check": "unique", "column": "id"}, or an expression; functions stand in checks'
        )
    if "check" not in found:
        raise InputError(f'{where}: no check; expected one such as "unique"')
    rule = Rule({key: _plain(value) for key, value in found.items()})
    try:
        if "name" in found:
            rule.text("name")
        _ = rule.severity
        make_check(rule)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return rule


def _plain(value: object) -> object:
    """Make JSON of what YAML reads as a date."""
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _names(columns: Iterable[str]) -> str:
    shown = sorted(columns)
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
