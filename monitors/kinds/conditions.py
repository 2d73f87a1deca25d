"""The condition on rows that a violation's document holds, read again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

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
from driftline.monitors.rules.table_checks import Unique, unique_condition

KEY = re.compile(r"[0-9a-fA-F]{1,16}")


def read_condition(found: Mapping[str, Any]) -> Condition:
    """Make the condition on rows again that a violation's document holds.

    That of outliers marks rows once `with_baseline` has told it what is odd.
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
        keys = tuple(str(one) for one in _listed(found, "keys"))
        if wrong := [one for one in keys if not KEY.fullmatch(one)]:
            raise InputError(f'violation: key "{wrong[0]}"; expected 16 hexadecimal digits')
        breaks = unique_condition(replace(check, columns=columns), keys)
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


def with_baseline(condition: Condition, baseline: Baseline) -> Condition:
    """Return a condition that can mark rows: that of outliers as its baseline has them."""
    if condition.op != OUTLIER:
        return condition
    return OutlierCondition(row_scorer(baseline))
