"""The zone of times is chosen in the bar, stands in the address, and goes along to other pages."""

from datetime import datetime, timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from driftline.dashboard.words import moment
from tests.dashboard.conftest import Visit
from tests.dashboard.policed_seed import DRIFTS

pytestmark = pytest.mark.browser
AHEAD = timedelta(hours=5, minutes=30)  # India, all year (tz database, Asia/Kolkata).
FIRST_X = (
    "() => document.querySelector('#timeline .js-plotly-plot').data.find(one => one.x.length).x[0]"
)


@pytest.fixture
def visit(chromium, policed_address):
    context = chromium.new_context(timezone_id="Asia/Kolkata", locale="en-GB")
    yield Visit(context.new_page(), policed_address)
    context.close()


@pytest.mark.full
def test_times_follow_the_browser_and_back_and_links_stay_absolute(visit):
    page = visit.open(f"/alarms/{quote(DRIFTS[0])}")
    time, zone = page.locator("#page time").first, page.locator("#zone")
    exact = datetime.fromisoformat(time.get_attribute("datetime"))
    expect(zone).to_have_text("Times: UTC")
    expect(time).to_contain_text(moment(exact))
    page.wait_for_selector("#timeline .nsewdrag")
    first = datetime.fromisoformat(page.evaluate(FIRST_X))

    zone.click()

    # Named as the browser names it, by the old or the new name.
    expect(zone).to_contain_text("Times: Asia/")
    expect(page.locator("#page time").first).to_contain_text(moment(exact + AHEAD))
    assert datetime.fromisoformat(time.get_attribute("datetime")) == exact
    assert page.url.endswith("?zone=browser")
    page.wait_for_function(f"before => ({FIRST_X})() !== before", arg=first.isoformat())
    assert datetime.fromisoformat(page.evaluate(FIRST_X)) == first + AHEAD
    assert page.locator("#page a[href*='zone=']").count() == 0

    page.get_by_role("link", name="Alarms", exact=True).click()
    expect(page.locator("h1")).to_have_text("Alarms")
    assert page.url.endswith("/alarms?zone=browser")
    page.get_by_role("link", name="tickets", exact=True).click()
    page.wait_for_url("**/alarms?severity=ticket&zone=browser")

    zone.click()

    expect(zone).to_have_text("Times: UTC")
    assert page.url.endswith("/alarms?severity=ticket")
    visit.check()
