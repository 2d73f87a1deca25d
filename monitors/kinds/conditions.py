"""Reads the condition of a violation's document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.condition import OUTLIER, OutlierCondition
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.rules.table_checks import Unique, UniqueCondition
from driftline.monitors.rules.table_rule import TableCondition, TableRule


def read_condition(found: Mapping[str, Any]) -> Condition:
    """Rebuild the condition on rows from a violation's document.

    Outliers need `with_baseline` before they can mark rows, repeats and whole tables `with_rows`.
    """
    if found.get("op") == OUTLIER:
        return OutlierCondition()
    if found.get("op") != "rule":
        return Predicate.from_dict(found)
    rules = RuleSet.of([found.get("rule")], where="violation")
    check = rules.rules[0].check(datetime.now(UTC))
    breaks: Callable[[pa.RecordBatch], pa.BooleanArray]
    if isinstance(check, Unique):
        columns = tuple(str(one) for one in _listed(found, "compared"))
        breaks = UniqueCondition(replace(check, columns=columns), np.empty(0, np.uint64))
        phrase = check.phrase
    elif isinstance(check, TableRule):
        columns = tuple(str(one) for one in _listed(found, "compared"))
        breaks = TableCondition(check, columns)
        phrase = check.phrase
    elif isinstance(check, RowRule):
        breaks = check.breaks
        phrase = check.check.broken
        columns = check.columns
    else:
        raise InputError("the rule has no rows behind it")
    return RuleCondition(str(found.get("column", "")), phrase, breaks, columns=columns)


def _listed(found: Mapping[str, Any], key: str) -> Sequence[object]:
    held = found.get(key, ())
    if not isinstance(held, list | tuple):
        raise InputError(f"violation: {key} is {held!r}; expected a list")
    return held


def with_rows(condition: Condition, batches: Callable[[], Iterable[pa.RecordBatch]]) -> Condition:
    """Return a condition that can mark rows: for repeats, with what these rows repeat."""
    if isinstance(condition, RuleCondition) and isinstance(
        condition.breaks, UniqueCondition | TableCondition
    ):
        return replace(condition, breaks=condition.breaks.counted(batches()))
    return condition


def with_baseline(condition: Condition, baseline: Baseline) -> Condition:
    """Return a condition that can mark rows: for outliers, with its baseline."""
    if condition.op != OUTLIER:
        return condition
    return OutlierCondition(row_scorer(baseline))
