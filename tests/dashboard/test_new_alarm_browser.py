"""From a chart to an alarm on what it shows, in a real browser, by visible text and labels."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.accessible import axe_faults
from tests.dashboard.journey import journey

pytestmark = pytest.mark.browser


def test_would_an_alarm_on_this_chart_have_fired(visit):
    with journey(visit(), "/monitors/flights-data-quality", clicks=2) as page:
        page.get_by_role("link", name="Make an alarm").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("New alarm on")
        result = page.get_by_role("status").filter(has_text="would have fired")
        expect(result).to_contain_text("fired 2 times in")
        cut = page.get_by_label("Name").evaluate("box => box.scrollWidth - box.clientWidth")
        assert cut <= 0
        expect(page.get_by_label("Threshold", exact=True)).to_have_value("1")
        page.get_by_label("Threshold", exact=True).fill("1000000")
        page.get_by_label("Severity").select_option("ticket")
        page.get_by_role("button", name="Make this alarm").dispatch_event("click")
        expect(page.get_by_text("Preview first")).to_be_visible()
        page.get_by_role("button", name="Preview").click()
        expect(result).to_contain_text("fired 0 times in")
        assert "threshold=1000000" in page.url
        assert "severity=ticket" in page.url
        assert axe_faults(page) == []
