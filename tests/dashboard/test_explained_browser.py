"""A selection explained in a real browser, from the rows behind a violation on."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import HOSTILE

pytestmark = pytest.mark.browser


@pytest.mark.full
def test_from_the_rows_of_a_violation_to_what_tells_them_and_to_the_rows(visit):
    seen = visit()
    page = seen.open("/monitors/flights-data-quality?window=20131118T000000Z")
    page.get_by_role("link", name="Explain these rows").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Explain rows of flights-data-quality"
    )
    place = page.locator("section").filter(has=page.get_by_role("heading", name="Where they sit"))
    expect(place).to_contain_text('origin = "EWR" holds 100% of the selected rows')
    ranked = page.get_by_role("region", name="Columns, the most different first")
    first = ranked.get_by_role("row").nth(1)
    expect(first).to_contain_text("origin")
    first.get_by_role("link", name="origin").click()
    expect(page.get_by_role("region", name="Shares of origin")).to_contain_text("EWR")
    page.get_by_text("Show the first 50 of").click()
    rows = page.get_by_role("region", name="Selected rows")
    expect(rows.get_by_role("row")).to_have_count(51)
    expect(rows.get_by_role("columnheader").filter(has_text=HOSTILE)).to_be_visible()
    assert page.locator("#page img").count() == 0
    seen.check()
