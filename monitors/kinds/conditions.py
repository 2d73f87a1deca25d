"""Reads the condition of a violation's document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.data_quality.derived_checks import DERIVED, DerivedCondition
from driftline.monitors.kinds.outliers.condition import OUTLIER, OutlierCondition
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.rules.catalog import make_check
from driftline.monitors.rules.checks import WholeCheck
from driftline.monitors.rules.judging import find_rows
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.ruleset import RuleSet


def read_condition(found: Mapping[str, Any]) -> Condition:
    """Rebuild the condition on rows from a violation's document.

    Outliers need `with_baseline` before they can mark rows, rules `with_rows`.
    """
    if found.get("op") == OUTLIER:
        return OutlierCondition()
    if found.get("op") == DERIVED:
        return DerivedCondition.from_dict(found)
    if found.get("op") != "rule":
        return Predicate.from_dict(found)
    (rule,) = RuleSet.of([found.get("rule")], where="violation").rules
    check = make_check(rule)
    if isinstance(check, WholeCheck):
        raise InputError("the rule has no rows behind it")
    columns = tuple(dict.fromkeys((*_listed(found, "compared"), *check.needed)))
    return RuleCondition(str(found.get("column", "")), check.broken, rule.declared, columns)


def _listed(found: Mapping[str, Any], key: str) -> list[str]:
    listed = found.get(key, ())
    if not isinstance(listed, list | tuple):
        raise InputError(f"violation: {key} is {listed!r}; expected a list")
    return [str(one) for one in listed]


def with_rows(condition: Condition, batches: Callable[[], Iterable[pa.RecordBatch]]) -> Condition:
    """Return a condition that can mark rows: of a rule, with those of these rows that break it."""
    if isinstance(condition, RuleCondition):
        return find_rows(condition, lambda _columns: batches())
    return condition


def with_baseline(condition: Condition, baseline: Baseline) -> Condition:
    """Return a condition that can mark rows: for outliers, with its baseline."""
    if condition.op != OUTLIER:
        return condition
    return OutlierCondition(row_scorer(baseline))
