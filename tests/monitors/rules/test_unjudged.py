"""A rule that judged no row has neither passed nor failed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from tests.servers.commands import driftline

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


def test_the_first_line_counts_rules_that_judged_no_row(reference: Baseline) -> None:
    report = check(
        ROWS, reference, rules=[{"check": "not_null", "column": "price", "where": "price < 0"}]
    )

    assert report.headline == "1,000 rows, no violations; 1 rule judged no row"
    assert report.declared_rules[0]["found"] == "judged no row"


def test_a_check_in_which_only_such_rules_stand_decides_nothing(reference: Baseline) -> None:
    few = ROWS.head(5)

    assert not check(few, reference, rules=["price < 0 or price is None"]).passed
    assert not check(
        few,
        reference,
        rules=[{"check": "expression", "expression": "price > 0", "where": "price < 0"}],
    ).decided
    assert check(few, reference, rules=["price >= 0"]).decided


def test_fail_on_unjudged_covers_rules(reference: Baseline, tmp_path: Path) -> None:
    reference.save(tmp_path / "baseline")
    ROWS.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rules.yaml").write_text("- {check: not_null, column: price, where: price < 0}\n")

    done = driftline(
        "check", f"{tmp_path}/rows.parquet", "--baseline", f"{tmp_path}/baseline",
        "--rules", f"{tmp_path}/rules.yaml", "--fail-on", "unjudged",
    )  # fmt: skip

    assert done.returncode == 3
    assert "1 rule judged no row" in done.stderr
