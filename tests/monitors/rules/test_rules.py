"""Each check against what pandas and Python say of the same rows, whole and in parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.monitors.results.violation import Draft
from driftline.monitors.rules.judging import judge
from driftline.monitors.rules.outcome import Outcome, outcome_drafts
from driftline.monitors.rules.ruleset import RuleSet

NOW = datetime(2024, 1, 8, tzinfo=UTC)
ROWS = pa.record_batch(
    {
        "id": ["a", "b", None, "d", "b", ""],
        "age": [0, 120, -4, None, 121, 60],
        "price": [1.5, float("nan"), float("inf"), -0.0, 2.0, -1.0],
        "code": ["AA-1", "AA-12", "x", "", "BB-2", None],
        "mixed": ["1", "2.5", "many", "", "4", "-7"],
        "day": [datetime(2024, 1, one, tzinfo=UTC) for one in range(1, 7)],
        "sure": [True, True, False, None, False, True],
    }
)


def outcomes(
    rules: Sequence[object], *batches: pa.RecordBatch, known: Sequence[str] = ()
) -> tuple[Outcome, ...]:
    return judge(RuleSet.of(rules), lambda _columns: batches or (ROWS,), NOW, known=known)


def rule(check: str, **keys: object) -> dict[str, object]:
    return {"check": check, **keys}


TOLD_OF_ALL = [
    (rule("row_count", min=7), "6 rows (expected at least 7)"),
    (rule("row_count", max=5), "6 rows (expected at most 5)"),
    (rule("row_count", min=10, max=20), "6 rows (expected 10 to 20)"),
    (rule("row_count", min=6, max=6), None),
    (rule("row_count", min=4, where="sure"), "3 rows with sure (expected at least 4)"),
    (rule("freshness", column="day", max_age="2d"), None),
    (
        rule("freshness", column="day", max_age="47h 59m"),
        "newest time is 2024-01-06 00:00:00 UTC (expected a time within 2,879 minutes)",
    ),
    (
        rule("freshness", column="day", max_age=60, as_of="2023-12-01"),
        "all times lie in the future (expected a time within 1 minute)",
    ),
    (
        rule("freshness", column="code", max_age="1h"),
        "no row holds a time (expected a time within 1 hour)",
    ),
    (rule("duplicate_rows"), None),
    (rule("duplicate_rows", ignore=["age", "price", "code", "mixed", "day"]), None),
    (
        rule("duplicate_rows", ignore=["id", "age", "price", "code", "mixed", "day"]),
        "100% of rows like another row (2 different)",
    ),
]


@pytest.fixture(scope="module")
def found() -> dict[str, list[Draft]]:
    """What each rule comes to, of one run."""
    rules = [declared for declared, *_ in TOLD_OF_ALL]
    told = outcomes(rules)
    return {str(declared): outcome_drafts([one]) for declared, one in zip(rules, told, strict=True)}


@pytest.mark.parametrize(("declared", "told"), TOLD_OF_ALL, ids=str)
def test_rules_on_all_rows_together_are_told(
    found: dict[str, list[Draft]], declared: object, told: str | None
) -> None:
    assert [one.what for one in found[str(declared)]] == ([] if told is None else [told])


def test_no_rows_break_no_rule_but_the_number_of_rows() -> None:
    rules = RuleSet.of(
        [rule("not_null", column="x"), rule("freshness", column="t", max_age="1d"),
         rule("row_count", min=1)]
    )  # fmt: skip

    found = outcome_drafts(judge(rules, lambda _columns: (), NOW))

    assert [one.what for one in found] == ["0 rows (expected at least 1)"]


@pytest.mark.parametrize("seed", range(3))
def test_repeated_values_are_those_of_pandas(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "n": random.choice([None, -1, 0, 3], 12),
            "s": random.choice([None, "", "a", "b", "ccc"], 12),
            "d": random.choice([None, 1, 2], 12),
        }
    ).astype({"s": object})
    frame = frame.where(frame.notna() & (frame != ""), None)
    batch = pa.RecordBatch.from_pylist(
        frame.to_dict("records"),
        pa.schema([("n", pa.float64()), ("s", pa.string()), ("d", pa.float64())]),
    )
    one, both, row = outcomes(
        [rule("unique", column="s"), rule("unique", columns=["n", "s"]), rule("duplicate_rows")],
        batch,
    )

    for found, columns in ((one, ["s"]), (both, ["n", "s"]), (row, ["n", "s", "d"])):
        some = frame[frame[columns].notna().any(axis=1)]
        alike = some.duplicated(columns, keep=False)
        assert found.tally.judged_count == len(some)
        assert found.tally.broken_count == alike.sum()
        if found.condition is not None:
            marked = np.flatnonzero(found.condition.mask(batch).to_numpy(zero_copy_only=False))
            assert marked.tolist() == some.index[alike].tolist()
