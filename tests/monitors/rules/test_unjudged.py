"""A rule that judged no row has neither passed nor failed."""

from __future__ import annotations

import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check

ROWS = pd.DataFrame({"price": range(1000), "kind": ["a", "b"] * 500})


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(ROWS)


def passed(reference: Baseline, rows: pd.DataFrame, *rules: object) -> list[object]:
    return [one["passed"] for one in check(rows, reference, rules=list(rules)).declared_rules]


def test_a_rule_without_a_row_to_judge_has_not_passed(reference: Baseline) -> None:
    nobody = {"check": "bounds", "column": "price", "min": 5000, "where": "kind == 'c'"}
    empty = {"check": "bounds", "column": "price", "min": 5000}

    assert passed(reference, ROWS, nobody, "price >= 0") == [None, True]
    assert passed(reference, ROWS.assign(price=None), empty, "price >= 0") == [None, None]
    assert passed(
        reference, ROWS, {"check": "unique", "column": "kind", "where": nobody["where"]}
    ) == [None]
    # How many rows there are is known without any.
    assert passed(reference, ROWS, {"check": "row_count", "max": 5, "where": nobody["where"]}) == [
        True
    ]
