"""Each check against what pandas and Python say of the same rows, whole and in parts."""

from __future__ import annotations

import re
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


def drafts(*rules: object) -> list[Draft]:
    return outcome_drafts(outcomes(rules))


def rule(check: str, **keys: object) -> dict[str, object]:
    return {"check": check, **keys}


def broken_rows(found: Draft) -> list[int]:
    assert found.predicate is not None
    return np.flatnonzero(found.predicate.mask(ROWS).to_numpy(zero_copy_only=False)).tolist()


BROKEN_BY_ROWS = [
    (
        rule("bounds", column="age", min=0, max=120),
        [2, 4],
        "40% of values below 0 or above 120 (-4 to 121)",
    ),
    (rule("bounds", column="age", above=0), [0, 2], "40% of values not above 0 (-4 to 0)"),
    (
        rule("bounds", column="age", below=120),
        [1, 4],
        "40% of values not below 120 (120 to 121)",
    ),
    (rule("bounds", column="price", max=1e300), [2], "20% of values above 1e+300"),
    (rule("bounds", column="mixed", min=0), [2, 5], "40% of values below 0 (-7)"),
    (
        rule("bounds", column="day", min="2024-01-02", below="2024-01-06"),
        [0, 5],
        "33.3% of values below 2024-01-02 or not below 2024-01-06",
    ),
    (rule("non_negative", column="price"), [5], "20% of values below 0 (-1)"),
    (rule("non_negative", column="age", nulls="fail"), [2, 3], "33.3% of values below 0 (-4)"),
    (rule("not_null", column="id"), [2, 5], "33.3% of rows empty"),
    (rule("not_null", column="price"), [1], "16.7% of rows empty"),
    (rule("values", column="id", values=["a", "b"]), [3], '25% of values not one of "a", "b"'),
    (
        rule("values", column="age", values=[0, 60.0, "120"]),
        [2, 4],
        '40% of values not one of "0", "60", "120"',
    ),
    (rule("values", column="sure", values=[True]), [2, 4], '40% of values not one of "true"'),
    (
        rule("values", column="id", values=["b"], forbidden=True),
        [1, 4],
        '50% of values one of "b"',
    ),
    (
        rule("pattern", column="code", pattern="[A-Z]{2}-[0-9]"),
        [1, 2],
        '50% of values not matching "[A-Z]{2}-[0-9]"',
    ),
    (
        rule("pattern", column="code", pattern="AA|BB"),
        [0, 1, 2, 4],
        '100% of values not matching "AA|BB"',
    ),
    (
        rule("pattern", column="code", pattern="AA|BB", anywhere=True),
        [2],
        '25% of values not containing "AA|BB"',
    ),
    (
        rule("pattern", column="code", pattern="x", forbidden=True),
        [2],
        '25% of values matching "x"',
    ),
    (
        rule("pattern", column="age", pattern="-?[0-9]{1,2}"),
        [1, 4],
        '40% of values not matching "-?[0-9]{1,2}"',
    ),
    (rule("length", column="code", min=4, max=4), [1, 2], "50% of values not of 4 characters"),
    (rule("length", column="code", max=4), [1], "25% of values not of at most 4 characters"),
    (
        rule("expression", expression="price <= age"),
        [0, 2],
        '50% of rows where "price <= age" does not hold',
    ),
    ("age >= 0", [2], '20% of values where "age >= 0" does not hold (-4)'),
    (
        rule("expression", expression="age > 0", where="sure"),
        [0],
        '33.3% of values where "age > 0" does not hold (0)',
    ),
    (
        rule("unique", column="id"),
        [1, 4],
        "50% of rows with a value that occurs more than once (1 such value)",
    ),
    (
        rule("unique", column="sure", where="age >= 60"),
        [1, 5],
        "66.7% of rows with a value that occurs more than once (1 such value)",
    ),
    (rule("unique", columns=["sure", "id"]), [], ""),
]
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


def shown(one: object) -> str | None:
    return re.sub(r"[^a-z_ ]", "", str(one))[:60] if isinstance(one, dict | str) else None


@pytest.fixture(scope="module")
def found() -> dict[str, list[Draft]]:
    """What each rule comes to, of one run."""
    rules = [declared for declared, *_ in (*BROKEN_BY_ROWS, *TOLD_OF_ALL)]
    told = outcomes(rules)
    return {str(declared): outcome_drafts([one]) for declared, one in zip(rules, told, strict=True)}


@pytest.mark.parametrize(("declared", "rows", "words"), BROKEN_BY_ROWS, ids=shown)
def test_the_rows_that_break_a_rule_are_found_and_told(
    found: dict[str, list[Draft]], declared: object, rows: list[int], words: str
) -> None:
    drafts = found[str(declared)]

    assert [one.what for one in drafts] == ([words] if rows else [])
    assert [broken_rows(one) for one in drafts] == ([rows] if rows else [])


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
