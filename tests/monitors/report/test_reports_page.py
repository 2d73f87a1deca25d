"""The reports of several kinds as one page: a line for each, then what its own page has."""

from __future__ import annotations

import pytest

import driftline as dl
from driftline.monitors.report.reports import Reports
from tests.monitors.people import people, unfair
from tests.monitors.report.test_page import HOSTILE, tags_of


@pytest.fixture(scope="module")
def reports() -> Reports:
    then = people(2_000, 1).rename(columns={"income": HOSTILE})
    baseline = dl.Baseline.fit(then, label="hired", probability="score", facet="sex=F")
    now = unfair(800, 2).rename(columns={"income": HOSTILE})
    return dl.check_all(now, baseline)


def test_a_page_begins_with_the_verdict_and_names_what_is_not_judged(reports: Reports) -> None:
    page = reports.html()

    head = page[: page.index("<details")]
    assert f"{reports.violation_count} violations in 800 rows" in head
    for name, report in reports.items():
        if report.violations:
            assert f">{report.violation_count}</td>" in head
        assert f"<summary>{name}</summary>" in page
    assert ">left out</td>" in head
    assert "the baseline has no attributions" in head


def test_the_page_needs_no_other_file_and_no_text_of_the_data_is_markup(reports: Reports) -> None:
    page = reports.html()

    assert "<img" not in page
    assert not {"img", "link", "iframe", "base", "object"} & set(tags_of(page).names)
    for word in ("http://", "https://", "url(", "@import", "fetch(", "import("):
        assert word not in page
    assert page == reports.html()
