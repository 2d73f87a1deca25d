"""The reports of several kinds: one verdict over all, in one shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import driftline as dl
from driftline.errors import InputError
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import Violation
from driftline.monitors.state import State
from tests.monitors.people import people, unfair

CALM = Report("bias", (), 100, metrics=(Measured("DPPL", 0.1, bound=0.2),))
LOUD = replace(
    CALM,
    kind="data-quality",
    violations=(Violation("age", "baseline_drift_check", "…", "ticket", cause="all are older"),),
)
SMALL = replace(
    CALM, kind="model-quality", metrics=(Measured("auc", None, state=State.INSUFFICIENT),)
)


def reports_of(*reports: Report, **unjudged: dict[str, str]) -> Reports:
    return Reports({one.kind: one for one in reports}, **unjudged)


@pytest.fixture(scope="module")
def judged() -> Reports:
    then = people(2_000, 1)
    baseline = dl.Baseline.fit(then, label="hired", probability="score", facet="sex=F")
    kinds = ["data-quality", "model-quality", "bias"]
    return dl.check_all(unfair(800, 2), baseline, kinds=kinds)


@pytest.mark.parametrize(
    ("reports", "passed", "decided", "headline"),
    [
        (reports_of(CALM), True, True, "100 rows, no violations in 1 kind"),
        (
            reports_of(CALM, left_out={"attribution": "no model"}),
            True, True, "100 rows, no violations in 1 kind; attribution left out",
        ),
        (
            reports_of(CALM, LOUD),
            False, True, "100 rows, 1 violation in 1 of 2 kinds (data-quality 1)",
        ),
        (
            reports_of(CALM, SMALL),
            False, False, "100 rows, no violations in 1 kind; model-quality could not be judged",
        ),
        (
            reports_of(LOUD, SMALL, refused={"bias": "no facet"}),
            False, False,
            "100 rows, 1 violation in 1 of 1 kind (data-quality 1); "
            "model-quality, bias could not be judged",
        ),
        (reports_of(SMALL), False, False, "100 rows; model-quality could not be judged"),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_all_kinds_that_the_baseline_has_something_for(
    reports: Reports, *, passed: bool, decided: bool, headline: str
) -> None:
    assert (reports.passed, reports.decided, reports.headline) == (passed, decided, headline)


def test_reports_are_found_by_kind_and_a_missing_one_says_why() -> None:
    reports = reports_of(CALM, refused={"model-quality": "no answers"}, left_out={"joint": "none"})

    assert reports["bias"] is CALM
    assert "joint" not in reports
    for kind, why in (("model-quality", "no answers"), ("joint", "none")):
        with pytest.raises(KeyError, match=f"{kind}: {why}"):
            reports[kind]


def test_documents_lie_in_a_folder_for_each_kind(judged: Reports, tmp_path: Path) -> None:
    judged.save(tmp_path)

    assert json.loads((tmp_path / "report.json").read_text()) == judged.to_dict()
    for name, report in judged.items():
        for document, text in report.documents().items():
            assert (tmp_path / name / document).read_text() == text


def test_no_report_of_an_earlier_run_stays_where_its_kind_is_not_judged_now(
    judged: Reports, tmp_path: Path
) -> None:
    judged.save(tmp_path)

    Reports({"bias": judged["bias"]}).save(tmp_path)

    assert sorted(str(one.parent.name) for one in tmp_path.rglob("report.json")) == sorted(
        [tmp_path.name, "bias"]
    )


def test_reports_are_not_saved_over_a_baseline(judged: Reports, tmp_path: Path) -> None:
    dl.Baseline.fit(people(100, 1)).save(tmp_path / "bias")
    before = {one.name: one.read_bytes() for one in (tmp_path / "bias").iterdir()}

    with pytest.raises(InputError, match="a baseline is there"):
        judged.save(tmp_path)

    assert {one.name: one.read_bytes() for one in (tmp_path / "bias").iterdir()} == before
    assert [one.name for one in tmp_path.iterdir()] == ["bias"]
