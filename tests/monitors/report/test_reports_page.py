"""The reports of several kinds as one page: a line for each, then what its own page has."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

import driftline as dl
from driftline.monitors.report.page import FeatureList, features_section
from driftline.monitors.report.reports import Reports
from tests.monitors.people import people, unfair
from tests.monitors.report.test_page import HOSTILE, Tags, tags_of


@pytest.fixture(scope="module")
def reports() -> Reports:
    then = people(2_000, 1).rename(columns={"income": HOSTILE})
    baseline = dl.Baseline.fit(then, label="hired", probability="score", facet="sex=F")
    now = unfair(800, 2).rename(columns={"income": HOSTILE})
    return dl.check_all(now, baseline)


class Headings(Tags):
    """Collects the levels of headings, and the anchors of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        self.anchors += [value or "" for name, value in attrs if name == "id"]


def test_each_kinds_line_leads_to_its_part(reports: Reports) -> None:
    found = Headings()
    found.feed(reports.html())

    assert found.links == [f"#kind-{name}" for name in reports]
    assert {link[1:] for link in found.links} < set(found.anchors)
    assert len(set(found.anchors)) == len(found.anchors)


def test_a_page_begins_with_the_verdict_and_names_what_is_not_judged(reports: Reports) -> None:
    page = reports.html()

    head = page[: page.index("<section")]
    assert f"{reports.violation_count} violations in 800 rows" in head
    for name, report in reports.items():
        if report.violations:
            assert f">{report.violation_count}</td>" in head
        assert f'<a href="#kind-{name}">{name}</a>' in head
    assert ">left out</span>" in head
    assert "the baseline has no attributions" in head


def test_a_part_is_what_the_kinds_own_page_has_a_level_lower(reports: Reports) -> None:
    page = reports.html()

    for report in reports.values():
        own = report.html()
        for article in re.findall("<article.*?</article>", own, flags=re.DOTALL):
            assert article.replace("h3>", "h4>") in page
        for table in re.findall('<table class="list.*?</table>', own, flags=re.DOTALL):
            assert table in page
    levels = Headings()
    levels.feed(page)
    assert levels.levels[:3] == [1, 2, 2]
    pairs = zip(levels.levels, levels.levels[1:], strict=False)
    assert all(later - one <= 1 for one, later in pairs)


def test_the_one_script_works_on_the_table_of_columns(reports: Reports) -> None:
    page = reports.html()
    features = FeatureList.of(reports["data-quality"])
    data, script = tags_of(page).scripts

    assert data == features.data
    assert page.count('id="feature-table"') == 1
    assert features_section(features).replace("h2>", "h3>") in page
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_a_page_of_kinds_without_columns_needs_no_table(reports: Reports) -> None:
    page = Reports({"bias": reports["bias"]}).html()

    assert 'id="feature-table"' not in page
    assert tags_of(page).scripts[0].startswith('{"rows":[]')


def test_the_page_needs_no_other_file_and_no_text_of_the_data_is_markup(reports: Reports) -> None:
    page = reports.html()

    assert "<img" not in page
    assert not {"img", "link", "iframe", "base", "object"} & set(tags_of(page).names)
    for word in ("http://", "https://", "url(", "@import", "fetch(", "import("):
        assert word not in page
    assert page == reports.html()
