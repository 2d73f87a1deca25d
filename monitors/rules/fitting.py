"""Tries rules on a baseline's columns before there are data: one that cannot be run is refused.

So is one that could judge no row, such as the mean of a column of texts none of which is a number.
"""

from __future__ import annotations

import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.rules.judging import try_out
from driftline.monitors.rules.ruleset import Rule, RuleSet
from driftline.signature import ColumnType

# The type that a check reads its column as.
READ_AS: dict[str, ColumnType] = {
    "non_negative": "double", "mean": "double", "sum": "double", "std": "double",
    "quantile": "double", "freshness": "timestamp",
}  # fmt: skip


def require_fit(rules: RuleSet, baseline: Baseline) -> None:
    """Refuse rules that could not be judged on a baseline's columns; InputError names the first."""
    if not rules:
        return
    for rule in rules.rules:
        _require_type(rule, baseline)
    try_out(rules, {one.name: one.type for one in baseline.signature.columns})


def _require_type(rule: Rule, baseline: Baseline) -> None:
    """Refuse a column without any value that can be read as the type that the check needs."""
    wanted = READ_AS.get(rule.declaration.check)
    column = baseline.signature.get(str(rule.declaration.get("column")))
    if wanted is None or column is None or column.type == wanted:
        return
    if column.type == "string":
        known = None if baseline.profile is None else baseline.profile.columns.get(column.name)
        texts = pa.array([], pa.string()) if known is None else known.levels.values
        if not len(texts) or coerce(texts, wanted)[0].null_count < len(texts):
            return
    elif wanted == "double":
        return
    what = "times" if wanted == "timestamp" else "numbers"
    held = "texts" if column.type == "string" else column.type
    such = ", or texts such as 2026-01-31T12:00:00Z" if wanted == "timestamp" else ""
    raise InputError(
        f'{rule.declaration.shown}: column "{column.name}" holds no {what} but {held}; '
        f"expected {what}{such}"
    )
