"""Several kinds of the same rows at once: each as by itself, and none dropped without a word."""

from __future__ import annotations

import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from tests.monitors.people import people, score, turned, unfair

FOUR = ["data-quality", "model-quality", "bias", "attribution"]
THEN = people(3_000, 1)
ROLES = {"label": "hired", "probability": "score", "facet": "sex=F"}


@pytest.fixture(scope="module")
def whole() -> Baseline:
    return Baseline.fit(THEN, predict=score, segments=["sex"], **ROLES)


@pytest.fixture(scope="module")
def plain() -> Baseline:
    return Baseline.fit(THEN.drop(columns=["score", "hired"]))


@pytest.fixture(scope="module")
def unfairly(whole: Baseline) -> dl.Reports:
    """What all kinds say of a day that is otherwise than the reference in every way."""
    return dl.check_all(unfair(1_000, 2), whole, predict=turned)


def wrong_share(labels: object, predictions: object) -> float:
    """Measure a loss of one's own."""
    return float((labels != predictions).mean())  # type: ignore[attr-defined]


def test_each_kind_finds_what_it_finds_by_itself(whole: Baseline, unfairly: dl.Reports) -> None:
    today, reports = unfair(1_000, 2), unfairly

    assert list(reports) == [*FOUR, "outliers", "joint"]
    for kind, report in reports.items():
        model = turned if kind == "attribution" else None
        assert report.to_dict() == dl.check(today, whole, kind=kind, predict=model).to_dict()
    assert [kind for kind in FOUR if reports[kind].violations] == FOUR
    assert (reports.refused, reports.left_out, reports.decided) == ({}, {}, True)


def test_all_kinds_are_read_as_one_report_is(unfairly: dl.Reports) -> None:
    reports = unfairly
    first, last = reports.violations[0], reports.violations[-1]

    assert all(f"{kind}: {reports[kind].cause}" in reports.cause for kind in FOUR)
    assert reports.rows(first).equals(reports[first.kind].rows(0))
    assert reports.rows(0).equals(reports.rows(first.feature_name))
    assert len(reports.rows(last, limit=2)) <= 2
    with pytest.raises(InputError, match="nothing"):
        reports.rows("nothing")


def test_what_the_baseline_holds_nothing_for_is_named_and_no_failure(plain: Baseline) -> None:
    reports = dl.check_all(people(1_000, 3).drop(columns=["score", "hired"]), plain)

    assert list(reports) == ["data-quality", "outliers", "joint"]
    assert list(reports.left_out) == ["model-quality", "bias", "attribution"]
    assert "label" in reports.left_out["model-quality"]
    assert "name a facet" in reports.left_out["bias"]
    assert reports.decided
    assert reports.passed


def test_rows_that_lack_what_a_kind_needs_have_not_passed(whole: Baseline) -> None:
    reports = dl.check_all(people(1_000, 3).drop(columns="sex"), whole)

    assert 'facet "sex": the data has no such column' in reports.refused["bias"]
    assert not reports["data-quality"].passed
    assert reports["model-quality"].passed
    assert not reports.decided
    assert not reports.passed


def test_kinds_that_are_named_are_judged_in_their_order_or_refused(whole: Baseline) -> None:
    named = dl.check_all(people(1_000, 3), whole, kinds=["bias", "MODEL_QUALITY", "bias"])

    assert list(named) == ["bias", "model-quality"]
    assert list(dl.check_all(people(1_000, 3), whole, kinds="bias")) == ["bias"]
    with pytest.raises(InputError, match='facet "sex": the data has no such column'):
        dl.check_all(people(500, 3).drop(columns="sex"), whole, kinds=["data-quality", "bias"])
    with pytest.raises(InputError, match='kind "vibes"; expected one of data-quality'):
        dl.check_all(THEN, whole, kinds=["vibes"])
    with pytest.raises(InputError, match=r'kind "all"; .*; several .*, all of them without kinds='):
        dl.check_all(THEN, whole, kinds="all")
    with pytest.raises(InputError, match='kind "3"; expected one of data-quality'):
        dl.check_all(THEN, whole, kinds=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kinds: none is named; expected some of data-quality"):
        dl.check_all(THEN, whole, kinds=[])


def test_each_option_goes_to_the_kind_that_takes_it(whole: Baseline) -> None:
    reports = dl.check_all(
        people(1_000, 3), whole, rules=["age < 18"], metrics=[wrong_share], segments=["sex"],
        kinds=["data-quality", "model-quality", "bias"],
    )  # fmt: skip

    assert len(reports["data-quality"].declared_rules) == 1
    assert len(reports["data-quality"].segments) == 2
    assert "wrong_share" in {one.name for one in reports["model-quality"].metrics}
    with pytest.raises(InputError, match='rules with kind "bias"'):
        dl.check_all(THEN, whole, kinds=["bias", "model-quality"], rules=["age < 18"])


def test_rows_that_come_only_once_are_judged_by_every_kind(whole: Baseline) -> None:
    table = pa.Table.from_pandas(unfair(1_000, 2))
    once = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=300))

    found = dl.check_all(once, whole, kinds=FOUR, predict=turned)

    again = dl.check_all(table, whole, kinds=FOUR, predict=turned)
    assert found.to_dict() == again.to_dict()
