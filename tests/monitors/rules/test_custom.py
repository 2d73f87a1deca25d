"""Checks of other packages: found by entry point, given their keys, blamed for their defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.monitors.rules.reach import Reach
from driftline.monitors.rules.ruleset import RuleSet, outcome_drafts
from tests.plugged import plugged_in

MODULE = """
import pyarrow.compute as pc
from driftline.monitors.rules.outcome import Tally

def even(batch, column, step=2):
    values = batch.column(column)
    return pc.equal(pc.subtract(values, pc.multiply(pc.divide(values, step), step)), 0)

def short(batch):
    return [True]

def words(batch):
    return ["yes"] * batch.num_rows

def score(batch):
    return [0.0, 1.0] * (batch.num_rows // 2)

def grade(batch):
    return [1, 2] * (batch.num_rows // 2)

def zero(batch):
    return [0, 1] * (batch.num_rows // 2)

def broken(batch):
    raise RuntimeError("no luck")

def leave(batch):
    raise SystemExit(3)

class Quitting:
    def __init__(self, late=False):
        self.late = late
        if not late:
            raise SystemExit(4)

    def start(self):
        raise SystemExit(5)

class Total:
    def __init__(self, column, most):
        self.column, self.most = column, most

    def start(self):
        return Counter(self)

class Counter:
    def __init__(self, check):
        self.check, self.sum = check, 0

    def update(self, batch):
        self.sum += pc.sum(batch.column(self.check.column)).as_py() or 0

    def merge(self, other):
        self.sum += other.sum

    def result(self):
        is_broken = self.sum > self.check.most
        return Tally(0, 0, is_broken, f"sum {self.sum}", f"Sum {self.sum}.", concerns_rows=False)

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
    "Quitting",
    "Total",
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


def told(**keys: object) -> list[str]:
    counters = RuleSet.of([keys]).start()
    counters.update(BATCH)
    other = RuleSet.of([keys]).start()
    other.update(BATCH.slice(0, 1))
    return [one.what for one in outcome_drafts(counters.merge(other).result())]


@pytest.mark.parametrize(("late", "code"), [(False, 4), (True, 5)])
def test_a_check_that_ends_the_process_is_an_error_of_its_rule(late: bool, code: int) -> None:
    with pytest.raises(InputError, match=f'rule "acme_Quitting".*SystemExit: {code}'):
        told(check="acme_Quitting", late=late)


def test_a_function_gets_its_own_keys_and_ours_hold_as_for_all() -> None:
    assert told(check="acme_even", column="n") == ["25% of values that fail acme_even"]
    assert told(check="acme_even", column="n", step=1) == []
    assert told(check="acme_even", column="n", nulls="fail") == [
        "40% of values that fail acme_even"
    ]
    assert told(check="acme_even", column="n", mostly=0.7) == []
    assert told(check="acme_even", column="n", where="n != 3") == []


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"check": "acme_broken"}, 'check "acme_broken" failed: RuntimeError: no luck'),
        ({"check": "acme_leave"}, 'check "acme_leave" failed: SystemExit: 3'),
        (
            {"check": "acme_Total", "column": "n", "most": "many"},
            "(n) cannot be judged (TypeError: '>' not supported",
        ),
        ({"check": "acme_short"}, "gave 1 values for 4 rows; expected one truth value"),
        ({"check": "acme_words"}, 'check "acme_words" failed: ArrowInvalid'),
        ({"check": "acme_score"}, "TypeError: it gave numbers (double); expected one truth value"),
        ({"check": "acme_grade"}, "TypeError: it gave numbers (int64); expected one truth value"),
        ({"check": "acme_even"}, "failed: TypeError: even() missing 1 required"),
        ({"check": "acme_Total", "column": "n"}, "TypeError"),
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


@pytest.mark.parametrize(
    "keys", [{"check": "acme_broken"}, {"check": "acme_Total", "column": "n", "most": "many"}]
)
def test_a_defect_of_a_check_on_the_server_quotes_nothing(keys: dict[str, object]) -> None:
    counters = RuleSet.of([keys]).within(Reach(discreet=True)).start()

    with pytest.raises(InputError) as raised:
        counters.update(BATCH)
        counters.result()

    assert "Error" in str(raised.value)
    assert not any(one in str(raised.value) for one in ("no luck", "not supported"))
