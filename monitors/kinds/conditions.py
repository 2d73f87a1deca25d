"""Reads the condition of a violation's document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.data_quality.derived_checks import DERIVED, DerivedCondition
from driftline.monitors.kinds.outliers.condition import OUTLIER, OutlierCondition
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.rules.checks import NamesCheck, NumberCheck
from driftline.monitors.rules.judging import find_rows
from driftline.monitors.rules.outcome import RowKeys, RuleCondition
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
    check = rule.check(datetime.now(UTC))
    if isinstance(check, NumberCheck | NamesCheck):
        raise InputError("the rule has no rows behind it")
    compared = tuple(str(one) for one in _listed(found, "compared"))
    columns = tuple(dict.fromkeys((*compared, *check.needed)))
    return RuleCondition(
        str(found.get("column", "")), check.broken, RowKeys(columns),
        rule=rule.declaration.found, columns=columns, compared=compared,
    )  # fmt: skip


def _listed(found: Mapping[str, Any], key: str) -> Sequence[object]:
    held = found.get(key, ())
    if not isinstance(held, list | tuple):
        raise InputError(f"violation: {key} is {held!r}; expected a list")
    return held


def with_rows(condition: Condition, batches: Callable[[], Iterable[pa.RecordBatch]]) -> Condition:
    """Return a condition that can mark rows: of a rule, with those of these rows that break it."""
    if isinstance(condition, RuleCondition) and isinstance(condition.breaks, RowKeys):
        return find_rows(condition, lambda _columns: batches(), datetime.now(UTC))
    return condition


def with_baseline(condition: Condition, baseline: Baseline) -> Condition:
    """Return a condition that can mark rows: for outliers, with its baseline."""
    if condition.op != OUTLIER:
        return condition
    return OutlierCondition(row_scorer(baseline))
