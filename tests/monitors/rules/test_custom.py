"""Checks of other packages: found by entry point, given their keys, blamed for their defects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.monitors.rules.judging import judge
from driftline.monitors.rules.outcome import outcome_drafts
from driftline.monitors.rules.reach import NOTHING, Reach
from driftline.monitors.rules.ruleset import RuleSet
from tests.plugged import plugged_in

MODULE = """
import pyarrow.compute as pc

def even(table, column, step=2):
    values = table[column]
    return pc.equal(pc.subtract(values, pc.multiply(pc.divide(values, step), step)), 0)

def short(table):
    return [True]

def words(table):
    return ["yes"] * table.num_rows

def score(table):
    return [0.0, 1.0] * (table.num_rows // 2)

def grade(table):
    return [1, 2] * (table.num_rows // 2)

def zero(table):
    return [0, 1] * (table.num_rows // 2)

def broken(table):
    raise RuntimeError("no luck")

def leave(table):
    raise SystemExit(3)

nothing = 3
"""
NAMES = (
    "even",
    "short",
    "words",
    "score",
    "grade",
    "zero",
    "broken",
    "leave",
    "nothing",
    "gone",
)
BATCH = pa.record_batch({"n": [2, 3, None, 8]})


@pytest.fixture(autouse=True, scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installed package with entry points, as pip leaves it."""
    place = tmp_path_factory.mktemp("site")
    points = "".join(f"acme_{name} = acme_checks:{name}\n" for name in NAMES)
    with plugged_in(place, "acme_checks", MODULE, f"[driftline.checks]\n{points}"):
        yield place


def told(reach: Reach = NOTHING, **keys: object) -> list[str]:
    batches = [BATCH, BATCH.slice(0, 1)]
    rules = RuleSet.of([keys]).within(reach)
    found = judge(rules, lambda _columns: batches, datetime(2026, 1, 2, tzinfo=UTC))
    return [one.what for one in outcome_drafts(found)]


def test_a_function_gets_its_own_keys_and_ours_hold_as_for_all() -> None:
    assert told(check="acme_even", column="n") == ["25% of rows that fail acme_even"]
    assert told(check="acme_even", column="n", step=1) == []
    assert told(check="acme_even", column="n", mostly=0.7) == []


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"check": "acme_broken"}, 'check "acme_broken" failed: RuntimeError: no luck'),
        ({"check": "acme_leave"}, 'check "acme_leave" failed: SystemExit: 3'),
        ({"check": "acme_short"}, "returned 1 values for 5 rows; expected a truth value"),
        ({"check": "acme_words"}, 'check "acme_words" failed: ArrowInvalid'),
        ({"check": "acme_score"}, "TypeError: it gave numbers (double); expected a truth value"),
        ({"check": "acme_grade"}, "TypeError: it gave numbers (int64); expected a truth value"),
        ({"check": "acme_even"}, "failed: TypeError: even() missing 1 required"),
        ({"check": "acme_nothing"}, "is no function; expected one"),
        ({"check": "acme_gone"}, "acme_checks:gone cannot be loaded (AttributeError"),
        ({"check": "acme_evn"}, 'no such check (did you mean "acme_even"?)'),
        ({"check": "acme_even", "column": "m"}, 'no column "m"'),
    ],
)
def test_a_defect_of_a_check_is_told_with_its_name(keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        told(**keys)

    assert sentence in str(raised.value)


def test_a_defect_of_a_check_on_the_server_quotes_nothing() -> None:
    with pytest.raises(InputError) as raised:
        told(Reach(discreet=True), check="acme_broken")

    assert "Error" in str(raised.value)
    assert "no luck" not in str(raised.value)
