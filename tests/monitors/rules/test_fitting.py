"""Rules that could judge no row are refused in a sentence, and never counted as kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check

DATA = pa.table(
    {
        "age": [20 + number % 50 for number in range(400)],
        "city": ["Bonn", "Jena", "Ulm", "Kiel"] * 100,
        "note": ["12", "7", "n/a", "31"] * 100,
        "day": ["2026-01-01", "2026-01-02"] * 200,
        "at": [datetime(2026, 1, 1 + number % 28, tzinfo=UTC) for number in range(400)],
        "flag": ["true", "false"] * 200,
    }
)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(DATA)


@pytest.mark.parametrize(
    "rule",
    [
        "city > 5",
        "city == 5",
        "age < city",
        "city in (1, 2)",
        "city + 1 > 2",
        "abs(city) > 1",
        "city == True",
        "age > 0 and city > 5",
        {"check": "not_null", "column": "age", "where": "city > 5"},
        {"check": "row_count", "min": 1, "where": "city > 5"},
        {"check": "unique", "column": "age", "where": "city > 5"},
    ],
)
def test_a_text_beside_something_else_is_refused(rule: Any, baseline: Baseline) -> None:
    with pytest.raises(InputError, match=r"city.*a (text|number) (and|where) a "):
        check(DATA, baseline, rules=[rule])


def test_a_text_that_is_no_time_is_refused(baseline: Baseline) -> None:
    with pytest.raises(InputError, match='is no time; expected one such as "2026-01-31"'):
        check(DATA, baseline, rules=["at > city"])


@pytest.mark.parametrize(
    "rule",
    [
        "note >= 2",  # One odd entry makes a column of numbers one of texts.
        "number(note) >= 2",
        "at >= day or at < day",
        "year(day) == 2026",
        "flag == True or flag == False",
        "city in ('Bonn', 'Jena', 'Ulm', 'Kiel')",
        "len(city) > age - 100",
        "number(age) > 0",
        "city != note",
    ],
)
def test_texts_that_can_be_read_are_judged(rule: str, baseline: Baseline) -> None:
    report = check(DATA, baseline, rules=[rule])

    (told,) = report.details["rules"]  # type: ignore[misc, union-attr] # One rule, one line.
    assert told["judged_count"] > 0  # type: ignore[index, call-overload, operator]
    assert report.passed


@pytest.mark.parametrize("column", ["age", "city"])
def test_freshness_of_what_is_no_time_is_refused(column: str, baseline: Baseline) -> None:
    rule = {"check": "freshness", "column": column, "max_age": "1 day"}

    with pytest.raises(InputError, match=f'column "{column}" holds no times'):
        check(DATA, baseline, rules=[rule])


@pytest.mark.parametrize("column", ["day", "at"])
def test_freshness_of_times_is_judged(column: str, baseline: Baseline) -> None:
    rule = {"check": "freshness", "column": column, "max_age": "1 day", "as_of": "2026-01-28"}

    assert isinstance(check(DATA, baseline, rules=[rule]).passed, bool)


def test_a_sign_of_texts_is_refused(baseline: Baseline) -> None:
    with pytest.raises(InputError, match='column "city" holds no numbers but texts'):
        check(DATA, baseline, rules=[{"check": "non_negative", "column": "city"}])


@pytest.mark.parametrize("rules", [None, [{"check": "non_negative", "column": "age"}]])
def test_texts_among_numbers_are_not_told_as_negative(
    rules: list[Any] | None, baseline: Baseline
) -> None:
    odd = pa.array([f"{number} J" for number in range(20, 220)] + ["-5"] * 20 + ["30"] * 180)
    texts = DATA.set_column(0, "age", odd)
    signless = DATA.set_column(0, "age", pa.array([f"{n % 60} J" for n in range(400)]))

    found = {
        one.constraint_check_type: one for one in check(texts, baseline, rules=rules).violations
    }
    assert "below 0" in found["non_negative_check"].cause
    assert found["non_negative_check"].row_count == 20
    assert "data_type_check" in found
    assert "non_negative_check" not in {
        one.constraint_check_type for one in check(signless, baseline, rules=rules).violations
    }


def test_a_column_may_have_the_empty_name() -> None:
    reference = Baseline.fit(pa.table({"": [number % 7 for number in range(400)]}))

    assert check(pa.table({"": [number % 7 for number in range(400)]}), reference).passed
    broken = check(pa.table({"": [-5, 1, 2, 3] * 100}), reference).violations
    assert {one.feature_name for one in broken} == {""}
    assert "non_negative_check" in {one.constraint_check_type for one in broken}
    with pytest.raises(InputError, match='no column ""'):
        check(DATA, Baseline.fit(DATA), rules=[{"check": "not_null", "column": ""}])
