"""What each check comes to on a table of awkward values: nulls, NaN, texts, times, lists.

The outcomes in outcomes.json were recorded before rules ran on DuckDB. Since then a remainder has
the sign of the number divided, as in SQL, and a query finds missing values as NULL, NaN and "" too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline

GOLDEN = json.loads((Path(__file__).parent / "outcomes.json").read_text())
NAN, BIG = float("nan"), 2**53 + 1
DAY = [None if one is None else datetime(2024, 1, one, 6, tzinfo=UTC) for one in
       (3, 4, None, 6, 5, 7, 8, 8)]  # fmt: skip
TABLE = pa.table(
    {
        "id": pa.array([1, 2, 2, 4, None, 6, 7, 2], pa.int64()),
        "whole": pa.array([0, -1, None, 5, 5, 7, 12, 130], pa.int64()),
        "long": pa.array([BIG, BIG + 1, BIG, 3, 4, 5, 6, None], pa.int64()),
        "price": pa.array([0.5, NAN, None, -0.0, 0.0, 1e20, 3.25, 7.0], pa.float64()),
        "wild": pa.array([1.0, float("inf"), 2.0, NAN, 3.0, -4.0, 5.0, 6.0], pa.float64()),
        "money": pa.array(
            [None if one is None else Decimal(one) for one in
             ("1.10", "2.20", None, "2.20", "-1.00", "3.00", "4.00", "5.00")], pa.decimal128(9, 2)
        ),
        "code": pa.array(["AA-1", "ab", "", None, "AA-1", "BB-2", "Ünï-3", "12"], pa.string()),
        "mixed": pa.array(["1", "2.5", "x", "", None, "1e3", " 4 ", "-7"], pa.string()),
        "sure": pa.array([True, False, None, True, True, False, True, True], pa.bool_()),
        "day": pa.array(DAY, pa.timestamp("us", "UTC")),
        "stamp": pa.array(
            ["2024-01-03", "2024-01-04T05:00:00Z", "no", None, "", "2024-01-07", "7", "2023-12-31"],
            pa.string(),
        ),
        "tags": pa.array(
            [["a"], ["a", "b"], None, [], ["a"], ["c"], ["a", None], ["b"]], pa.list_(pa.string())
        ),
        "empty": pa.nulls(8, pa.float64()),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, object]]:
    """What the report of one check says of each rule, and the rows at fault."""
    order = np.random.default_rng(1).integers(0, TABLE.num_rows, 400)
    reference = Baseline.fit(TABLE.take(pa.array(order)))
    rules = [golden["rule"] for golden in GOLDEN]
    report = dl.check(TABLE, reference, rules=rules)
    rows: dict[str, list[int]] = {}
    for violation in report.violations:
        condition = violation.predicate
        if condition is not None and condition.op == "rule":
            found = report.rows(violation, limit=50).index
            rows[json.dumps(condition.rule)] = [int(one) for one in found]
    return {
        json.dumps(rule): {
            key: told[key] for key in ("passed", "judged_count", "broken_count", "found")
        } | {"feature": told["feature_name"], "rows": rows.get(json.dumps(told["rule"]), [])}
        for rule, told in zip(rules, report.details["rules"], strict=True)
    }  # fmt: skip


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda one: json.dumps(one["rule"])[:80])
def test_outcome_of_a_rule(
    golden: dict[str, object], outcomes: dict[str, dict[str, object]]
) -> None:
    expected = {key: value for key, value in golden.items() if key != "rule"}

    assert outcomes[json.dumps(golden["rule"])] == expected
