"""The page of several kinds in a real browser: it fits, reads aloud, and its one script works."""

import pytest
from playwright.sync_api import expect

import driftline as dl
from driftline.monitors.report.reports import Reports
from tests.dashboard.accessible import axe_faults
from tests.monitors.people import people, score, turned, unfair
from tests.monitors.test_page_browser import LINES, Opener, chromium, names, opened

__all__ = ["chromium", "opened"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def reports() -> Reports:
    then = people(2_000, 1).assign(a_column_whose_name_has_no_end_at_all="x")
    roles = {"label": "hired", "probability": "score", "facet": "sex=F", "segments": ["sex"]}
    baseline = dl.Baseline.fit(then, predict=score, **roles)
    now = unfair(800, 2).assign(a_column_whose_name_has_no_end_at_all="y")
    return dl.check_all(now, baseline, predict=turned)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_page_fits_its_screen_and_is_accessible(
    opened: Opener, reports: Reports, width: int, scheme: str
) -> None:
    page = opened(reports, viewport={"width": width, "height": 900}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert axe_faults(page) == []


def test_numbers_on_a_narrow_screen_stand_below_their_name(
    opened: Opener, reports: Reports
) -> None:
    page = opened(reports, viewport={"width": 390, "height": 900})

    metrics = page.locator("#kind-model-quality table.list > tbody > tr")
    lines = [metrics.nth(at).locator("th").evaluate(LINES) for at in range(metrics.count())]
    assert len(lines) > 5
    assert set(lines) == {1}
    fits = (
        "[...document.querySelectorAll('.wide')].every(one => one.scrollWidth <= one.clientWidth)"
    )
    assert page.evaluate(fits)


def test_a_kinds_name_leads_to_its_part(opened: Opener, reports: Reports) -> None:
    page = opened(reports)

    page.get_by_role("link", name="attribution").click()

    expect(page.locator("#kind-attribution h2")).to_be_in_viewport()


def test_the_table_of_columns_sorts_and_opens_among_other_kinds(
    opened: Opener, reports: Reports
) -> None:
    page = opened(reports)

    page.locator('th[data-key="0"] button').click()
    assert names(page) == sorted(names(page))
    page.get_by_role("button", name="income").click()
    expect(page.locator("tr.detail table.bars")).to_be_visible()
