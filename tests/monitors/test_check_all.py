"""Several kinds of the same rows at once: each as by itself, and none dropped without a word."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import save_kind
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


def wrong_share(labels: object, predictions: object) -> float:
    """Measure a loss of one's own."""
    return float((labels != predictions).mean())  # type: ignore[attr-defined]


def test_each_kind_finds_what_it_finds_by_itself(whole: Baseline) -> None:
    today = unfair(1_000, 2)

    reports = dl.check_all(today, whole, predict=turned)

    assert list(reports) == [*FOUR, "outliers", "joint"]
    for kind, report in reports.items():
        model = turned if kind == "attribution" else None
        assert report.to_dict() == dl.check(today, whole, kind=kind, predict=model).to_dict()
    assert [kind for kind in FOUR if reports[kind].violations] == FOUR
    assert (reports.refused, reports.left_out, reports.decided) == ({}, {}, True)


def test_all_kinds_are_read_as_one_report_is(whole: Baseline) -> None:
    reports = dl.check_all(unfair(1_000, 2), whole, predict=turned)
    first, last = reports.violations[0], reports.violations[-1]

    assert all(f"{kind}: {reports[kind].cause}" in reports.cause for kind in FOUR)
    assert reports.rows(first).equals(reports[first.kind].rows(0))
    assert reports.rows(0).equals(reports.rows(first.feature_name))
    assert len(reports.rows(last, limit=2)) <= 2
    with pytest.raises(InputError, match="nothing"):
        reports.rows("nothing")


def test_what_a_notebook_reads_names_no_flag_of_the_command_line(plain: Baseline) -> None:
    reports = dl.check_all(people(1_000, 3), plain)
    said = [*reports.left_out.values(), *reports.refused.values(), reports.summary]
    for wrong in ({"label": "hired", "positive": "perhaps"}, {"label": "hired", "facet": "sex"}):
        with pytest.raises(InputError) as told:
            dl.check(people(1_000, 3), plain, kind="bias", **wrong)
        said.append(str(told.value))

    assert not [one for one in said if "--" in one]


def test_what_the_baseline_holds_nothing_for_is_named_and_no_failure(plain: Baseline) -> None:
    reports = dl.check_all(people(1_000, 3).drop(columns=["score", "hired"]), plain)

    assert list(reports) == ["data-quality", "outliers", "joint"]
    assert list(reports.left_out) == ["model-quality", "bias", "attribution"]
    assert "label" in reports.left_out["model-quality"]
    assert "name a facet" in reports.left_out["bias"]
    assert reports.decided
    assert reports.passed


def test_attributions_need_the_model_that_made_the_reference(whole: Baseline) -> None:
    reports = dl.check_all(people(1_000, 3), whole)

    assert "name the model" in reports.left_out["attribution"]
    assert reports.passed, reports.summary


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


def test_an_option_asks_for_the_kind_that_takes_it(plain: Baseline) -> None:
    with pytest.raises(InputError, match="the baseline holds no labels and answers"):
        dl.check_all(THEN, plain, metrics=[wrong_share])
    with pytest.raises(InputError, match="the baseline has no attributions"):
        dl.check_all(THEN, plain, predict=score)


def test_rows_that_come_only_once_are_judged_by_every_kind(whole: Baseline) -> None:
    table = pa.Table.from_pandas(unfair(1_000, 2))
    once = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=300))

    found = dl.check_all(once, whole, kinds=FOUR, predict=turned)

    again = dl.check_all(table, whole, kinds=FOUR, predict=turned)
    assert found.to_dict() == again.to_dict()


def test_a_mistyped_role_is_no_reason_to_judge_less(whole: Baseline) -> None:
    with pytest.raises(InputError, match='label "hird"'):
        dl.check_all(people(500, 3), whole, label="hird")


def test_a_folder_of_one_kind_serves_the_kinds_that_it_can(whole: Baseline, tmp_path: Path) -> None:
    save_kind(whole, kind_named("bias"), str(tmp_path))

    reports = dl.check_all(people(1_000, 3), tmp_path)

    assert list(reports) == ["model-quality", "bias"]
    assert "holds analysis.json only" in reports.left_out["data-quality"]
    assert {"outliers", "joint"} < set(reports.left_out)


def test_where_no_kind_can_be_judged_the_baselines_own_says_why(
    whole: Baseline, tmp_path: Path
) -> None:
    table = pa.table({"age": [0.4, -0.5, 0.6] * 100, "income": [0.1, 0.1, -0.1] * 100})
    save_kind(Baseline.fit(table, predict=score), kind_named("attribution"), str(tmp_path))

    with pytest.raises(InputError, match="made by asking a model"):
        dl.check_all(table, tmp_path)


def test_sagemaker_has_no_monitors_of_outliers_or_joint_drift(whole: Baseline) -> None:
    like = dl.Compat(deequ_ties=True)

    reports = dl.check_all(people(1_000, 3), whole, compat=like)

    assert list(reports) == ["data-quality", "model-quality", "bias"]
    assert "SageMaker has no such monitor" in reports.left_out["joint"]
    assert reports["data-quality"].details["compat"]["deequ_ties"] is True
